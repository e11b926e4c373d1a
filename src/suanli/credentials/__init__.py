"""Tokens: made once, shown once, kept as digests, and read only from files that are their owner's alone."""
