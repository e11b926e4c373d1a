"""Readers of recorded traces, and generators of made ones."""
