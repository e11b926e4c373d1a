"""What was asked for."""

from suanli.domain.record import Record


def as_requested(record: Record) -> tuple[int, ...]:
    """The declared number of nodes; for elastic work as many of its range as fit. O(range)."""
    if record.workload.elastic_nodes is None:
        return (record.workload.nodes,)
    fewest, most = record.workload.elastic_nodes
    return tuple(range(most, fewest - 1, -1))
