"""What is listed: the same columns on a terminal and without one, data for programs, and watching."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Job = Callable[..., Path]

SUANLI = [sys.executable, "-m", "suanli.cli"]
SMALL = "resources: {cpus: 0.1}"


@pytest.fixture(scope="session")
def blocked(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A workload that waits for good."""
    file = tmp_path_factory.mktemp("blocked") / "blocked.yaml"
    file.write_text("kind: job\nname: blocked\nrun: [sleep, '1']\nresources: {cpus: 100}\n")
    subprocess.run(
        [*SUANLI, "apply", "-f", str(file), "--yes", "--home", str(lab)], check=True, capture_output=True
    )
    return "blocked"


def test_ps_says_why_it_waits(on_lab: Cli, blocked: str) -> None:
    lines = on_lab("ps").stdout.splitlines()
    assert lines[0].split() == ["NAME", "KIND", "PRIO", "STATUS", "NODES", "PROGRESS", "WAITED", "RAN", "WHY"]
    assert re.search(
        r"^blocked +job +50 +waiting .*ExceedsFleet: asks for 100 cpus", "\n".join(lines), re.MULTILINE
    )


def test_for_programs_it_is_what_the_api_answers(on_lab: Cli, blocked: str) -> None:
    import yaml

    as_json = json.loads(on_lab("ps", "-o", "json").stdout)
    as_yaml = yaml.safe_load(on_lab("ps", "-o", "yaml").stdout)
    mine = next(view for view in as_json["workloads"] if view["key"] == blocked)
    assert (mine["reason"], mine["will_waiting_help"]) == ("ExceedsFleet", False)
    assert [view["key"] for view in as_json["workloads"]] == [view["key"] for view in as_yaml["workloads"]]


def test_nodes_say_state_room_and_price(on_lab: Cli) -> None:
    assert re.search(
        r"^big +ready +\S+/8 +\S+/64GiB +A100-80GB 2/2 .*\$8\.00", on_lab("nodes").stdout, re.MULTILINE
    )


def test_a_cordoned_node_says_so_until_it_is_used_again(on_lab: Cli) -> None:
    assert on_lab("cordon", "big").stdout == "big takes nothing new\n"
    assert re.search(r"^big +cordoned ", on_lab("nodes").stdout, re.MULTILINE)
    assert on_lab("drain", "big").exit_code == 0
    assert re.search(r"^big +draining ", on_lab("nodes").stdout, re.MULTILINE)
    assert on_lab("uncordon", "big").exit_code == 0
    assert re.search(r"^big +ready ", on_lab("nodes").stdout, re.MULTILINE)


def test_2_a_node_that_there_is_not(on_lab: Cli) -> None:
    done = on_lab("cordon", "nowhere")
    assert done.exit_code == 2
    assert "known" in done.stderr


def test_the_queue_says_whether_anything_helps(on_lab: Cli, blocked: str) -> None:
    assert re.search(r"blocked +50 +\S+ +neither +ExceedsFleet", on_lab("queue").stdout)


def test_verbs_act_on_several_at_once(on_lab: Cli, job: Job) -> None:
    names = ["one", "two"]
    for name in names:
        assert on_lab("apply", "-f", job(name, "resources: {cpus: 100}"), "--yes").exit_code == 0
    assert on_lab("hold", *names).stdout == "one is held\ntwo is held\n"
    assert re.search(r"^one .* held .*Held: ", on_lab("ps").stdout, re.MULTILINE)
    assert on_lab("release", *names).exit_code == 0
    assert json.loads(on_lab("stop", *names, "-o", "json").stdout) == {"keys": names}
    assert on_lab("retry", "one").exit_code == 0
    assert on_lab("stop", "one").exit_code == 0


def test_5_a_verb_that_does_not_apply_now(on_lab: Cli, blocked: str) -> None:
    done = on_lab("retry", blocked)
    assert done.exit_code == 5
    assert "blocked is waiting" in done.stderr


def test_2_a_name_that_there_is_not_and_the_nearest(on_lab: Cli, blocked: str) -> None:
    done = on_lab("stop", "blockd")
    assert done.exit_code == 2
    assert "blocked" in done.stderr


def test_the_policy_is_shown_and_chosen(on_lab: Cli) -> None:
    assert on_lab("policy", "fifo+spread").stdout == "fifo+as-requested+spread\n"
    assert on_lab("policy").stdout == "fifo+as-requested+spread\n"
    assert on_lab("policy", "priority+best-fit").exit_code == 0


def test_events_are_told_in_words_and_as_they_are(on_lab: Cli, blocked: str) -> None:
    assert re.search(r"blocked  accepted  \(local\)$", on_lab("events").stdout, re.MULTILINE)
    entries = json.loads(on_lab("events", "-o", "json").stdout)["entries"]
    assert {"seq", "at_s", "actor", "event"} == set(entries[0])
    last = entries[-1]["seq"]
    assert on_lab("events", "--after", last).stdout == ""


def test_alerts_are_listed(on_lab: Cli) -> None:
    found = json.loads(on_lab("alerts", "-o", "json").stdout)["alerts"]
    assert on_lab("alerts").stdout.startswith("STATUS" if found else "No alerts.")


def test_policies_and_schema_need_no_controller(cli: Cli, tmp_path: Path) -> None:
    assert re.search(r"^place +best-fit +", cli("policies", "--home", tmp_path).stdout, re.MULTILINE)
    told = cli("policies", "--explain", " Easy + spread", "--home", tmp_path).stdout
    assert "Lifka 1995" in told
    assert "place: spread\n" in told
    assert "allocate: " not in told
    part = json.loads(cli("policies", "--explain", "max-min", "-o", "json", "--home", tmp_path).stdout)[
        "parts"
    ][0]
    assert (part["kind"], part["name"]) == ("allocate", "max-min")
    assert "worst off" in part["text"]
    assert "Gavel" in part["of_all"]
    assert json.loads(cli("schema", "--home", tmp_path).stdout)["$schema"].endswith("2020-12/schema")
    assert cli("version").stdout.startswith("suanli 0.")


def test_this_machine_becomes_a_fleet_file(cli: Cli, tmp_path: Path, job: Job) -> None:
    assert "cpus" in cli("nodes", "--discover").stdout
    fleet = tmp_path / "found.yaml"
    fleet.write_text(cli("nodes", "--discover", "-o", "yaml").stdout)
    assert cli("plan", "--fleet", fleet, "-f", job("here", SMALL)).exit_code == 0


def test_on_a_terminal_there_are_colours_and_the_same_columns(terminal: Cli, lab: Path, blocked: str) -> None:
    shown = terminal("ps", "--home", str(lab))
    assert shown.end() == 0
    assert "\x1b[33mwaiting" in shown.said
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown.said).split()[:9] == [
        "NAME", "KIND", "PRIO", "STATUS", "NODES", "PROGRESS", "WAITED", "RAN", "WHY",
    ]  # fmt: skip


@pytest.mark.parametrize("how", [{"NO_COLOR": "1"}, {}])
def test_on_a_terminal_without_colours(terminal: Cli, lab: Path, blocked: str, how: dict[str, str]) -> None:
    shown = terminal("ps", "--home", str(lab), *([] if how else ["--no-color"]), **how)
    assert shown.end() == 0
    assert "\x1b[3" not in shown.said


def test_watching_on_a_terminal_ends_with_0_on_ctrl_c(terminal: Cli, lab: Path, blocked: str) -> None:
    shown = terminal("ps", "--watch", "--home", str(lab))
    shown.wait_for("blocked")
    shown.type("\x03")
    assert shown.end() == 0
    assert "Traceback" not in shown.said


def test_following_events_on_a_terminal_ends_with_0_on_ctrl_c(
    terminal: Cli, on_lab: Cli, job: Job, lab: Path
) -> None:
    shown = terminal("events", "--follow", "--home", str(lab))
    on_lab("apply", "-f", job("followed", "resources: {cpus: 100}"), "--yes")
    shown.wait_for("followed  accepted")
    shown.type("\x03")
    assert shown.end() == 0


def test_watching_without_a_terminal_prints_each_change_once(on_lab: Cli, blocked: str) -> None:
    done = on_lab("ps", "--watch", "--timeout", "3s")
    assert done.exit_code == 124
    assert done.stdout.count("blocked ") == 1


def test_2_watching_as_data(on_lab: Cli) -> None:
    assert on_lab("ps", "--watch", "-o", "json").exit_code == 2


def test_followed_events_are_one_object_a_line_for_programs(on_lab: Cli) -> None:
    done = on_lab("events", "--follow", "-o", "json", "--timeout", "3s")
    assert done.exit_code == 124
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()][:2] == [1, 2]


def test_whoever_has_read_enough_is_no_error(lab: Path) -> None:
    """As in `suanli events | head -1`."""
    reader, writer = os.pipe()
    with subprocess.Popen(
        [*SUANLI, "events", "--follow", "-o", "json", "--home", str(lab)],
        stdout=writer,
        stderr=subprocess.PIPE,
    ) as child:
        os.close(writer)
        os.read(reader, 10)
        os.close(reader)
        for name in ("fifo", "priority"):  # what happens next finds no reader
            subprocess.run([*SUANLI, "policy", name, "--home", str(lab)], check=True, capture_output=True)
        _, err = child.communicate(timeout=100)
    assert (child.returncode, err) == (0, b"")
