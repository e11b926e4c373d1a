"""Fleets from a short text."""

import pytest

from suanli.domain.errors import UsageError
from suanli.spec import SpecErrors
from suanli.traces import fleet_of


def test_gavels_short_form_has_one_device_a_node_in_the_order_given() -> None:
    fleet = fleet_of("gavel:2xV100, 1xK80")
    assert [(node.name, node.accelerators) for node in fleet.nodes] == [
        ("v100-16gb-0", ("V100-16GB",)),
        ("v100-16gb-1", ("V100-16GB",)),
        ("k80-0", ("K80",)),
    ]
    assert fleet.nodes[2].price_per_hour == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gavel:V100", "COUNTxACCELERATOR"),
        ("gavel:0xV100", "COUNTxACCELERATOR"),
        ("gavel:2xV1000", "V1000"),
        ("gavel:1xV100,1xV100M16", "twice"),
        ("gavel:999999xK80", "at most"),
        ("nowhere.yaml", "cannot be read"),
    ],
)
def test_what_spells_no_fleet_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        fleet_of(text)


def test_openb_nodes_keep_the_names_of_models_that_nobody_knows(written) -> None:
    path = written(
        "n.csv", "sn,cpu_milli,memory_mib,gpu,model\na,96000,1024,2,G2\nb,64000,1,0,\nc,1000,1,1,V100M32\n"
    )
    first, second, third = fleet_of(f"openb:{path}").nodes
    assert (first.cpus, first.memory_bytes, first.accelerators) == (96, 2**30, ("G2", "G2"))
    assert first.price_per_hour == 0
    assert second.accelerators == ()
    assert third.accelerators == ("V100-32GB",)


def test_a_node_with_accelerators_of_no_model_is_a_bad_row(written) -> None:
    with pytest.raises(SpecErrors, match="no accelerator is called"):
        fleet_of(f"openb:{written('n.csv', 'sn,cpu_milli,memory_mib,gpu,model' + chr(10) + 'a,1,1,1,')}")


def test_a_yaml_file_declares_a_fleet_with_accelerators_of_its_own(written) -> None:
    text = """
kind: fleet
name: lab
accelerators: [{name: Moon1, memory: 16GiB}]
nodes:
  - {name: n, count: 2, cpus: 8, memory: 32GiB, accelerators: Moon1:4}
"""
    assert [node.accelerators for node in fleet_of(str(written("fleet.yaml", text))).nodes] == [
        ("Moon1",) * 4
    ] * 2


def test_a_yaml_file_without_a_fleet_is_refused(written) -> None:
    with pytest.raises(UsageError, match="declares no fleet"):
        fleet_of(str(written("job.yaml", "kind: job\nname: a\nrun: [echo]\n")))
