"""How fast a workload runs, and for how long, as a document says it: for all accelerators, or for each."""

from collections.abc import Mapping

import msgspec

from suanli.spec.scope import Path, Scope
from suanli.spec.workload_shape import Batch


class Pace(msgspec.Struct, frozen=True):
    """As in `Workload`: seconds that it takes anywhere, or units of work and those that it does in a second."""

    duration_s: float | None = None
    speeds: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    work: float | None = None


def pace_of(shape: Batch, scope: Scope) -> Pace:
    """A unit of work is a second's on the slowest, where durations are given by accelerator."""
    everywhere_s = shape.duration.get("*")
    if everywhere_s is not None and len(shape.duration) > 1:
        scope.refuse(("duration", "*"), "stands for all, so that the others say it twice", "Leave out one.")
        return Pace()
    speeds = _by_model(shape.speeds, shape, ("speeds",), scope)
    if everywhere_s is not None or not shape.duration:
        return Pace(everywhere_s, speeds)
    if shape.speeds:
        scope.refuse(("speeds",), "`duration` says by accelerator how fast it is", "Keep one of them.")
    durations_s = _by_model(shape.duration, shape, ("duration",), scope)
    work = max(durations_s.values(), default=0.0)
    if not all(durations_s.values()):
        return Pace(work)
    return Pace(None, {model: work / seconds for model, seconds in durations_s.items()}, work)


def _by_model(given: Mapping[str, float], shape: Batch, path: Path, scope: Scope) -> dict[str, float]:
    """By name in the catalogue. Every accelerator that it asks for has to be there, and no other."""
    wanted = {
        known.name: name
        for name, _ in shape.resources.accelerators
        if (known := scope.catalog.lookup(name)) is not None
    }
    found: dict[str, float] = {}
    for name, value in given.items():
        known = scope.accelerator(name, (*path, name))
        if known is None:
            continue
        if known.name not in wanted:
            asked = ", ".join(wanted.values()) or "none"
            scope.refuse(
                (*path, name), f"it asks for no {name}", f"Under `resources.accelerators` is {asked}."
            )
        found[known.name] = value
    missing = [name for model, name in wanted.items() if model not in found]
    if given and missing:
        scope.refuse(path, f"nothing is said of {', '.join(missing)}", "Say it of each that it may get.")
    return found
