"""Protocols for all that lies outside, and their shipped in-memory versions. One contract suite runs over both."""
