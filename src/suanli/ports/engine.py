"""What carries plans out."""

from collections.abc import Sequence
from typing import Protocol

from suanli.domain.fleet import Node
from suanli.domain.observation import Launch, Observation
from suanli.domain.workload import EndCause


class Engine(Protocol):
    """Every verb is idempotent by (key, number) and returns at once; what came of it is seen by `observe`.

    All raise `Unavailable` where the engine cannot be reached; nothing is lost by trying again.
    """

    def observe(self) -> Observation:
        """All nodes and attempts as they truly are, those of a former controller too."""
        ...

    def start(self, launch: Launch) -> None:
        """Run an attempt, whole or not at all.

        Does nothing if the attempt exists in any phase, or if a later attempt of the key has ever been started:
        numbers fence.
        """
        ...

    def stop(self, key: str, number: int, cause: EndCause, grace_s: float) -> None:
        """SIGTERM to every worker, SIGKILL after the grace. The first stop's cause is what the attempt ends with.

        Does nothing where the attempt has ended or does not exist.
        """
        ...

    def forget(self, key: str, number: int) -> None:
        """Drop all that is held for an attempt that has ended. Does nothing while a process of it may be alive."""
        ...

    def read_log(self, key: str, number: int, rank: int, offset: int) -> bytes:
        """Up to 64 KiB of a worker's output from `offset`; empty at the end, or where there is none."""
        ...

    def close(self) -> None:
        """Let go of the engine. What runs goes on running."""
        ...


class Nodes(Protocol):
    """Adds and removes whole nodes. Names make it idempotent."""

    def add(self, nodes: Sequence[Node]) -> None: ...

    def remove(self, name: str) -> None: ...

    def names(self) -> Sequence[str]:
        """Those added through this port that are still there or on their way."""
        ...
