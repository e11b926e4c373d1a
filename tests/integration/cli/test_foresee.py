"""`suanli foresee`: how many replicas keep a promise, for a file or a service that runs."""

import json

import pytest

CHAT = """\
kind: serve
name: chat
run: serve
replicas: 1..10
slo: {p95: 150ms}
gateway: {concurrency: 1}
"""


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "chat.yaml"
    file.write_text(CHAT)
    return file


def test_the_fewest_replicas_that_keep_the_promise_are_told(cli, file):
    done = cli("foresee", "-f", file, "--rate", "60", "--takes", "50ms", "-o", "json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["fewest"]) == (0, 4)
    kept = {row["replicas"]: row["keeps_slo"] for row in told["rows"]}
    assert kept == {3: False, 4: True, 5: True}
    assert told["rise"] is None


def test_a_sample_of_times_may_be_given(cli, file, tmp_path):
    times = tmp_path / "times.txt"
    times.write_text("# seconds\n0.03\n50ms\n\n70ms\n")
    done = cli("foresee", "-f", file, "--rate", "20", "--takes", times, "--replicas", "1..2", "-o", "json")
    told = json.loads(done.stdout)
    assert told["takes_s"] == pytest.approx(0.05)
    assert [row["replicas"] for row in told["rows"]] == [1, 2]


def test_it_ends_with_3_where_none_of_the_numbers_keeps_it(cli, file):
    done = cli("foresee", "-f", file, "--rate", "60", "--takes", "50ms", "--replicas", "2")
    assert done.exit_code == 3
    assert "none of these numbers of replicas keeps it" in done.stderr
    assert "broken" in done.stdout


def test_a_rise_is_followed_as_the_service_scales_itself(cli, file):
    done = cli(
        "foresee", "-f", file, "--rate", "60", "--takes", "50ms", "--rise-from", "15", "--startup", "2s", "-o", "json"
    )  # fmt: skip
    rise = json.loads(done.stdout)["rise"]
    assert rise["counts"][0][2] < 4 <= max(ready for _, _, ready in rise["counts"])
    assert 0 < rise["figures"]["violation_s"] < 60
    assert len(rise["reasons"]) > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "one service"),
        (("--rate", "60"), "how many requests come"),
        (("--rate", "-1", "--takes", "50ms"), "above 0"),
        (("--rate", "60", "--takes", "quick"), "duration"),
        (("--rate", "60", "--takes", "0s"), "takes some time"),
        (("--rate", "60", "--takes", "50ms", "--replicas", "0..4"), "from 1 on"),
        (("--rate", "60", "--takes", "50ms", "--replicas", "4..1"), "did you mean 1..4"),
        (("--rate", "1e9", "--takes", "50ms"), "too many to play"),
        (("--rate", "60", "--takes", "50ms", "--set", "slo={}"), "promises no latency"),
    ],
)
def test_mistakes_are_told_with_a_remedy(cli, file, words, said):
    done = cli("foresee", *(("-f", file) if words else ()), *words)
    assert done.exit_code == 2
    assert said in done.stderr


def test_of_a_service_that_runs_what_is_not_measured_must_be_given(on_lab, file):
    assert on_lab("foresee", "nobody", "--rate", "5").exit_code == 2
    assert on_lab("apply", "-f", file, "--yes").exit_code == 0
    try:
        unknown = on_lab("foresee", "chat", "--rate", "5")
        assert (unknown.exit_code, "Too few requests were answered" in unknown.stderr) == (2, True)
        done = on_lab("foresee", "chat", "--rate", "5", "--takes", "50ms", "-o", "json")
        assert json.loads(done.stdout)["limit_s"] == 0.15
    finally:
        on_lab("stop", "chat", "--yes")
