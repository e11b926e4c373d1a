"""A small GPT, trained on the source of Python's standard library by two data-parallel workers."""
