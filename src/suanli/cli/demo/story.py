"""The day as it goes: what comes is handed in, a node fails and returns, the policy is switched, all of it is shown."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from suanli.cli.client import path_of
from suanli.cli.demo import day
from suanli.cli.demo.day import Arrive, Choose, LoseNode, Moment, ReturnNode
from suanli.cli.demo.scene import Looker
from suanli.cli.demo.screen import Screen
from suanli.cli.demo.stage import Stage
from suanli.cli.render import listed

LOOK_EVERY_S = 0.3
STEP_S = 0.02
"""Seconds on the wall."""


def open_doors(stage: Stage, screen: Screen) -> None:
    """Declare the fleet and the services that are there all day."""
    _apply(stage, f"{day.FLEET}---\n{day.SERVICES}")
    screen.say(
        day.BEGINS_S,
        f"A fleet of 64 accelerators is declared; two services start. The policy is {day.MORNING}.",
    )


def live(stage: Stage, moments: Sequence[Moment], screen: Screen, switched: Callable[[], None]) -> None:
    """The whole day. `switched` is told right after the policy was."""
    left, looker, next_look_s = deque(moments), Looker(stage.client), 0.0
    while (now_s := stage.now_s()) < day.ENDS_S:
        due: list[Moment] = []
        while left and left[0].at_s <= now_s:
            due.append(left.popleft())
        _submit(stage, [moment for moment in due if isinstance(moment, Arrive)])
        for moment in due:
            if not isinstance(moment, Arrive):
                screen.show(looker.look(stage.now_s()))  # what was before it is told before it
                _meet(stage, moment, screen, switched)
        if time.monotonic() >= next_look_s:
            next_look_s = time.monotonic() + LOOK_EVERY_S
            screen.show(looker.look(stage.now_s()))
        time.sleep(STEP_S)
    screen.show(looker.look(day.ENDS_S))


def _submit(stage: Stage, arrivals: Iterable[Arrive]) -> None:
    rows = [arrival.row for arrival in arrivals]
    if rows:
        _apply(stage, day.declaration(rows))


def _meet(
    stage: Stage, moment: LoseNode | ReturnNode | Choose, screen: Screen, switched: Callable[[], None]
) -> None:
    match moment:
        case LoseNode():
            nodes = stage.client.get("/v1/nodes")["nodes"]
            holders = [h["key"] for node in nodes if node["name"] == moment.node for h in node["holders"]]
            stage.lose_node(moment.node)
            held = f", and with it {listed(dict.fromkeys(holders))}" if holders else ""
            screen.say(moment.at_s, f"Node {moment.node} is lost{held}.")
        case ReturnNode():
            stage.return_node(moment.node)
            screen.say(moment.at_s, f"Node {moment.node} is back.")
        case Choose():
            stage.client.put(path_of("policy"), {"policy": moment.policy})
            switched()
            screen.say(
                moment.at_s, f"The policy is switched from {day.MORNING} to {moment.policy}, as it runs."
            )


def _apply(stage: Stage, text: str) -> None:
    stage.client.post(path_of("apply"), {"sources": [{"name": "demo", "text": text}]})
