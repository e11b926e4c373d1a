"""Ratings that are kept up with what changes are those that a fresh look would give; compiled or not."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.building import GIB, GPU, node, waiting, workload

from suanli.domain.fleet import Node
from suanli.domain.record import Placement, Record
from suanli.domain.workload import Workload
from suanli.kernel.asks import Shapes, Wants, find_room
from suanli.policies import compiled
from suanli.policies.mix import mix_of
from suanli.policies.parts import Ground
from suanli.policies.registry import PLACEMENTS, parse
from suanli.policies.table import NodeTable

H100 = "H100"

members = st.lists(
    st.builds(
        lambda cpus, models, rack: node(
            cpus=cpus, memory_bytes=16 * GIB, accelerators=tuple(models), rack=rack
        ),
        st.sampled_from([4.0, 8.0, 16.0]),
        st.lists(st.sampled_from([GPU, H100]), max_size=4),
        st.sampled_from(["", "r0", "r1"]),
    ),
    min_size=1,
    max_size=6,
)
requests = st.builds(
    lambda cpus, gpus, memory, models, size: workload(
        cpus=cpus, gpus=gpus, memory_bytes=memory * GIB, model=models, nodes=size
    ),
    st.sampled_from([0.0, 1.0, 3.0]),
    st.sampled_from([0, 0.25, 0.3, 0.5, 1, 2]),
    st.sampled_from([0, 1, 6]),
    st.sampled_from([[GPU], [H100], [GPU, H100]]),
    st.sampled_from([1, 1, 1, 2]),
)


def table_of(nodes: Sequence[Node]) -> NodeTable:
    return NodeTable([msgspec.structs.replace(n, name=f"n{i}") for i, n in enumerate(nodes)])


def ground_of(records: Sequence[Record]) -> Ground:
    return Ground(mix=mix_of((record.workload.demand, 1.0) for record in records))


@pytest.mark.parametrize("place", [name for name in PLACEMENTS if name != "random"])
@settings(max_examples=25)
@given(members, st.lists(requests, min_size=1, max_size=4), st.data())
def test_what_is_remembered_of_a_table_never_changes_a_placement(
    place: str, nodes: list[Node], asked: list[Workload], data: st.DataObject
) -> None:
    table, policy = table_of(nodes), parse(place)
    records = [waiting(what, seq=i) for i, what in enumerate(asked)]
    shapes, ground = Shapes(table, policy), ground_of(records)
    held: list[tuple[Placement, ...]] = []
    for _ in range(12):
        wants = shapes.of(data.draw(st.sampled_from(records)))
        found = find_room(table, wants, policy, ground)
        assert found == find_room(table.copy(), wants, policy, ground)
        _is_right(table, wants, found)
        if found:
            table.take(found)
            held.append(found)
        if held and data.draw(st.booleans()):
            table.give(held.pop(data.draw(st.integers(0, len(held) - 1))))


def _is_right(table: NodeTable, wants: Wants, found: tuple[Placement, ...] | None) -> None:
    """Room was found wherever there is, and what was found is there, on distinct nodes."""
    could = max(int(table.fitting(ask).sum()) for ask in wants.asks)
    assert (found is not None) == (could >= wants.fewest)
    if found:
        assert len({placement.node for placement in found}) == len(found) == wants.fewest
        assert table.can_take(found)


@settings(max_examples=40, deadline=None)
@given(members, st.lists(requests, min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_compiled_loops_decide_as_interpreted_ones(
    nodes: list[Node], asked: list[Workload], seed: int
) -> None:
    records = [waiting(what, seq=i) for i, what in enumerate(asked)]
    turns = np.random.default_rng(seed).integers(len(records), size=15).tolist()
    for place in PLACEMENTS:
        decided: list[list[tuple[Placement, ...] | None]] = []
        for least in (1, 10**9):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(compiled, "COMPILED_FROM", least)
                decided.append(_walk(place, table_of(nodes), records, turns))
        assert decided[0] == decided[1]


def _walk(
    place: str, table: NodeTable, records: Sequence[Record], turns: Sequence[int]
) -> list[tuple[Placement, ...] | None]:
    policy, ground = parse(place), ground_of(records)
    shapes = Shapes(table, policy)
    found: list[tuple[Placement, ...] | None] = []
    for turn in turns:
        placements = find_room(table, shapes.of(records[turn]), policy, ground)
        found.append(placements)
        table.take(placements or ())
    return found
