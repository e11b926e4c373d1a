"""TCP ports of this machine, below the range from which the kernel takes those of outgoing connections."""

import random
import socket

FIRST, LAST = 20_000, 29_999


def reserve() -> socket.socket:
    """A socket that keeps a free port until it is closed. Raises OSError where there is none."""
    draw = random.SystemRandom()
    for _ in range(100):
        holder = socket.socket()
        try:
            holder.bind(("", draw.randint(FIRST, LAST)))
        except OSError:
            holder.close()
        else:
            return holder
    raise OSError(f"no free port between {FIRST} and {LAST}")


def port_of(holder: socket.socket) -> int:
    return int(holder.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether somebody listens there, so that a server could not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False
