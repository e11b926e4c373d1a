"""Pure policies: each part is one function, found by name in `registry`."""
