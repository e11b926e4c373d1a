"""First in, first out."""

from suanli.policies.parts import Queue
from suanli.policies.table import Floats


def fifo(queue: Queue) -> Floats:
    """First in, first out: by submission, whatever the priority. O(n)."""
    return queue.seq.astype(float)
