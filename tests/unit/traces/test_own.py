"""Our own CSV."""

from pathlib import Path

import pytest

from suanli.spec import SpecErrors
from suanli.traces import Context, Table, read
from suanli.traces.own import COLUMNS, write_own

FULL = (
    "name,at_s,work,nodes,nodes_min,nodes_max,accelerators,accelerators_per_node,cpus,speeds,deadline_s,preemptible\n"
    "a,0.5,inf,2,1,4,V100|k80,,2,V100=3|K80=0.5,99,no\n"
    "b,1,10,,,,,,,,,\n"
)


def test_names_are_the_catalogues_and_empty_cells_mean_the_default(written) -> None:
    first, second = read(str(written("t.csv", FULL))).rows
    assert first.accelerators == ("V100-16GB", "K80")
    assert first.speeds == {"V100-16GB": 3.0, "K80": 0.5}
    assert (first.elastic_nodes, first.accelerators_per_node, first.preemptible) == ((1, 4), 1.0, False)
    assert (second.nodes, second.accelerators, second.deadline_s, second.priority) == (1, (), None, 50)


def test_a_trace_written_reads_back_the_same(written, tmp_path: Path) -> None:
    table = read(f"csv:{written('t.csv', FULL)}")
    write_own(table, tmp_path / "again.csv")
    assert read(str(tmp_path / "again.csv")).rows == table.rows


def test_everything_that_does_not_go_together_is_told_with_its_line(written) -> None:
    text = (
        "name,at_s,work,nodes,nodes_min,nodes_max,accelerators,accelerators_per_node,speeds,kind,priority,nmae\n"
        "a,0,1,5,1,4,,,,,,\n"
        "b,0,1,1,,,,2,,,,\n"
        "c,0,1,1,,,K80,1.5,,,,\n"
        "d,0,1,1,,,K81,1,K80=,,,\n"
        "e,0,1,1,,,*,1,,cron,101,\n"
    )
    with pytest.raises(SpecErrors) as error:
        read(str(written("t.csv", text)))
    assert [(problem.line, problem.field) for problem in error.value.problems] == [
        (1, ""),
        (2, "nodes_min"),
        (3, "accelerators_per_node"),
        (4, "accelerators_per_node"),
        (5, "accelerators"),
        (5, "speeds"),
        (6, "kind"),
        (6, "priority"),
    ]
    assert "Did you mean `name`?" in str(error.value)


def test_accelerators_of_the_fleets_own_are_known_where_the_fleet_is(written) -> None:
    path = written("t.csv", "name,at_s,work,accelerators\na,0,1,Moon1\n")
    assert read(str(path), Context(models=("Moon1",))).rows[0].accelerators == ("Moon1",)
    with pytest.raises(SpecErrors, match="Moon1"):
        read(str(path))


def test_the_reference_page_names_every_column() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "traces.md").read_text(encoding="utf-8")
    assert [name for name in COLUMNS if f"| `{name}` |" not in page] == []


def test_a_table_without_rows_is_written_as_its_header_alone(tmp_path: Path) -> None:
    write_own(Table(name="none", rows=()), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text(encoding="utf-8").split() == [",".join(COLUMNS)]
