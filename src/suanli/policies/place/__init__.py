"""On which nodes."""
