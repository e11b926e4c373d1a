"""The node table: what is free, who fits, and that giving back undoes taking."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import GIB, GPU, node, workload

from suanli.domain.record import Placement
from suanli.domain.resources import AcceleratorDemand, Demand, Share
from suanli.policies.table import Ask, NodeTable

H100 = "H100"


def asked(table: NodeTable, *, model: str = GPU, labels: dict[str, str] | None = None, **more: float) -> Ask:
    demand = workload(model=model, **more).demand  # type: ignore[arg-type]
    return table.ask(demand, demand.accelerators[0] if demand.accelerators else None, labels or {})


def mixed() -> NodeTable:
    return NodeTable(
        [
            node("cpu", cpus=32),
            node("a", gpus=4, labels={"disk": "nvme"}, zone="east"),
            node("h", gpus=2, model=H100, zone="west"),
            node("both", accelerators=(GPU, H100, GPU), zone="west"),
        ]
    )


def names(table: NodeTable, mask: np.ndarray) -> list[str]:
    return [table.names[i] for i in np.flatnonzero(mask)]


@pytest.mark.parametrize(
    ("what", "able"),
    [
        ({"cpus": 1}, ["cpu", "a", "h", "both"]),
        ({"cpus": 9}, ["cpu"]),
        ({"cpus": 33}, []),
        ({"gpus": 1}, ["a", "both"]),
        ({"gpus": 2}, ["a", "both"]),
        ({"gpus": 3}, ["a"]),
        ({"gpus": 5}, []),
        ({"gpus": 0.5}, ["a", "both"]),
        ({"gpus": 2, "model": H100}, ["h"]),
        ({"gpus": 1, "model": H100, "cpus": 9}, []),
        ({"gpus": 1, "model": "TPU-v5e"}, []),
        ({"labels": {"disk": "nvme"}}, ["a"]),
        ({"labels": {"zone": "west"}}, ["h", "both"]),
        ({"labels": {"zone": "west"}, "gpus": 1}, ["both"]),
        ({"labels": {"zone": "west", "name": "h"}}, ["h"]),
        ({"labels": {"zone": "north"}}, []),
        ({"labels": {"unknown": "x"}}, []),
        ({"cpus": 0}, ["cpu", "a", "h", "both"]),
        ({"cpus": 1e300}, []),
        ({"memory_bytes": 10**300}, []),
    ],
)
def test_who_is_able_and_on_an_empty_fleet_who_fits(what: dict, able: list[str]) -> None:
    table = mixed()
    ask = asked(table, **{"cpus": 1, **what})
    assert names(table, table.able(ask)) == able
    assert names(table, table.fitting(ask)) == able


def test_what_cannot_be_used_fits_nothing_but_would_be_able() -> None:
    table = mixed()
    table.usable = np.array([True, False, True, True])
    ask = asked(table, gpus=1)
    assert names(table, table.fitting(ask)) == ["both"]
    assert names(table, table.able(ask)) == ["a", "both"]


def test_devices_are_named_in_index_order_and_skip_other_models() -> None:
    table = mixed()
    two = table.placement(3, asked(table, gpus=2))
    assert (two.share.devices, two.share.accelerator, two.share.device_share) == ((0, 2), GPU, 1.0)
    table.take([two])
    assert table.placement(3, asked(table, gpus=1, model=H100)).share.devices == (1,)
    assert not table.fitting(asked(table, gpus=1))[3]


def test_a_share_goes_to_the_device_where_least_is_left() -> None:
    table = NodeTable([node(gpus=3)])
    for gpus, device in ((0.5, 0), (0.75, 1), (0.5, 0), (0.25, 1), (0.5, 2)):
        share = table.placement(0, asked(table, gpus=gpus))
        assert share.share.devices == (device,)
        table.take([share])
    assert table.device_free.tolist() == [[0.0, 0.0, 0.5]]


def test_shares_of_different_devices_do_not_make_a_whole_one() -> None:
    table = NodeTable([node(gpus=2)])
    table.take([table.placement(0, asked(table, gpus=0.6))])
    table.take([table.placement(0, asked(table, gpus=0.6))])
    assert table.device_left[0] == pytest.approx(0.8)
    assert not table.fitting(asked(table, gpus=0.6))[0]
    assert table.fitting(asked(table, gpus=0.4))[0]
    assert not table.fitting(asked(table, gpus=1))[0]


def test_equal_room_is_a_tie_however_it_was_added_up() -> None:
    """0.3 + 0.3 + 0.3 is not 0.9 in binary: a rounding error must not choose the device."""
    straight, crooked = NodeTable([node(gpus=2)]), NodeTable([node(gpus=2)])
    shares = [
        Placement("n0", Share(cpus=0.1, accelerator=GPU, devices=(device,), device_share=size))
        for device, size in ((0, 0.3), (1, 0.3), (0, 0.1))
    ]
    straight.take(shares[:2])
    crooked.take([shares[0], shares[2], shares[1]])
    crooked.give([shares[2]])
    ask = asked(straight, gpus=0.5)
    assert straight.placement(0, ask) == crooked.placement(0, ask)


def test_a_reservation_may_overdraw_and_what_asks_for_none_of_that_still_fits() -> None:
    table = NodeTable([node(cpus=4)])
    overdrawn = Placement("n0", Share(cpus=1.0, memory_bytes=100 * GIB))
    table.take([overdrawn])
    assert names(table, table.fitting(asked(table, cpus=3))) == ["n0"]
    assert table.can_take([Placement("n0", Share(cpus=3.0))])
    assert not table.can_take([Placement("n0", Share(cpus=3.0, memory_bytes=1))])


def test_taking_exactly_these_devices_is_checked_one_by_one() -> None:
    table = NodeTable([node(gpus=2), node("wide", gpus=4)])
    held = Placement("n0", Share(accelerator=GPU, devices=(1,)))
    assert table.can_take([held])
    table.take([held])
    assert not table.can_take([held])
    assert table.can_take([Placement("n0", Share(accelerator=GPU, devices=(0,)))])
    for devices in ((2,), (9,)):
        assert not table.can_take([Placement("n0", Share(accelerator=GPU, devices=devices))])
    assert not table.can_take([Placement("nowhere", Share())])


def test_a_copy_is_changed_alone() -> None:
    table = mixed()
    twin = table.copy()
    twin.take([twin.placement(1, asked(twin, gpus=4))])
    assert table.fitting(asked(table, gpus=4))[1]
    assert table.may_fit(asked(table, gpus=4))
    assert not twin.may_fit(asked(twin, gpus=4))


def test_how_many_nodes_have_so_many_devices_is_known_without_a_look_at_them() -> None:
    table = NodeTable([node("a", gpus=4), node("b", gpus=2)])
    two, four = asked(table, gpus=2), asked(table, gpus=4)
    assert table.have_devices(two, 2)
    assert not table.have_devices(two, 3)
    table.take([table.placement(0, asked(table, gpus=1))])
    assert (table.have_devices(two, 2), table.have_devices(four, 1)) == (True, False)
    assert not table.have_devices(asked(table, gpus=8), 1)


def test_a_fleet_without_nodes_has_room_for_nothing() -> None:
    table = NodeTable([])
    ask = asked(table)
    assert (table.fitting(ask).tolist(), table.able(ask).tolist()) == ([], [])
    assert not table.may_fit(ask)


demands = st.builds(
    Demand,
    cpus=st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.5]),
    memory_bytes=st.integers(0, 20 * GIB),
    network_bps=st.sampled_from([0.0, 1e9]),
    accelerators=st.sampled_from([GPU, H100]).flatmap(
        lambda model: st.sampled_from([0.25, 0.3, 0.5, 1.0, 2.0]).map(
            lambda count: (AcceleratorDemand(model, count),)
        )
    )
    | st.just(()),
)


@given(st.lists(demands, max_size=20), st.data())
def test_giving_back_undoes_taking_in_any_order_and_nothing_is_ever_taken_twice(
    wanted: list[Demand], data: st.DataObject
) -> None:
    table, fresh = mixed(), mixed()
    held: list[Placement] = []
    for demand in wanted:
        ask = table.ask(demand, demand.accelerators[0] if demand.accelerators else None, {})
        fits = np.flatnonzero(table.fitting(ask))
        assert table.may_fit(ask) or not len(fits)
        assert table.have_devices(ask, len(fits))
        if len(fits):
            placement = table.placement(int(fits[0]), ask)
            assert table.can_take([placement])
            assert placement.share.accelerator_count == ask.count
            table.take([placement])
            held.append(placement)
        assert table.free.min() >= -1e-6
        assert table.device_free.min() >= -1e-6
    for placement in data.draw(st.permutations(held)):
        table.give([placement])
    for name in ("free", "device_free", "device_left", "whole_free", "largest_share", "having"):
        np.testing.assert_allclose(getattr(table, name), getattr(fresh, name), atol=1e-5)


def test_nodes_are_of_one_class_where_they_have_the_same_whatever_is_held() -> None:
    table = NodeTable(
        [node("x", gpus=4), node("y", cpus=32), node("z", gpus=4), node("w", gpus=4, model=H100)]
    )
    table.take((Placement(node="x", share=Share(accelerator=GPU, devices=(0,))),))
    first, other, same, model = table.classes.tolist()
    assert first == same
    assert sorted({first, other, model}) == [0, 1, 2]
    assert table.class_cores[table.classes].tolist() == [8.0, 32.0, 8.0, 8.0]
