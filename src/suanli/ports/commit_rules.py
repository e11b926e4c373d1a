"""What every store checks and computes before it writes. Pure, so that no two stores can disagree."""

from suanli.domain import events as ev
from suanli.domain.errors import Conflict, Deposed, StaleWrite
from suanli.domain.world import World
from suanli.ports.store import Commit, Lease


def require_epoch(current: Lease | None, epoch: int | None) -> None:
    """Raises Deposed where `epoch` is set and is not the current lease's."""
    if epoch is not None and (current is None or current.epoch != epoch):
        raise Deposed(
            remedy="Nothing to do: the controller that holds the lease decides, and this one stands by.",
            evidence={"epoch": epoch, "current_epoch": current.epoch if current else None},
        )


def require_seq(log_seq: int, if_seq: int | None) -> None:
    """Raises StaleWrite where `if_seq` is set and the log has gone on."""
    if if_seq is not None and if_seq != log_seq:
        raise StaleWrite(
            remedy="Read the state again and decide anew.",
            evidence={"read_seq": if_seq, "log_seq": log_seq},
        )


def require_digest(key: str, known: str, sent: str) -> None:
    """Raises Conflict where an idempotency key comes back with something else."""
    if known != sent:
        raise Conflict(
            f"The idempotency key {key!r} was used for a different request.",
            remedy="Send a new key with a new request.",
            evidence={"idempotency_key": key},
        )


def workload_keys(events: tuple[ev.Event, ...]) -> list[str]:
    """Keys of the records that the events change, each once, in order."""
    return list(dict.fromkeys(event.key for event in events if isinstance(event, ev.WorkloadEvent)))


def service_names(events: tuple[ev.Event, ...]) -> list[str]:
    """Names of the services that the events change, each once, in order."""
    return list(dict.fromkeys(event.service for event in events if isinstance(event, ev.ServiceEvent)))


def fold_commit(draft: World, commit: Commit) -> tuple[ev.Entry, ...]:
    """The commit's entries, folded into a draft that holds what they concern.

    Raises IllegalTransition; the draft is then of no use, and the truth untouched.
    """
    entries = tuple(
        ev.Entry(seq=seq, at_s=commit.at_s, actor=commit.actor, event=event)
        for seq, event in enumerate(commit.events, start=draft.seq + 1)
    )
    for entry in entries:
        draft.fold(entry)
    return entries
