"""What runs inside a replica, and the gateway in front of all of them."""
