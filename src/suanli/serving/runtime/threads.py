"""How many threads a replica computes with."""

import os


def threads() -> int:
    """As the engine says, else one: more burn CPU against their neighbours."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) else 1
