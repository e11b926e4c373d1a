"""`--set [NAME:]path=value`."""

import pytest

TEXT = """
kind: fleet
name: lab
nodes: [{name: n, cpus: 4, memory: 8GiB}]
---
kind: job
name: a
run: x
nodes: 4
data: [{uri: u}]
---
kind: serve
name: b
run: x
"""


def test_without_a_name_all_workloads_change_and_the_fleet_does_not(declare):
    read = declare(TEXT, overrides=["priority=70", "resources.cpus=2"])
    assert [(w.priority, w.demand.cpus) for w in read.workloads] == [(70, 2), (70, 2)]


def test_with_a_name_only_that_document_changes(declare):
    read = declare(TEXT, overrides=["a:hold=true", "lab:nodes.0.cpus=8"])
    assert [w.held for w in read.workloads] == [True, False]
    assert read.fleet.nodes[0].cpus == 8


def test_where_there_are_no_workloads_the_fleet_changes(declare):
    assert declare(TEXT.partition("---")[0], overrides=["name=other"]).fleet.name == "other"


def test_values_are_yaml(declare):
    overrides = [
        "a:resources.accelerators=[T4:2, H100:2]",
        "a:data.0.size=1GiB",
        "a:env.URL=http://x:80",
        "after=[]",
    ]
    read = declare(TEXT, overrides=overrides).workloads[0]
    assert [a.model for a in read.demand.accelerators] == ["T4", "H100"]
    assert read.data[0].size_bytes == 2**30
    assert read.env == {"URL": "http://x:80"}


def test_an_empty_value_takes_the_field_away(declare):
    assert declare(TEXT, overrides=["a:nodes="]).workloads[0].nodes == 1


def test_either_spelling_of_nodes_takes_the_place_of_the_other(declare):
    assert declare(TEXT, overrides=["a:resources.nodes=2"]).workloads[0].nodes == 2
    assert declare(TEXT, overrides=["a:resources.nodes=2", "a:nodes=3"]).workloads[0].nodes == 3


@pytest.mark.parametrize(
    ("override", "message", "remedy"),
    [
        ("priority", "expected [NAME:]path=value", "--set priority=70"),
        ("c:priority=1", "there is no document c", "lab, a, b"),
        ("a:run.x=1", "cannot be set inside the text 'x'", ""),
        ("a:data.3.uri=x", "no position in a list of 1", ""),
        ("a:resurces.cpus=3", "no field `resurces`", "Did you mean `resources`?"),
        ("a:priority=200", "from 0 to 100; got '200'", "priority"),
        ("a:data." + "9" * 5000 + "=1", "no position in a list of 1", ""),
        ("a" + ".a" * 5000 + "=1", "expected [NAME:]path=value", ""),
        ("a:env=[", "not YAML", "brackets"),
    ],
)
def test_a_wrong_override_is_told_as_such(mistakes, override, message, remedy):
    (problem,) = mistakes(TEXT, overrides=[override])
    assert problem.file == f"--set {override[:80]}"
    assert message in problem.message
    assert remedy in problem.remedy
