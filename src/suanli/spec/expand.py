"""Services into replicas: what is submitted is one record each."""

from suanli.domain.record import key_of
from suanli.domain.workload import Workload


def expand(workload: Workload) -> tuple[tuple[str, int | None], ...]:
    """(key, replica) of every record that the workload begins with: its least replicas, or itself alone."""
    if workload.service is None:
        return ((workload.name, None),)
    return tuple(
        (key_of(workload.name, replica), replica) for replica in range(workload.service.replicas_min)
    )
