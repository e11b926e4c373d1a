"""The actor beside one worker, on the worker's node: heartbeats to the hub, and carries out what comes back."""

import threading
from typing import Any

import msgspec
import ray
from ray.exceptions import GetTimeoutError, RayError

from suanli.engine.messages import Order, Post, Report
from suanli.engine.ray.names import HUB, NAMESPACE
from suanli.engine.shim import boottime_s
from suanli.engine.worker import Worker

WAITING_BEAT_S = 0.05
ENDED_BEAT_S = 1.0
ANSWER_TIMEOUT_S = 1.0
WATCH_S = 0.3


class Supervisor:
    """Made with a `Post` as JSON. It lives until its placement group is removed."""

    def __init__(self, post: bytes) -> None:
        self._post = msgspec.json.decode(post, type=Post)
        self._worker = Worker(self._post, ray.util.get_node_ip_address())
        self._hub: Any = None
        self._never = threading.Event()
        threading.Thread(target=self._supervise, name="supervise", daemon=True).start()

    def hold(self) -> None:
        """Never returns: whoever waits for it learns of this actor's death at once."""
        self._never.wait()

    def _supervise(self) -> None:
        """For good: what has ended is told until the group is removed, and this actor with it."""
        pause, beat_s = threading.Event(), self._post.timing.beat_s
        while True:
            report, asked_s = self._worker.report(), boottime_s()
            order = self._tell(report)
            if order is not None:
                self._worker.obey(order, asked_s)
                beat_s = max(order.beat_s, self._post.timing.beat_s)
            if report.end is not None:
                pause.wait(ENDED_BEAT_S)
            elif report.pid is None and not self._worker.step(0.0):
                pause.wait(WAITING_BEAT_S if beat_s == self._post.timing.beat_s else beat_s)
            else:
                self._watch(asked_s + beat_s)

    def _watch(self, until_s: float) -> None:
        """Until the next heartbeat is due, or there is news for it."""
        while (left_s := until_s - boottime_s()) > 0:
            if self._worker.step(min(left_s, WATCH_S)):
                return

    def _tell(self, report: Report) -> Order | None:
        """The hub's order; None where it can't be reached, which the lease will end if it lasts."""
        try:
            if self._hub is None:
                self._hub = ray.get_actor(HUB, namespace=NAMESPACE)
            answer: Any = ray.get(
                self._hub.beat.remote(msgspec.json.encode(report)), timeout=ANSWER_TIMEOUT_S
            )
        except (ValueError, GetTimeoutError, RayError):
            self._hub = None
            return None
        return msgspec.json.decode(answer, type=Order)
