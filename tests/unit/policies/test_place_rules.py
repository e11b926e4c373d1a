"""What each placement is chosen for, against situations solved by hand."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import GIB, decide, fleet, node, nodes, placed, running, state_of, waiting, workload

from suanli.domain.fleet import Link
from suanli.domain.record import Status
from suanli.domain.resources import AcceleratorDemand, Demand
from suanli.domain.workload import Dataset, ModelUse, Workload
from suanli.kernel.asks import Shapes, find_room
from suanli.policies.mix import Mix, Typical, mix_of
from suanli.policies.parts import Ground
from suanli.policies.place.measures import Expected, fragmentation, lost_on_several
from suanli.policies.registry import parse
from suanli.policies.table import NodeTable

H100 = "H100"
ONES = Mix((Typical(weight=1.0, cpus=1.0, count=1, share=1.0, models=()),))
SHARES = Mix((Typical(weight=1.0, cpus=1.0, count=1, share=0.6, models=()),))


def where(
    place: str, table: NodeTable, what: Workload, ground: Ground | None = None
) -> list[tuple[str, tuple[int, ...]]]:
    policy = parse(place)
    wants = Shapes(table, policy).of(waiting(what))
    found = find_room(table, wants, policy, ground or Ground()) or ()
    return [(placement.node, placement.share.devices) for placement in found]


def holding(table: NodeTable, *held: tuple[str, float, tuple[int, ...]]) -> NodeTable:
    """Of each node named, so much of those devices taken (and no core)."""
    for name, gpus, devices in held:
        record = running(workload(gpus=gpus, cpus=0), (name, devices))
        assert record.attempt
        table.take(record.attempt.placements)
    return table


def expected(mix: Mix, *models: str) -> Expected:
    return mix.rows(models), mix.by_model(models)


@pytest.mark.parametrize(
    ("left", "cpus", "mix", "lost"),
    [
        ([1.0, 0.5], 8.0, ONES, 0.5),  # the half is of no use to who wants one
        ([1.0, 0.5], 8.0, SHARES, 0.5),
        ([1.0, 0.6], 8.0, SHARES, 0.0),
        ([0.5, 0.5], 8.0, SHARES, 1.0),  # fits on neither: all is lost
        ([1.0, 1.0], 0.5, ONES, 2.0),  # no cores for it
        ([1.0, 1.0], 8.0, Mix((Typical(1.0, 1.0, 0, 0.0, ()),)), 2.0),  # who uses no device can use none
        ([1.0, 0.0], 8.0, Mix((Typical(1.0, 1.0, 2, 1.0, ()),)), 1.0),
        ([1.0, 1.0], 8.0, Mix((Typical(1.0, 1.0, 1, 1.0, ("other",)),)), 2.0),
        ([1.0, 0.5], 8.0, Mix((Typical(0.5, 1.0, 1, 1.0, ()), Typical(0.5, 1.0, 0, 0.0, ()))), 1.0),
    ],
)
def test_fragmentation_is_what_is_idle_and_of_no_use_to_what_is_expected(
    left: list[float], cpus: float, mix: Mix, lost: float
) -> None:
    models = np.zeros(len(left), dtype=np.int16)
    found = fragmentation(cpus, np.array(left), models, expected(mix, "one"), np.zeros(len(left)))
    assert found == pytest.approx(lost)


def test_on_a_node_of_two_models_only_devices_of_the_model_wanted_are_of_use() -> None:
    mix = Mix((Typical(1.0, 1.0, 1, 1.0, ("one",)),))
    models = np.array([0, 1], dtype=np.int16)
    rows = expected(mix, "one", "two")
    assert fragmentation(8.0, np.ones(2), models, rows, np.zeros(2)) == pytest.approx(1.0)


@given(
    left=st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), min_size=1, max_size=5),
    cpus=st.integers(0, 9),
    shapes=st.lists(
        st.builds(
            Typical,
            weight=st.floats(0.1, 1.0),
            cpus=st.integers(0, 9),
            count=st.integers(0, 3),
            share=st.just(1.0),
            models=st.sampled_from([(), ("one",), ("other",)]),
        )
        | st.builds(
            Typical,
            weight=st.floats(0.1, 1.0),
            cpus=st.integers(0, 9),
            count=st.just(1),
            share=st.sampled_from([0.2, 0.5, 0.6]),
            models=st.sampled_from([(), ("one",), ("other",)]),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_a_node_of_one_model_is_measured_as_one_of_several_would_be(
    left: list[float], cpus: int, shapes: list[Typical]
) -> None:
    models, rows = np.zeros(len(left), dtype=np.int16), expected(Mix(tuple(shapes)), "one", "other")
    found = fragmentation(cpus, np.array(left), models, rows, np.zeros(len(left)))
    assert found == pytest.approx(lost_on_several(cpus, np.array(left), models, rows[0]), abs=1e-9)


def test_fgd_leaves_whole_devices_to_those_who_want_whole_ones() -> None:
    table = holding(NodeTable(nodes(2, gpus=2)), ("n1", 0.5, (0,)))
    assert where("fgd", table, workload(gpus=0.5), Ground(mix=ONES)) == [("n1", (0,))]
    assert where("first-fit", table, workload(gpus=0.5)) == [("n0", (0,))]


def test_fgd_does_not_take_the_room_that_only_shares_can_use() -> None:
    """A share of 0.3 leaves 0.1 of the rest of a device, or 0.7 of a fresh one, which a share of 0.6 still fits on."""
    table = holding(NodeTable(nodes(1, gpus=2)), ("n0", 0.4, (0,)))
    assert where("fgd", table, workload(gpus=0.3), Ground(mix=SHARES)) == [("n0", (1,))]


def test_fgd_expects_what_has_been_seen_so_far() -> None:
    """Whole devices wait as well: the share keeps out of the free node."""
    of = fleet(*nodes(2, gpus=1))
    held = running(workload("held", gpus=0.5), ("n1", (0,)))
    share = waiting(workload("share", gpus=0.5, priority=90), seq=2)
    whole = [waiting(workload(f"w{i}", gpus=1), seq=3 + i) for i in range(3)]
    decision, _ = decide(state_of(of, held, share, *whole), "fgd")
    assert placed(decision)["share"] == ("n1",)


def test_leftovers_keeps_cores_beside_devices_that_are_free() -> None:
    """Work without devices goes where no device waits for its cores."""
    table = holding(NodeTable(nodes(2, gpus=4, cpus=16)), ("n1", 4, (0, 1, 2, 3)))
    assert where("leftovers", table, workload(cpus=8), Ground(mix=ONES)) == [("n1", ())]


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [(0.5, ("c", (1,))), (1, ("b", (1,))), (2, ("b", (1, 2))), (4, ("a", (0, 1, 2, 3)))],
)
def test_packing_goes_to_devices_in_use_then_to_nodes_in_use(
    gpus: float, expected: tuple[str, tuple[int, ...]]
) -> None:
    """a is idle, b has three of four free, c one, beside a device with half of its room."""
    table = NodeTable([node(name, gpus=4) for name in "abc"])
    holding(table, ("b", 1, (0,)), ("c", 1, (0,)), ("c", 0.5, (1,)), ("c", 1, (2,)))
    assert where("packing", table, workload(gpus=gpus)) == [expected]


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        (0.5, "shares"),  # alone with its like
        (1, "ones"),
        (2, "mixed"),  # among others, its like too
        (4, "idle"),  # nobody asks for four yet
    ],
)
def test_clustering_goes_to_its_like(gpus: float, expected: str) -> None:
    table = NodeTable([node(name, gpus=8) for name in ("idle", "shares", "ones", "mixed")])
    holding(table, ("shares", 0.5, (0,)), ("ones", 1, (0,)), ("mixed", 2, (0, 1)), ("mixed", 1, (2,)))
    assert where("clustering", table, workload(gpus=gpus))[0][0] == expected


def test_dot_product_goes_where_what_is_free_is_unlike_what_is_asked() -> None:
    """Four devices and few cores are asked for: rather the node with few free devices than the one with many."""
    table = NodeTable([node("many", gpus=8, cpus=8), node("few", gpus=4, cpus=32)])
    assert where("dot-product", table, workload(gpus=4, cpus=1))[0][0] == "few"
    assert where("dot-product", table, workload(cpus=8))[0][0] == "many"


def test_random_draws_any_node_and_device_and_the_same_ones_from_the_same_generator() -> None:
    table = NodeTable(nodes(3, gpus=2))
    what = workload(gpus=0.5)
    drawn = [where("random", table, what, Ground(rng=np.random.default_rng(seed)))[0] for seed in range(60)]
    assert set(drawn) == {(f"n{i}", (d,)) for i in range(3) for d in range(2)}
    assert drawn[7] == where("random", table, what, Ground(rng=np.random.default_rng(7)))[0]


def test_random_gangs_take_distinct_nodes() -> None:
    table = NodeTable(nodes(5, gpus=1))
    for seed in range(20):
        ground = Ground(rng=np.random.default_rng(seed))
        found = where("random", table, workload(gpus=1, nodes=4), ground)
        assert len({name for name, _ in found}) == 4


def test_ties_may_be_drawn() -> None:
    table = NodeTable(nodes(4, gpus=1))
    policy = msgspec.structs.replace(parse("best-fit"), random_ties=True)
    wants = Shapes(table, policy).of(waiting(workload(gpus=1)))
    found = {
        placement.node
        for seed in range(40)
        for placement in find_room(table, wants, policy, Ground(rng=np.random.default_rng(seed))) or ()
    }
    assert found == set(table.names)


class TestTopology:
    """Three racks in two zones: r0 (2 nodes) and r1 (3) in z0, r2 (4) in z1."""

    @staticmethod
    def table() -> NodeTable:
        racks = (("r0", "z0", 2), ("r1", "z0", 3), ("r2", "z1", 4))
        return NodeTable(
            [node(f"{rack}-{i}", gpus=1, rack=rack, zone=zone) for rack, zone, n in racks for i in range(n)]
        )

    @pytest.mark.parametrize(
        ("size", "racks"),
        [(2, {"r0"}), (3, {"r1"}), (4, {"r2"}), (5, {"r0", "r1"}), (7, {"r0", "r1", "r2"})],
    )
    def test_a_gang_goes_to_the_smallest_rack_or_zone_that_holds_it(self, size: int, racks: set[str]) -> None:
        found = where("topology", self.table(), workload(gpus=1, nodes=size))
        assert len(found) == size
        assert {name.split("-")[0] for name, _ in found} == racks

    def test_racks_that_are_partly_full_are_passed_over(self) -> None:
        table = holding(self.table(), ("r0-0", 1, (0,)), ("r1-1", 1, (0,)))
        assert [name for name, _ in where("topology", table, workload(gpus=1, nodes=2))] == ["r1-0", "r1-2"]

    def test_nodes_that_name_no_rack_are_far_from_each_other(self) -> None:
        apart = [node(f"n{i}", gpus=1) for i in range(2)]
        table = NodeTable([*apart, *(node(f"r{i}", gpus=1, rack="r") for i in range(2))])
        assert [name for name, _ in where("topology", table, workload(gpus=1, nodes=2))] == ["r0", "r1"]


class TestDataLocal:
    @staticmethod
    def table() -> NodeTable:
        return NodeTable([node(f"n{i}", cpus=8, zone=f"z{i // 2}", rack=f"r{i}") for i in range(6)])

    @staticmethod
    def reader(at: str) -> Workload:
        return workload(cpus=2, data=(Dataset(uri="s3://set", size_bytes=100 * GIB, at=at),))

    @pytest.mark.parametrize(("at", "expected"), [("n3", "n3"), ("r4", "n4"), ("z1", "n2")])
    def test_work_goes_where_its_data_lies(self, at: str, expected: str) -> None:
        assert where("data-local", self.table(), self.reader(at)) == [(expected, ())]

    def test_else_over_the_widest_link(self) -> None:
        links = (
            Link(ends=("z0", "z1"), bandwidth_bps=1e9),
            Link(ends=("z2", "z0"), bandwidth_bps=100e9),
        )
        table = self.table()
        full = [running(workload(f"f{i}", cpus=8), f"n{i}") for i in range(2)]
        for record in full:
            assert record.attempt
            table.take(record.attempt.placements)
        assert where("data-local", table, self.reader("z0"), Ground(links=links)) == [("n4", ())]

    def test_what_is_equally_near_goes_by_best_fit(self) -> None:
        table = self.table()
        held = running(workload("held", cpus=4), "n3")
        assert held.attempt
        table.take(held.attempt.placements)
        assert where("data-local", table, self.reader("z1")) == [("n3", ())]

    def test_work_without_data_goes_by_best_fit(self) -> None:
        assert where("data-local", self.table(), workload(cpus=2)) == [("n0", ())]


def test_to_the_agnostic_all_accelerators_that_will_do_are_alike() -> None:
    of = fleet(node("wanted", gpus=8, model="H100"), node("full", gpus=1, model="T4"))
    either = waiting(workload("either", gpus=1, model=("H100", "T4")))
    assert placed(decide(state_of(of, either), "best-fit")[0]) == {"either": ("wanted",)}
    assert placed(decide(state_of(of, either), "as-requested-agnostic+best-fit")[0]) == {"either": ("full",)}


def test_who_is_indifferent_gets_the_accelerator_that_the_placement_prefers() -> None:
    """The H100 is asked for first, but the other node is the tighter fit."""
    table = NodeTable([node("h", gpus=4, model=H100), node("a", gpus=1)])
    either = workload(gpus=1, model=[H100, "A100-80GB"])
    assert where("best-fit", table, either) == [("h", (0,))]
    demand = msgspec.structs.replace(either.demand, indifferent=True)
    assert where("best-fit", table, msgspec.structs.replace(either, demand=demand)) == [("a", (0,))]


def test_the_mix_is_the_most_frequent_shapes_that_cover_most_of_what_was_seen() -> None:
    def demand(cpus: float, count: float, *models: str) -> Demand:
        return Demand(cpus=cpus, accelerators=tuple(AcceleratorDemand(m, count) for m in models))

    mix = mix_of(
        [
            (demand(4, 0.5, "a", "b"), 60),
            (msgspec.structs.replace(demand(4, 0.5, "b", "a"), memory_bytes=GIB), 20),  # the same shape
            (demand(8, 2, "a"), 16),
            (demand(1, 0), 4),
        ]
    )
    assert mix.typical == (
        Typical(weight=80 / 96, cpus=4, count=1, share=0.5, models=("a", "b")),
        Typical(weight=16 / 96, cpus=8, count=2, share=1.0, models=("a",)),
    )
    assert mix.rows(("a", "c")).tolist() == [[80 / 96, 4, 1, 0.5, 1, 0], [16 / 96, 8, 2, 1, 1, 0]]


@pytest.mark.parametrize("place", ["best-fit", "first-fit", "spread", "fgd", "leftovers", "topology"])
def test_between_equal_nodes_the_one_that_has_the_models_files_is_taken(place: str) -> None:
    table = NodeTable(nodes(4, gpus=8))
    serving = msgspec.structs.replace(workload(gpus=1), model=ModelUse(ref="chat", name="chat", number=3))
    ground = Ground(models_at={("chat", 3): frozenset({table.names[2]}), ("chat", 2): frozenset(table.names)})
    assert where(place, table, serving, ground)[0][0] == table.names[2]
    assert where(place, table, workload(gpus=1), ground)[0][0] == table.names[0]


def test_files_are_no_reason_to_leave_a_better_node() -> None:
    table = holding(NodeTable(nodes(3, gpus=8)), (nodes(3, gpus=8)[1].name, 1, (0,)))
    serving = msgspec.structs.replace(workload(gpus=1), model=ModelUse(ref="chat", name="chat", number=3))
    ground = Ground(models_at={("chat", 3): frozenset({table.names[2]})})
    assert where("best-fit", table, serving, ground)[0][0] == table.names[1]


def test_who_runs_has_fetched_its_model_and_the_next_replica_goes_there() -> None:
    serving = msgspec.structs.replace(
        workload("a", gpus=1), model=ModelUse(ref="chat", name="chat", number=3)
    )
    fleet_of = nodes(3, gpus=1)
    first = running(serving, (fleet_of[2].name, (0,)))
    state = state_of(fleet(*fleet_of), first)
    ended = msgspec.structs.replace(first, status=Status.SUCCEEDED)
    state.apply([ended, waiting(msgspec.structs.replace(serving, name="b"))])
    assert placed(decide(state)[0]) == {"b": (fleet_of[2].name,)}
