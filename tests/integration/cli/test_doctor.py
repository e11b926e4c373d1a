"""`doctor` finds what is wrong, says what to do, and touches nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Cli = Callable[..., Any]


def findings(cli: Cli, home: Path) -> dict[str, dict[str, str]]:
    return {
        found["check"]: found
        for found in json.loads(cli("doctor", "--home", home, "-o", "json").stdout)["checks"]
    }


def test_a_fit_machine_passes_before_anything_was_started(cli: Cli, tmp_path: Path) -> None:
    done = cli("doctor", "--home", tmp_path / "home")
    assert done.exit_code == 0, done.stdout
    assert not (tmp_path / "home").exists()
    for check in (
        "python",
        "packages",
        "cpus",
        "memory",
        "disk",
        "home",
        "port",
        "accelerators",
        "controller",
    ):
        assert check in findings(cli, tmp_path / "home")


def test_a_running_controller_is_found_ready(cli: Cli, lab: Path) -> None:
    found = findings(cli, lab)
    assert "ready" in found["controller"]["seen"]
    assert found["database"]["level"] == "ok"
    assert found["token"]["level"] == "ok"


def test_a_token_that_others_can_read_fails_with_a_remedy(cli: Cli, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o644)
    assert cli("doctor", "--home", tmp_path).exit_code == 1
    assert findings(cli, tmp_path)["token"]["level"] == "fail"
    assert "rm " in findings(cli, tmp_path)["token"]["remedy"]
    assert "secret" not in cli("doctor", "--home", tmp_path).stdout


def test_a_home_that_others_can_write_fails(cli: Cli, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert findings(cli, tmp_path)["home"]["level"] == "fail"


def test_a_database_that_is_none_fails(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "suanli.db").write_bytes(b"no database at all" * 100)
    assert findings(cli, tmp_path)["database"]["level"] == "fail"


def test_a_controller_that_did_not_end_in_order_is_said(cli: Cli, tmp_path: Path) -> None:
    note = {"pid": 2**22 - 1, "host": "127.0.0.1", "port": 1, "started_s": 1.0, "url": "http://127.0.0.1:1"}
    (tmp_path / "server.json").write_text(json.dumps(note))
    assert "did not end in order" in findings(cli, tmp_path)["controller"]["seen"]
