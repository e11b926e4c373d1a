"""`apply` does what was shown, asks where it can, and waits where it is told to."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cli = Callable[..., Any]
Job = Callable[..., Path]

SMALL = "resources: {cpus: 0.1}"


def plan_id(on_lab: Cli, file: Path) -> str:
    return json.loads(on_lab("plan", "-f", file, "-o", "json").stdout)["plan_id"]


def status(on_lab: Cli, key: str) -> str:
    views = json.loads(on_lab("ps", "--all", "-o", "json").stdout)["workloads"]
    return next(view["status"] for view in views if view["key"] == key)


def test_without_a_terminal_it_names_the_options_that_answer(on_lab: Cli, job: Job) -> None:
    done = on_lab("apply", "-f", job("unasked", SMALL))
    assert done.exit_code == 2
    assert "--yes" in done.stderr
    assert "--plan-id" in done.stderr
    assert "unasked" not in on_lab("ps", "--all").stdout


def test_with_yes_it_shows_the_plan_on_stderr_and_the_outcome_on_stdout(on_lab: Cli, job: Job) -> None:
    done = on_lab("apply", "-f", job("agreed", SMALL), "--yes")
    assert done.exit_code == 0
    assert re.search(r"^agreed +small ", done.stderr, re.MULTILINE)
    assert done.stdout == "agreed accepted\n"


def test_it_applies_the_plan_that_it_showed(on_lab: Cli, job: Job) -> None:
    file = job("as-shown", SMALL)
    shown = plan_id(on_lab, file)
    done = on_lab("apply", "-f", file, "--yes", "-o", "json")
    assert json.loads(done.stdout)["plan_id"] == shown
    assert done.stderr == ""


def test_a_plan_that_was_looked_at_is_applied_by_its_id(on_lab: Cli, job: Job) -> None:
    shown = plan_id(on_lab, job("by-id", SMALL))
    done = on_lab("apply", "--plan-id", shown)
    assert (done.exit_code, done.stdout) == (0, "by-id accepted\n")


def test_5_a_plan_that_has_gone_stale(on_lab: Cli, job: Job) -> None:
    file = job("stale", SMALL)
    shown = plan_id(on_lab, file)
    assert on_lab("apply", "-f", file, "--yes").exit_code == 0
    done = on_lab("apply", "--plan-id", shown)
    assert done.exit_code == 5
    assert "SL-PLAN-STALE" in done.stderr


def test_2_a_plan_that_nobody_was_shown(on_lab: Cli) -> None:
    done = on_lab("apply", "--plan-id", "plan-0000000000000000")
    assert done.exit_code == 2
    assert "SL-PLAN-UNKNOWN" in done.stderr


def test_again_nothing_is_to_do(on_lab: Cli, job: Job) -> None:
    file = job("twice", SMALL, "duration: 1h")
    assert on_lab("apply", "-f", file, "--yes").exit_code == 0
    done = on_lab("apply", "-f", file, "--yes")
    assert (done.exit_code, done.stdout) == (0, "twice unchanged\n")


def test_5_another_declaration_of_what_is_there(on_lab: Cli, job: Job) -> None:
    assert on_lab("apply", "-f", job("changed", SMALL, "duration: 1h"), "--yes").exit_code == 0
    done = on_lab("apply", "-f", job("changed", SMALL, "duration: 2h"), "--yes")
    assert done.exit_code == 5
    assert "suanli stop changed" in done.stderr


def test_the_same_again_under_an_idempotency_key_answers_the_same(on_lab: Cli, job: Job) -> None:
    words = ("apply", "-f", job("key-a", SMALL), "-y", "--idempotency-key", "k1")
    assert on_lab(*words).stdout == "key-a accepted\n"
    assert on_lab(*words).stdout == "key-a accepted\n"


def test_5_an_idempotency_key_that_meant_something_else(on_lab: Cli, job: Job) -> None:
    assert on_lab("apply", "-f", job("key-b", SMALL), "-y", "--idempotency-key", "k2").exit_code == 0
    done = on_lab("apply", "-f", job("key-c", SMALL), "-y", "--idempotency-key", "k2")
    assert done.exit_code == 5
    assert "key-c" not in on_lab("ps", "--all").stdout


def test_what_can_never_fit_is_accepted_and_says_why_it_waits(on_lab: Cli, job: Job) -> None:
    done = on_lab("apply", "-f", job("hopeless", "resources: {accelerators: 'H100:8'}"), "--yes")
    assert done.exit_code == 0
    assert "NoSuchAccelerator" in done.stderr
    assert status(on_lab, "hopeless") == "waiting"


def test_it_waits_until_the_job_has_ended(on_lab: Cli, job: Job) -> None:
    done = on_lab("apply", "-f", job("waited", SMALL, "duration: 1s"), "--yes", "--wait", "--timeout", "30s")
    assert done.exit_code == 0, done.stderr
    assert status(on_lab, "waited") == "succeeded"


def test_it_waits_until_a_service_answers(on_lab: Cli, job: Job) -> None:
    file = job("answering", SMALL, "replicas: 2", kind="serve")
    done = on_lab("apply", "-f", file, "--yes", "--wait", "--timeout", "30s")
    assert done.exit_code == 0, done.stderr
    assert re.search(r"^answering +(steady|updating) +2/2 +1\b", on_lab("services").stdout, re.MULTILINE)


def test_124_what_takes_longer_than_allowed_goes_on(on_lab: Cli, job: Job) -> None:
    file = job("too-long", SMALL, "duration: 1h")
    done = on_lab("apply", "-f", file, "--yes", "--wait", "--timeout", "1s")
    assert done.exit_code == 124
    assert status(on_lab, "too-long") in ("starting", "running")


def test_1_a_workload_that_was_waited_for_and_did_not_succeed(
    on_lab: Cli, job: Job, process: Callable[..., Any], lab: Path
) -> None:
    assert on_lab("apply", "-f", job("doomed", SMALL, "hold: true"), "--yes").exit_code == 0
    assert on_lab("stop", "doomed").exit_code == 0
    done = on_lab("apply", "-f", job("doomed", SMALL, "hold: true"), "--yes", "--wait", "--timeout", "1s")
    assert done.exit_code == 124  # accepted anew, and held again
    on_lab("stop", "doomed")


def test_files_or_a_plan_but_not_neither(on_lab: Cli) -> None:
    assert on_lab("apply", "--yes").exit_code == 2


def test_on_a_terminal_it_asks_and_no_means_no(terminal: Cli, on_lab: Cli, job: Job, lab: Path) -> None:
    asked = terminal("apply", "-f", str(job("refused", SMALL)), "--home", str(lab))
    asked.wait_for("Apply it? [y/N]")
    asked.type("n\n")
    assert asked.end() == 0
    assert "refused" not in on_lab("ps", "--all").stdout


def test_on_a_terminal_it_asks_and_yes_means_yes(terminal: Cli, on_lab: Cli, job: Job, lab: Path) -> None:
    asked = terminal("apply", "-f", str(job("accepted", SMALL)), "--home", str(lab))
    asked.wait_for("Apply it? [y/N]")
    asked.type("y\n")
    asked.wait_for("accepted accepted")
    assert asked.end() == 0
