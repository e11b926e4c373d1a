"""`plan`: the contract of docs/reference/plan.md, with a fleet alone and against a controller."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "plan.md"

FITS = "resources: {cpus: 2, memory: 1GiB}"
GANG = "nodes: 2\nresources: {cpus: 4}"
FULL = "resources: {cpus: 8}\npriority: 90"
WAITS = "resources: {cpus: 6}"
NEVER = "resources: {accelerators: 'H100:8'}"


@pytest.fixture(scope="module")
def contract() -> jsonschema.Draft202012Validator:
    schema = json.loads(re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)[0])
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(closed(schema))


def closed(schema: Any) -> Any:
    """What is on the page is all that there is: a new member must be described there first."""
    if isinstance(schema, dict):
        inner = {name: closed(value) for name, value in schema.items()}
        return {**inner, "additionalProperties": False} if "properties" in schema else inner
    return [closed(item) for item in schema] if isinstance(schema, list) else schema


@pytest.fixture
def plan(cli: Callable[..., Any], fleet_file: Path, job: Callable[..., Path]) -> Callable[..., Any]:
    """Plan the given jobs for the fleet alone."""

    def run(jobs: dict[str, str], *words: object) -> Any:
        files = [word for name, lines in jobs.items() for word in ("-f", job(name, lines))]
        return cli("plan", "--fleet", fleet_file, *files, *words)

    return run


def test_the_answer_is_as_described(
    plan: Callable[..., Any], contract: jsonschema.Draft202012Validator
) -> None:
    done = plan({"first": FULL, "gang": GANG, "later": WAITS, "never": NEVER}, "-o", "json")
    answer = json.loads(done.stdout)
    contract.validate(answer)
    assert answer["placements"]
    assert {wait["workload"] for wait in answer["waiting"]} >= {"later", "never"}
    assert any(wait["would_run_if"] for wait in answer["waiting"])


def test_a_controllers_answer_is_the_same_contract(
    on_lab: Callable[..., Any], job: Callable[..., Path], contract: jsonschema.Draft202012Validator
) -> None:
    done = on_lab("plan", "-f", job("asked-only", FITS), "-f", job("asked-too", NEVER), "-o", "json")
    contract.validate(json.loads(done.stdout))
    assert "asked-only" not in on_lab("ps", "--all").stdout


def test_what_would_come_of_a_change_is_compared_and_the_plan_stays_the_same(
    plan: Callable[..., Any], contract: jsonschema.Draft202012Validator
) -> None:
    jobs = {"first": f"{FULL}\nduration: 10m", "later": f"{WAITS}\nduration: 5m"}
    changes = ("--what-if", "later:resources.cpus=1", "--what-if", "policy=fifo")
    answer = json.loads(plan(jobs, *changes, "-o", "json").stdout)
    contract.validate(answer)
    assert answer["what_if"]["changes"] == ["later:resources.cpus=1", "policy=fifo"]
    assert answer["what_if"]["assumed"] == []
    assert answer["plan_id"] == json.loads(plan(jobs, "-o", "json").stdout)["plan_id"]
    shown = plan(jobs, *changes).stdout
    assert re.search(r"AS THINGS ARE +IF later:resources.cpus=1, policy=fifo", shown)
    assert re.search(r"all ended after +\d+m", shown)


def test_a_controller_compares_with_all_that_runs_there(
    on_lab: Callable[..., Any], job: Callable[..., Path], contract: jsonschema.Draft202012Validator
) -> None:
    done = on_lab("plan", "-f", job("asked-only", FITS), "--what-if", "policy=sjf", "-o", "json")
    answer = json.loads(done.stdout)
    contract.validate(answer)
    assert answer["what_if"]["then"]["policy"].startswith("sjf+")
    wrong = on_lab("plan", "-f", job("asked-only", FITS), "--what-if", "fleet.nodes.nix.count=+1")
    assert wrong.exit_code == 2
    assert "no nodes 'nix'" in wrong.stderr


def test_a_gang_is_placed_on_as_many_nodes_as_it_asks_for(plan: Callable[..., Any]) -> None:
    answer = json.loads(plan({"gang": GANG}, "-o", "json").stdout)
    assert sorted(placement["node"] for placement in answer["placements"]) == ["big", "small"]
    assert answer["cost_per_hour"] == pytest.approx(0.4 + 0.0)


def test_the_same_question_has_the_same_id_and_another_has_another(plan: Callable[..., Any]) -> None:
    one, same = (json.loads(plan({"a": FITS}, "-o", "json").stdout)["plan_id"] for _ in range(2))
    other = json.loads(plan({"a": WAITS}, "-o", "json").stdout)["plan_id"]
    assert one == same != other


def test_0_what_fits(plan: Callable[..., Any]) -> None:
    assert plan({"a": FITS}).exit_code == 0


def test_0_what_waits_is_no_failure_unless_asked_for(plan: Callable[..., Any]) -> None:
    assert plan({"first": FULL, "later": WAITS}).exit_code == 0


def test_4_what_waits_where_waiting_is_a_failure(plan: Callable[..., Any]) -> None:
    done = plan({"first": FULL, "later": WAITS}, "--fail-if-waiting")
    assert done.exit_code == 4
    assert "later would wait" in done.stdout


def test_3_what_can_never_fit(plan: Callable[..., Any]) -> None:
    done = plan({"never": NEVER}, "-o", "json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["waiting"][0]["never_fits"] is True


def test_2_a_declaration_that_is_wrong_says_file_line_field_and_remedy(plan: Callable[..., Any]) -> None:
    done = plan({"a": "resources: {cpus: 2, memroy: 1GiB}"})
    assert done.exit_code == 2
    assert done.stdout == ""
    assert re.search(r"a\.yaml:4:\d+: job a: resources\.memroy", done.stderr)
    assert "memory" in done.stderr


def test_2_a_file_that_is_not_there(cli: Callable[..., Any], fleet_file: Path) -> None:
    done = cli("plan", "--fleet", fleet_file, "-f", "nowhere.yaml")
    assert done.exit_code == 2
    assert "nowhere.yaml cannot be read" in done.stderr


def test_2_a_policy_that_there_is_not(plan: Callable[..., Any]) -> None:
    done = plan({"a": FITS}, "--policy", "priorty")
    assert done.exit_code == 2
    assert "Did you mean priority?" in done.stderr


def test_2_and_a_problem_object_on_stderr_for_programs(plan: Callable[..., Any]) -> None:
    done = plan({"a": "resources: {cpus: many}"}, "-o", "json")
    problem = json.loads(done.stderr)
    assert done.stdout == ""
    assert (problem["exit_code"], problem["status"], problem["code"]) == (2, 422, "SL-SPEC")
    assert problem["problems"][0]["field"] == "resources.cpus"


def test_a_field_can_be_changed_on_the_way(plan: Callable[..., Any]) -> None:
    answer = json.loads(plan({"a": FITS, "b": FITS}, "--set", "b:resources.cpus=3", "-o", "json").stdout)
    assert {p["workload"]: p["resources"]["cpus"] for p in answer["placements"]} == {"a": 2.0, "b": 3.0}


def test_what_would_make_it_run_is_said_as_set_takes_it(plan: Callable[..., Any]) -> None:
    too_big = {"large": "resources: {cpus: 100}"}
    change = json.loads(plan(too_big, "-o", "json").stdout)["waiting"][0]["would_run_if"][0]["change"]
    assert change == "resources.cpus=8"
    assert plan(too_big, "--set", f"large:{change}", "--fail-if-waiting").exit_code == 0


def test_files_come_from_stdin_and_folders_too(
    cli: Callable[..., Any], fleet_file: Path, job: Callable[..., Path]
) -> None:
    folder = job("in-folder", FITS).parent
    typed = "kind: job\nname: typed\nrun: [sleep, '1']\n"
    done = cli(
        "plan", "-f", fleet_file, "-f", "-", "-f", folder, "--fleet", fleet_file, "-o", "json", stdin=typed
    )
    assert {p["workload"] for p in json.loads(done.stdout)["placements"]} == {"in-folder", "typed"}


def test_the_table_names_nodes_prices_and_the_id(plan: Callable[..., Any]) -> None:
    done = plan({"a": FITS})
    assert re.search(r"^a +small +2 cpus, 1GiB of memory +now +\$0\.20$", done.stdout, re.MULTILINE)
    assert re.search(r"plan-[0-9a-f]{16}  policy priority\+as-requested\+best-fit", done.stdout)
