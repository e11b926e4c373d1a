"""How many replicas a service should have: what its requests need, and how fast that is followed."""
