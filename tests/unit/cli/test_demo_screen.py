"""How the demo is shown: lines for pipes, a cell for each device on a terminal."""

from typing import Any

import pytest

from suanli.cli.demo.day import BEGINS_S, LOST_S, Arrive, script
from suanli.cli.demo.fleet_map import fleet_map
from suanli.cli.demo.scene import Scene
from suanli.cli.demo.screen import LineScreen, Nowhere, screen_of
from suanli.cli.session import Format, Session
from suanli.domain import events as ev
from suanli.domain.workload import EndCause

MIDNIGHT_S = 1_000_000.0
COUNTS = {"starting": 1, "running": 4, "stopping": 0, "waiting": 2, "succeeded": 9}
FIRST = {"key": "gpt-7", "reason": "ResourcesBusy", "sentence": "needs 8 H100"}


def scene(at_s: float, *events: ev.Event) -> Scene:
    fresh = [
        ev.Entry(seq=seq, at_s=MIDNIGHT_S + at_s, actor="controller", event=event)
        for seq, event in enumerate(events)
    ]
    return Scene(
        at_s=at_s,
        policy="fifo+as-requested+best-fit",
        counts=COUNTS,
        preemptions=1,
        nodes=[],
        queue=[FIRST],
        fresh=fresh,
    )


def test_a_pipe_gets_what_is_notable_at_once_and_how_things_stand_every_half_hour(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = LineScreen(MIDNIGHT_S)
    stopped = ev.StopBegun(key="speech-1", number=1, cause=EndCause.PREEMPTED, stopped_for="gpt-7")
    screen.show(scene(BEGINS_S - 60.0, ev.Started(key="speech-1", number=1)))
    screen.show(scene(BEGINS_S))
    screen.show(scene(BEGINS_S + 300.0, stopped))
    screen.show(scene(BEGINS_S + 1_800.0))
    assert capsys.readouterr().out.splitlines() == [
        "09:00  5 run, 2 wait, 9 are done; 1 preemption",
        "       gpt-7  ResourcesBusy: needs 8 H100",
        "  09:05  speech-1  attempt 1 told to end: preempted for gpt-7",
        "09:30  5 run, 2 wait, 9 are done; 1 preemption",
        "       gpt-7  ResourcesBusy: needs 8 H100",
    ]


@pytest.mark.parametrize("session", [Session(output=Format.JSON), Session(quiet=True)])
def test_where_a_program_reads_nothing_is_shown(session: Session) -> None:
    assert isinstance(screen_of(session, MIDNIGHT_S, ()), Nowhere)


def node(name: str, state: str = "ready", **held: tuple[list[int], float]) -> dict[str, Any]:
    """Of four T4; `held` are devices and the share of each, by key."""
    holders = [
        {"key": key.replace("_", "/"), "share": {"devices": devices, "device_share": share}}
        for key, (devices, share) in held.items()
    ]
    capacity = {"accelerators": {"T4": 4.0}}
    return {"name": name, "state": state, "declared": capacity, "effective": capacity, "holders": holders}


def test_each_device_is_a_cell_that_shows_who_holds_it() -> None:
    nodes = [
        node("a", gpt=([0, 1], 1.0), hot=([3], 0.5)),
        node("b", "down", gpt=([0], 1.0)),
        node("c", chat_0=([2], 1.0)),
    ]
    drawn = fleet_map(nodes, urgent={"hot"})
    assert drawn.plain.splitlines()[0] == "T4         a ■■·▪ b ×××× c ··■·"
    styles = {drawn.plain[span.start : span.end]: span.style for span in drawn.spans[:12] if span.end <= 40}
    assert (styles["■"], styles["▪"], styles["××××"]) == ("blue", "yellow", "red")


def test_the_same_seed_makes_the_same_day_and_another_seed_another() -> None:
    one, again, other = script(1, 600.0), script(1, 60.0), script(2, 600.0)
    assert one.moments == again.moments != other.moments
    arrivals = [moment for moment in one.moments if isinstance(moment, Arrive)]
    assert [moment.at_s for moment in one.moments] == sorted(moment.at_s for moment in one.moments)
    assert LOST_S in {moment.at_s for moment in one.moments}
    assert {moment.row.name for moment in arrivals} <= one.work_s.keys()
    assert one.urgent < one.work_s.keys()
    assert sum(len(node.accelerators) for node in one.fleet.nodes) == 64
