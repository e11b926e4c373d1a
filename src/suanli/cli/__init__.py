"""The command line: a client of the API, and what needs no controller. It imports nothing heavy at its start."""
