"""What was asked for."""

from collections.abc import Sequence

from suanli.domain.record import Record


def as_requested(record: Record) -> Sequence[int]:
    """The declared number of nodes; for elastic work as many of its range as fit. O(1)."""
    if record.workload.elastic_nodes is None:
        return (record.workload.nodes,)
    fewest, most = record.workload.elastic_nodes
    return range(most, fewest - 1, -1)


def as_requested_agnostic(record: Record) -> Sequence[int]:
    """As requested, but all accelerators that will do are alike, whatever their order: the placement chooses. O(1)."""
    return as_requested(record)
