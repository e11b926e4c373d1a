import io
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from suanli.telemetry import logs
from suanli.telemetry.logs import configure_logs, hide_secrets

CANARY = "canary-5f0c2e"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A log file; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield tmp_path / "suanli.log"
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    structlog.reset_defaults()


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_in_the_file_is_json_with_time_level_and_fields(file: Path):
    configure_logs(file, terminal=io.StringIO())
    structlog.get_logger("suanli.control").info("placed", key="train", number=2)
    (line,) = lines(file)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "placed",
        "logger": "suanli.control",
        "level": "info",
        "key": "train",
        "number": 2,
    }


def test_people_get_a_line_without_colours_where_there_is_no_terminal(file: Path):
    shown = io.StringIO()
    configure_logs(file, terminal=shown)
    structlog.get_logger("suanli.control").warning("node lost", node="n1")
    assert "node lost" in shown.getvalue()
    assert "node=n1" in shown.getvalue()
    assert "\x1b[" not in shown.getvalue()


def test_a_terminal_gets_colours(file: Path):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    configure_logs(file, terminal=shown)
    structlog.get_logger("suanli.control").warning("node lost")
    assert "\x1b[" in shown.getvalue()


def test_the_file_and_its_rotated_ones_are_for_their_owner_alone(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "_FILE_BYTES_MAX", 2_000)
    file.touch(0o644)
    configure_logs(file, terminal=io.StringIO())
    for number in range(200):
        structlog.get_logger("suanli").info("line", number=number)
    files = sorted(file.parent.iterdir())
    assert len(files) == 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert all(path.stat().st_size <= 2_000 for path in files)


def test_what_libraries_log_takes_the_same_way(file: Path):
    configure_logs(file, terminal=io.StringIO())
    logging.getLogger("some.library").warning("it took %d s", 3, extra={"port": 80})
    (line,) = lines(file)
    assert (line["event"], line["logger"], line["level"], line["port"]) == (
        "it took 3 s",
        "some.library",
        "warning",
        80,
    )


def test_lines_below_the_level_are_left_out(file: Path):
    configure_logs(file, level="warning", terminal=io.StringIO())
    structlog.get_logger("suanli").info("quiet")
    logging.getLogger("some.library").info("quiet")
    structlog.get_logger("suanli").error("loud")
    assert [line["event"] for line in lines(file)] == ["loud"]


def test_configuring_twice_logs_once(file: Path):
    configure_logs(file, terminal=io.StringIO())
    configure_logs(file, terminal=io.StringIO())
    structlog.get_logger("suanli").info("once")
    assert len(lines(file)) == 1


def test_a_value_that_json_does_not_know_is_written_as_text(file: Path):
    configure_logs(file, terminal=io.StringIO())
    structlog.get_logger("suanli").info("odd", where=Path("/data"), names={"b"}, of=[Path("x")], none=None)
    (line,) = lines(file)
    assert (line["where"], line["names"], line["of"], line["none"]) == ("/data", "{'b'}", ["x"], None)


@pytest.mark.parametrize(
    "fields",
    [
        {"token": CANARY},
        {"hf_token": CANARY, "HF_TOKEN": CANARY, "accessToken": CANARY},
        {"Authorization": f"Bearer {CANARY}"},
        {"password": CANARY, "db-password": CANARY, "client_secret": CANARY},
        {"api_key": CANARY, "apikey": CANARY, "x-api-key": CANARY, "private_key": CANARY, "cookie": CANARY},
        {"headers": {"authorization": CANARY, "accept": "text"}},
        {"env": [{"WANDB_API_KEY": CANARY}]},
        {"text": f"Authorization: Bearer {CANARY}"},
        {"text": f"sent bearer {CANARY} twice"},
        {"text": f"GET /?token={CANARY}&a=1"},
        {"text": f'{{"password": "{CANARY}"}}'},
        {"text": f"postgresql://suanli:{CANARY}@db/suanli"},
        {"error": ValueError(f"secret={CANARY}")},
    ],
)
def test_secrets_are_in_neither_the_file_nor_the_terminal(file: Path, fields: dict):
    shown = io.StringIO()
    configure_logs(file, terminal=shown)
    structlog.get_logger("suanli").info("did", **fields)
    logging.getLogger("some.library").warning("did %s", fields)
    try:
        raise ValueError(f"token={CANARY}")
    except ValueError:
        structlog.get_logger("suanli").exception("failed")
        logging.getLogger("some.library").exception("failed")
    assert CANARY not in file.read_text() + shown.getvalue()
    assert len(lines(file)) == 4
    assert "[hidden]" in shown.getvalue()


def test_what_only_sounds_like_a_secret_is_shown():
    event = {"event": "served", "max_tokens": 512, "tokens_per_s": 20.5, "tokenizer": "bpe", "token": None}
    assert hide_secrets(None, "info", dict(event)) == event


def test_nesting_without_end_is_cut():
    endless: dict = {}
    endless["again"] = endless
    assert "…" in str(hide_secrets(None, "info", {"event": "deep", "value": endless}))
