"""What only all documents together can get wrong: names given twice, work that waits for itself or for nobody."""

import graphlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from suanli.domain.fleet import Fleet
from suanli.domain.workload import Kind, Workload
from suanli.spec.fleet import places_of
from suanli.spec.problems import Findings, nearest
from suanli.spec.scope import Document, Path, Scope

CYCLES_MAX = 20
CYCLE_SHOWN = 20
NO_WORKLOADS = ("fleet", "alert", "problem", "mix")
"""Kinds whose names are their own."""


class Read(msgspec.Struct, frozen=True):
    """A workload, and the document it came from."""

    workload: Workload
    scope: Scope


def check_names(documents: Iterable[Document], findings: Findings) -> None:
    """One workload of a name, one alert of a name, one fleet. O(documents)."""
    first: dict[tuple[str, str], Document] = {}
    for document in documents:
        kind = document.kind if document.kind in NO_WORKLOADS else "workload"
        other = first.setdefault((kind, "" if kind == "fleet" else document.name), document)
        if other is document or not document.name:
            continue
        if kind == "fleet":
            place = other.mark_of(("kind",))
            message, remedy = f"there is one fleet at a time, and {place} declares one", "Put both into one."
            findings.refuse(document.problem(("kind",), message, remedy))
        else:
            place = other.mark_of(("name",))
            message = f"there are two {kind}s called {document.name!r}, the other at {place}"
            findings.refuse(document.problem(("name",), message, "Rename one."))


def check_dependencies(read: Sequence[Read], names: Collection[str]) -> None:
    """Everything waited for exists, ends, and does not wait back. `names` are all that may be waited for."""
    by_name = {item.workload.name: item for item in read}
    for item in read:
        for path, name in _targets(item.workload):
            if name not in names:
                near = nearest(name, names)
                item.scope.refuse(
                    path, f"no workload is called {name!r}", f"Did you mean `{near}`?" if near else ""
                )
            elif name in by_name and by_name[name].workload.kind is Kind.SERVE:
                item.scope.refuse(path, f"{name!r} is a service and never ends", "Wait for a train or a job.")
    _check_cycles(by_name)


def _targets(workload: Workload) -> list[tuple[Path, str]]:
    after: list[tuple[Path, str]] = [(("after", index), name) for index, name in enumerate(workload.after)]
    return [*after, (("model", "from"), workload.model_from)] if workload.model_from else after


def _check_cycles(read: Mapping[str, Read]) -> None:
    waits = {name: {n for n in item.workload.depends_on if n in read} for name, item in read.items()}
    for _ in range(CYCLES_MAX):
        try:
            graphlib.TopologicalSorter(waits).prepare()
            return
        except graphlib.CycleError as error:
            # Each of the list is waited for by the next; told the other way round it reads as the files do.
            cycle: list[str] = list(reversed(error.args[1]))
        told = " waits for ".join(cycle if len(cycle) <= CYCLE_SHOWN else [*cycle[:5], "…", *cycle[-5:]])
        path: Path = ("after",) if cycle[1] in read[cycle[0]].workload.after else ("model", "from")
        read[cycle[0]].scope.refuse(path, f"this never starts: {told}", "Remove one of these dependencies.")
        waits[cycle[0]].discard(cycle[1])


def check_against(fleet: Fleet, read: Iterable[Read]) -> None:
    """Names of teams and places that the fleet does not know are allowed, but seldom meant."""
    teams = {team.name for team in fleet.teams}
    places = places_of(fleet.nodes)
    for item in read:
        team = item.workload.team
        if teams and team not in teams and team != "default":
            near = nearest(team, teams)
            remedy = f"Did you mean `{near}`?" if near else "Declare it under `teams`."
            item.scope.warn(("team",), f"fleet {fleet.name} has no team {team!r}: no quota holds", remedy)
        for index, data in enumerate(item.workload.data):
            if data.at and data.at not in places:
                near = nearest(data.at, places)
                remedy = f"Did you mean `{near}`?" if near else "Name a node, rack, zone or site."
                item.scope.warn(("data", index, "at"), f"fleet {fleet.name} has no place {data.at!r}", remedy)
