"""The only home of solver libraries: linear, mixed-integer, constraint and genetic."""
