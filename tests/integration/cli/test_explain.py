"""`explain`: the reason, its numbers, what would help; of running work where, and why there."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cli = Callable[..., Any]
Job = Callable[..., Path]


def test_what_waits_says_reason_evidence_and_what_would_make_it_run(on_lab: Cli, job: Job) -> None:
    assert on_lab("apply", "-f", job("large", "resources: {cpus: 100}"), "--yes").exit_code == 0
    told = on_lab("explain", "large").stdout
    assert told.startswith(
        "large is waiting: ExceedsFleet: asks for 100 cpus on one node; the largest has 8 cpus\n"
    )
    assert re.search(r"^  evidence +.*asked 100", told, re.MULTILINE)
    assert re.search(r"^  will it help +waiting alone will not help$", told, re.MULTILINE)
    assert re.search(
        r"^  would run now if +--set resources\.cpus=8 +it asked for 8 of cpus", told, re.MULTILINE
    )
    assert "so far" not in told


def test_what_it_says_would_make_it_run_does(on_lab: Cli, job: Job) -> None:
    file = job("larger", "resources: {cpus: 200}")
    assert on_lab("apply", "-f", file, "--yes").exit_code == 0
    change = re.findall(r"--set (\S+)", on_lab("explain", "larger").stdout)[0]
    assert on_lab("stop", "larger").exit_code == 0
    assert on_lab("plan", "-f", file, "--set", change).exit_code == 0


def test_once_more_it_tells_what_happened_and_twice_all_the_evidence(on_lab: Cli, job: Job) -> None:
    assert on_lab("apply", "-f", job("told", "resources: {cpus: 100}"), "--yes").exit_code == 0
    assert re.search(
        r"^  so far +\S+  accepted \(local\)$", on_lab("explain", "told", "-v").stdout, re.MULTILINE
    )
    assert re.search(r"^  largest node has +8$", on_lab("explain", "told", "-vv").stdout, re.MULTILINE)


def test_what_runs_says_where_and_by_which_policy(on_lab: Cli, job: Job) -> None:
    file = job("up-and-running", "resources: {cpus: 0.1}", kind="serve")
    assert on_lab("apply", "-f", file, "--yes", "--wait", "--timeout", "30s").exit_code == 0
    told = on_lab("explain", "up-and-running").stdout
    assert "\n\nup-and-running/0 is running" in told
    assert re.search(r"^  where +(big|small) by \S+\+\S+\+\S+, decided at ", told, re.MULTILINE)


def test_all_replicas_are_explained_under_the_name_of_their_service(on_lab: Cli, job: Job) -> None:
    assert (
        on_lab("apply", "-f", job("twin", "replicas: 2", "hold: true", kind="serve"), "--yes").exit_code == 0
    )
    explained = json.loads(on_lab("explain", "twin", "-o", "json").stdout)["explanations"]
    assert [each["key"] for each in explained] == ["twin/0", "twin/1"]
    assert len(json.loads(on_lab("explain", "twin/1", "-o", "json").stdout)["explanations"]) == 1


def test_a_service_says_how_many_replicas_it_has_and_of_which_only_those_that_stand(
    on_lab: Cli, job: Job
) -> None:
    file = job("shop", "replicas: 1..3", "hold: true", kind="serve")
    assert on_lab("apply", "-f", file, "--yes").exit_code == 0
    assert on_lab("scale", "shop", "2").exit_code == 0
    told = on_lab("explain", "shop").stdout
    assert told.startswith("shop: 0 of 2 replicas answer, 1..3 may run\n")
    assert on_lab("scale", "shop", "1").exit_code == 0
    told = on_lab("explain", "shop").stdout
    assert told.startswith("shop: 0 of 1 replicas answer, 1..3 may run\nlast change: ")
    assert "\n\nshop/0 is " in told
    assert "shop/1 is " not in told
