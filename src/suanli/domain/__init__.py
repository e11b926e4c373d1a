"""Frozen values, events and the one transition function. Imports nothing of Suanli and does no I/O."""
