"""What `make bench-serve` counts, and what it draws."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_a_message_is_whole_when_its_length_or_its_last_chunk_is_there() -> None:
    from serve_load import ANSWER, ASK, STREAM_BEGIN, STREAM_END, whole

    for message in (ASK, ANSWER, STREAM_BEGIN + STREAM_END, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"):
        assert whole(message)
        assert not any(whole(message[:end]) for end in range(len(message)))


def seen(latency_s: list[float], status: list[int], replicas: list[tuple[float, int, int]]) -> Any:
    """Ten requests a second for as long as there are latencies."""
    from serve_cells_load import Asked, Told
    from serve_step import Seen

    sent_s = [number / 10 for number in range(len(latency_s))]
    told = Told(status, latency_s, sent_s, [0.0] * len(latency_s))
    asked = Asked("chat", sent_s, [0.05] * len(latency_s))
    return Seen(asked=asked, told=told, replicas=replicas, cpu_busy=0.1)


def test_a_second_counts_against_the_slo_when_one_of_ten_requests_was_late_or_failed() -> None:
    from serve_step import told_of

    latency_s, status = [0.1] * 40, [200] * 40
    latency_s[15], status[27] = 0.3, 503
    row = told_of("ours", seen(latency_s, status, [(-0.5, 1, 1)]))
    assert (row["violation_s"], row["failed"]) == (2, 1)


def test_replica_hours_are_counted_from_the_first_request_to_the_last() -> None:
    from serve_step import told_of

    counted = [(-5.0, 2, 2), (10.0, 4, 3), (20.0, 1, 1), (1000.0, 8, 8)]
    row = told_of("ours", seen([0.1] * 301, [200] * 301, counted))
    assert row["replica_hours"] == pytest.approx((2 * 10 + 4 * 10 + 1 * 10) / 3600, abs=1e-4)


def test_what_was_measured_is_drawn_in_xml_that_can_be_read(tmp_path: Path) -> None:
    from serve_drawing import draw
    from serve_step import told_of

    rows = [told_of(name, seen([0.1] * 300, [200] * 300, [(0.0, 2, 2)])) for name in ("suanli", "ray-serve")]
    curves = {f"by five seconds, {row['what']}": json.loads(str(row["series"])) for row in rows}
    known = {
        "step": {"limit_ms": 200.0, "rows": rows, **curves},
        "gateway": {"rows": [{"what": "suanli", "cpu_ms": 0.06}, {"what": "litellm", "left out": "why"}]},
        "lifecycle": {
            "answered": 10,
            "length_s": 9.0,
            "rows": [{"step": "steady & calm", "began_s": 0.0, "failed": 0}],
        },
        "cells": {"rows": [{"real": 0.9, "simulated": 0.91}, {"real": 0.8, "simulated": 0.8}]},
    }
    drawn = draw(known, tmp_path / "serve.svg")
    texts = {text.text for text in ET.parse(drawn).iter("{http://www.w3.org/2000/svg}text")}
    assert {"steady & calm: none", "ray-serve", "Replicas there"} <= texts
