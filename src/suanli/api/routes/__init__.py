"""The routes, one file for each subject. They translate; what they offer is done in `control`."""
