"""What tests of stores write, and what it should come to."""

from typing import Any

from suanli.domain import events as ev
from suanli.domain.workload import Kind, Workload
from suanli.domain.world import World
from suanli.ports.store import Commit


def submitted(name: str) -> ev.Submitted:
    return ev.Submitted(key=name, workload=Workload(name=name, kind=Kind.TRAIN, run=("train", "--fast")))


def commit(*events: ev.Event, at_s: float = 10.0, **fields: Any) -> Commit:
    return Commit(events=events, actor="ada", at_s=at_s, **fields)


def fold(entries: Any) -> World:
    world = World()
    for entry in entries:
        world.fold(entry)
    return world
