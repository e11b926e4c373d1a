"""`suanli solve`: tables, JSON, a drawing, and exit codes."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "solve"

SMALL = """\
kind: problem
name: small
objective: {objective}
nodes:
  - {{name: n, count: 2, accelerators: T4:4, cpus: 16}}
workloads:
  - {{name: a, resources: {{accelerators: T4:3}}, duration: 2h}}
  - {{name: b, resources: {{accelerators: T4:3}}, duration: 1h}}
  - {{name: c, nodes: {nodes}, resources: {{accelerators: T4:2}}, duration: 1h}}
"""


@pytest.fixture
def small(tmp_path):
    def write(objective="min-completion-time", nodes=2):
        file = tmp_path / "small.yaml"
        file.write_text(SMALL.format(objective=objective, nodes=nodes))
        return file

    return write


def test_every_solver_answers_in_one_table_and_the_best_says_who_goes_where(cli, small):
    done = cli("solve", "-f", small())
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["SOLVER", "STATUS", "DONE", "AFTER", "BOUND", "GAP", "TIME", "NOTE"]
    assert [line.split()[0] for line in lines[1:7]] == ["greedy", "exhaustive", "lp", "mip", "cp", "genetic"]
    assert "dp          not suited" in done.stdout
    assert "3h00m, proved to be optimal" in done.stdout
    assert any(line.split()[:4] == ["c", "n", "n-0,", "n-1"] for line in lines)


def test_json_holds_every_answer_with_its_bound_and_gap(cli, small):
    done = cli("solve", "-f", small("max-utilisation"), "-o", "json")
    data = json.loads(done.stdout)
    assert done.exit_code == 0
    by_solver = {answer["solver"]: answer for answer in data["answers"]}
    assert set(by_solver) == {"greedy", "exhaustive", "dp", "lp", "mip", "cp", "genetic"}
    best = by_solver["exhaustive"]
    assert best["objective"] == by_solver["mip"]["objective"] == by_solver["cp"]["objective"] == data["bound"]
    assert best["left_out"] == ["c"]
    assert all(answer["time_s"] >= 0 and answer["bound"] >= best["objective"] for answer in data["answers"])


def test_one_solver_is_asked_by_its_name(cli, small):
    data = json.loads(cli("solve", "-f", small(), "--solver", "greedy", "-o", "json").stdout)
    assert [answer["solver"] for answer in data["answers"]] == ["greedy"]


def test_a_field_can_be_changed_on_the_command_line(cli, small):
    done = cli("solve", "-f", small(), "--solver", "mip", "--set", "workloads.0.duration=5h", "-o", "json")
    assert json.loads(done.stdout)["answers"][0]["completion_s"] == 6 * 3600


def test_what_can_never_all_run_ends_with_three(cli, small):
    done = cli("solve", "-f", small("min-cost", nodes=3))
    assert done.exit_code == 3
    assert "Proved: not everything can run" in done.stdout
    assert "On none of them, even alone: c" in done.stdout


def test_the_placement_is_drawn_into_a_page_that_opens_offline(cli, small, tmp_path):
    page = tmp_path / "out" / "page.html"
    done = cli("solve", "-f", small(), "--solver", "mip", "--draw", page)
    assert done.exit_code == 0
    assert str(page) in done.stderr
    assert "Who runs where, and when" in page.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--solver", "magic"], "There are greedy, exhaustive, dp, lp, mip, cp, genetic, and all."),
        (["--gap", "lots"], "expected a share"),
        (["--solver", "dp"], "gangs may wait"),
        (["--set", "workloads.0.duration=soon"], "expected a duration"),
    ],
)
def test_bad_usage_ends_with_two_and_a_remedy(cli, small, words, said):
    done = cli("solve", "-f", small(), *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_mistake_in_the_file_is_told_with_its_line(cli, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text(SMALL.format(objective="min-price", nodes=2))
    done = cli("solve", "-f", file)
    assert done.exit_code == 2
    assert f"{file}:3:" in done.stderr
    assert "min-cost" in done.stderr


def test_a_file_without_a_problem_says_what_one_is(cli, fleet_file):
    done = cli("solve", "-f", fleet_file)
    assert done.exit_code == 2
    assert "kind: problem" in done.stderr


def test_a_problem_is_not_planned_and_the_right_command_is_named(cli, small, fleet_file):
    done = cli("plan", "-f", small(), "--fleet", fleet_file)
    assert done.exit_code == 2
    assert "suanli solve" in done.stderr


def test_a_mix_without_demands_is_nothing_and_says_why(cli):
    done = cli("solve", "-f", EXAMPLES / "unfinished.yaml")
    assert done.exit_code == 0
    assert "objective 0, cost $0.00, optimal" in done.stdout
    assert "`demands`" in done.stdout


def test_a_mix_says_quantities_and_prices_of_demands(cli):
    data = json.loads(cli("solve", "-f", EXAMPLES / "mix.yaml", "-o", "json").stdout)
    assert data["status"] == "optimal"
    assert data["objective"] == pytest.approx(sum(q["cost_usd"] for q in data["quantities"]))
    assert data["demands"][0]["amount"] == pytest.approx(6000)
    assert data["demands"][0]["price"] > 0


def test_a_mix_whose_demands_cannot_be_met_ends_with_three(cli):
    done = cli("solve", "-f", EXAMPLES / "mix.yaml", "--set", "demands.0.at_least=1e6")
    assert done.exit_code == 3


def test_help_loads_no_solver(process):
    done = process("solve", "--help")
    assert done.code == 0
    assert "--solver" in done.out
