"""Accelerators shared over time: who gets which fraction of which type."""
