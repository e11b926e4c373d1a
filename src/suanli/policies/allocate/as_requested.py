"""What was asked for."""

from collections.abc import Sequence

from suanli.domain.record import Record


def as_requested(record: Record) -> Sequence[int]:
    """The declared number of nodes; for elastic work as many of its range as fit. O(1)."""
    if record.workload.elastic_nodes is None:
        return (record.workload.nodes,)
    fewest, most = record.workload.elastic_nodes
    return range(most, fewest - 1, -1)
