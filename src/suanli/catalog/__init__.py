"""Facts about hardware that Suanli ships, each with its source, and look-up in them."""
