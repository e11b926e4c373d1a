"""Parts of a time beside each other, counted by hand."""

import msgspec
import pytest
from tests.building import fleet, node, waiting, workload

from suanli.domain.record import Record, Status
from suanli.reports.stretches import FIGURES, Stretch, figures_of, stretch_of
from suanli.sim.outcome import Level, Outcome, Stay

HOUR_S = 3600.0


def record(key: str, came_s: float, ended_s: float | None = None, attempts: int = 1) -> Record:
    status = Status.WAITING if ended_s is None else Status.SUCCEEDED
    return waiting(workload(key), submitted_s=came_s, status=status, ended_s=ended_s, attempts_made=attempts)


def stay(key: str, placed_s: float, ended_s: float, number: int = 1) -> Stay:
    return Stay(key, number, placed_s, placed_s, ended_s, (), "succeeded")


def day() -> Outcome:
    """Two hours on four accelerators: `soon` starts at once, `late` after an hour, `never` doesn't."""
    return Outcome(
        policy="fifo+as-requested+best-fit",
        trace="t",
        seed=0,
        oracle=False,
        fleet=fleet(node(gpus=4)),
        records=(
            record("soon", 0.0, ended_s=HOUR_S),
            record("late", 100.0, ended_s=2 * HOUR_S - 1.0, attempts=2),
            record("never", 200.0, attempts=0),
        ),
        work={"soon": HOUR_S, "late": HOUR_S, "never": HOUR_S},
        stays=(
            stay("soon", 0.0, HOUR_S),
            stay("late", HOUR_S, HOUR_S + 60.0),
            stay("late", HOUR_S + 60.0, 2 * HOUR_S - 1.0, number=2),
        ),
        levels=(
            Level(0.0, waiting=0, live=1, devices=4.0, cpus=1.0),
            Level(0.5 * HOUR_S, waiting=2, live=1, devices=4.0, cpus=1.0),
            Level(HOUR_S, waiting=1, live=1, devices=2.0, cpus=1.0),
            Level(2 * HOUR_S, waiting=7, live=0, devices=0.0, cpus=0.0),
        ),
        from_s=0.0,
        to_s=2 * HOUR_S,
        steps=4,
        policy_cpu_s=0.0,
        decisions_hash="",
        is_whole=False,
    )


def test_each_part_counts_what_was_in_it() -> None:
    first, second = stretch_of(day(), 0.0, HOUR_S), stretch_of(day(), HOUR_S, 2 * HOUR_S)
    assert (first.waiting_mean, second.waiting_mean) == (1.0, 1.0)
    assert (first.waiting_end, second.waiting_end) == (2, 1)
    assert (first.held, second.held) == (1.0, 0.5)
    assert (first.done_per_hour, second.done_per_hour) == (0.0, 2.0)
    assert first.prompt == pytest.approx(1 / 3)
    assert second.prompt is None


def test_the_longest_wait_is_that_of_whoever_started_meanwhile_or_still_waits() -> None:
    assert stretch_of(day(), 0.0, HOUR_S).longest_wait_s == HOUR_S - 100.0
    assert stretch_of(day(), HOUR_S, 2 * HOUR_S).longest_wait_s == 2 * HOUR_S - 200.0


def test_what_started_before_a_simulation_went_on_from_there_has_not_waited_in_it() -> None:
    outcome = msgspec.structs.replace(day(), stays=())
    assert stretch_of(outcome, HOUR_S, 2 * HOUR_S).longest_wait_s == 2 * HOUR_S - 200.0


def test_people_read_a_figure_under_each_name() -> None:
    stretch = Stretch(
        from_s=0.0,
        to_s=HOUR_S,
        waiting_mean=12.34,
        waiting_end=7,
        prompt=None,
        longest_wait_s=2 * HOUR_S,
        done_per_hour=30.0,
        held=0.456,
    )
    assert dict(zip(FIGURES, figures_of(stretch), strict=True)) == {
        "waiting, on average": "12.3",
        "waiting at the end": "7",
        "started within 10 min of coming": "–",
        "longest wait for a start": "2h00m",
        "done in an hour": "30.0",
        "accelerators held": "46%",
    }
