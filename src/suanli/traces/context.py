"""What a reader is given beside the file."""

from pathlib import Path

import msgspec

from suanli.domain.fleet import Fleet
from suanli.traces.accelerators import DEVICES_PER_NODE
from suanli.traces.table import models_of


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """`throughputs` measured for the trace; `models` are accelerators known beside the catalogue's.

    A file that only counts accelerators is split into nodes of at most `devices_per_node`.
    """

    throughputs: Path | None = None
    models: tuple[str, ...] = ()
    devices_per_node: int = DEVICES_PER_NODE


def context_of(fleet: Fleet | None, throughputs: Path | None = None) -> Context:
    """For a fleet: its own accelerators' names, and gangs of the size of its largest node."""
    largest = max((len(node.accelerators) for node in fleet.nodes), default=0) if fleet else 0
    return Context(
        throughputs=throughputs,
        models=models_of(fleet) if fleet else (),
        devices_per_node=largest or DEVICES_PER_NODE,
    )
