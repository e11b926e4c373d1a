"""One request on its way: admitted, given a replica, sent, and its answer passed back.

Everything here runs in callbacks of one event loop; the common request needs no task of its own. A request is sent
again only where that is safe: nobody can have read it, or the route says that it may be done twice; and never once an
answer has begun.
"""

import asyncio
from collections.abc import Awaitable
from time import monotonic
from time import time as unix_s
from typing import Protocol

from suanli.domain.traffic import Counted
from suanli.serving.gateway.admission_port import Admission, Grant, Refusal
from suanli.serving.gateway.ask import Ask
from suanli.serving.gateway.passage import Passage
from suanli.serving.gateway.problems import Problem, problem_of, rendered
from suanli.serving.gateway.routes import Routes
from suanli.serving.gateway.server import ClientConnection
from suanli.serving.gateway.service import Service
from suanli.serving.gateway.upstream import Replica, ReplicaConnection, connect

SENT_MAX = 3
"""A request is sent to replicas at most so many times."""
LONG_BYTES = 64 * 2**10
"""Longer bodies are not copied to stand behind their heads."""
CLIENT_GONE, BROKEN_OFF, TOO_LATE = 499, 502, 504


class Surroundings(Protocol):
    """What a request needs of the worker that it runs in."""

    loop: asyncio.AbstractEventLoop
    admission: Admission
    routes: Routes
    tasks: set[asyncio.Task[None]]

    def not_found(self, ask: Ask) -> Problem:
        """That there is nothing of that name, in the same words whether there is or not."""
        ...


class Attempt:
    """The request at one replica: over `connection`, once `connecting` has made it."""

    __slots__ = ("connecting", "connection", "replica")

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.connection: ReplicaConnection | None = None
        self.connecting: asyncio.Task[None] | None = None


class Relay:
    """From the request to the end of its answer. It ends exactly once, in `_over`."""

    __slots__ = (
        "_asked_s", "_deadline", "_grant", "_hedge", "_passage", "_queue_timer", "_revision", "_sent", "_traffic",
        "affinity", "arrived_s", "ask", "attempts", "avoided", "client", "house", "over", "pinned", "queued",
        "sequence", "service", "session",
    )  # fmt: skip

    def __init__(self, house: Surroundings, client: ClientConnection, service: Service, ask: Ask) -> None:
        self.house = house
        self.client = client
        self.service = service
        self.ask = ask
        self.session = ask.session
        self.affinity = ask.affinity
        self.pinned: int | None = None
        self.avoided: tuple[Replica, ...] = ()
        self.queued = False
        self.sequence = -1
        self.attempts: list[Attempt] = []
        self.arrived_s = monotonic()  # the loop's clock has only milliseconds
        self.over = False
        self._grant: Grant | None = None
        self._passage: Passage | None = None
        self._traffic: Counted | None = None  # of the revision that was asked last
        self._revision = 0
        self._sent = 0
        self._asked_s = 0.0
        self._deadline: asyncio.TimerHandle | None = None
        self._queue_timer: asyncio.TimerHandle | None = None
        self._hedge: asyncio.TimerHandle | None = None

    # --- admission

    def start(self) -> None:
        house, request = self.house, self.ask.request
        self._deadline = house.loop.call_later(self.ask.deadline_s, self._late)
        entered = house.admission.enter(
            house.routes,
            request.kept.get(b"authorization"),
            self.service.route,
            self.ask.tokens_max,
            unix_s(),
        )
        if isinstance(entered, Grant | Refusal):
            self._entered(entered)
        else:
            _keep(house.tasks, house.loop.create_task(self._enter_later(entered)))

    async def _enter_later(self, entering: Awaitable[Grant | Refusal]) -> None:
        self._entered(await entering)

    def _entered(self, entered: Grant | Refusal) -> None:
        stats = self.service.stats
        if isinstance(entered, Grant):
            self._grant = entered
            if self.over:  # meanwhile the client went away, or it became too late
                self._leave(CLIENT_GONE, 0, 0, 0.0)
                return
            stats.arrived += 1
            self._dispatch()
        elif not self.over:
            if entered.status in (429, 503):
                stats.arrived += 1
                stats.refused += 1
            self._refuse(self.house.not_found(self.ask) if entered.status == 404 else problem_of(entered))

    # --- a replica

    def _dispatch(self) -> None:
        service = self.service
        replica = service.take(self)
        if replica is not None:
            self.served(replica)
            return
        self.avoided = ()  # from now on the breakers say whom to avoid
        if service.gone:
            self._refuse(Problem(404, "service_gone", "This service has just been removed."))
        elif service.holds_none:
            service.stats.refused += 1
            sentence = "This service is paused, or holds no request while it has no replica."
            self._refuse(Problem(503, "no_replica", sentence, retry_after_s=5.0))
        elif service.wait(self):
            self._queue_timer = self.house.loop.call_later(self._wait_s(), self._waited)
        else:
            service.stats.refused += 1
            self._refuse(
                Problem(503, "queue_full", "Too many requests wait for this service.", retry_after_s=1.0)
            )

    def _wait_s(self) -> float:
        route = self.service.route
        return route.queue_s if self.service.has_targets else max(route.hold_s, route.queue_s)

    def _waited(self) -> None:
        """The time in the queue is up, unless what it waits for has changed meanwhile."""
        left_s = self.arrived_s + self._wait_s() - monotonic()
        if left_s > 0.001 and not self.service.has_targets:
            self._queue_timer = self.house.loop.call_later(left_s, self._waited)
            return
        self.service.leave(self)
        self.service.stats.refused += 1
        self._refuse(
            Problem(503, "no_replica", "No replica of this service became free in time.", retry_after_s=5.0)
        )

    def removed(self) -> None:
        """The service is no more, and this request still waited."""
        self._refuse(Problem(404, "service_gone", "This service has just been removed."))

    def served(self, replica: Replica) -> None:
        _cancel(self._queue_timer)
        self._queue_timer = None
        self._send(replica)
        route = self.service.route
        if route.hedge_after_s is not None and route.idempotent and self._hedge is None:
            self._hedge = self.house.loop.call_later(route.hedge_after_s, self._ask_another)

    def _send(self, replica: Replica) -> None:
        attempt = Attempt(replica)
        self.attempts.append(attempt)
        self._note_revision(replica)
        connection = replica.take_idle()
        if connection is not None:
            self._tell(attempt, connection)
        else:
            attempt.connecting = self.house.loop.create_task(self._connect(attempt))

    def _note_revision(self, replica: Replica) -> None:
        self._traffic = replica.traffic
        self._revision = replica.revision

    async def _connect(self, attempt: Attempt) -> None:
        try:
            connection = await connect(attempt.replica, self.house.loop)
        except (OSError, TimeoutError):
            self._unreachable(attempt)
        else:
            self._tell(attempt, connection)

    def _tell(self, attempt: Attempt, connection: ReplicaConnection) -> None:
        attempt.connecting = None
        attempt.connection = connection
        self._sent += 1
        self._asked_s = self._asked_s or monotonic()
        request = self.ask.request
        message = self.ask.message(attempt.replica.head)
        if len(request.body) > LONG_BYTES:
            connection.ask(self, message, request.head_only)
            connection.transport.write(request.body)
        else:
            connection.ask(self, message + request.body, request.head_only)

    def _ask_another(self) -> None:
        """The first replica has said nothing for long: ask a second, and take who answers first."""
        if len(self.attempts) == 1 and self._sent < SENT_MAX:
            replica = self.service.take_other(self, self.attempts[0].replica)
            if replica is not None:
                replica.traffic.retried += 1
                self._send(replica)

    # --- what goes wrong

    def _unreachable(self, attempt: Attempt) -> None:
        """No connection: nobody has seen the request."""
        attempt.replica.broke(self.house.loop.time())
        self.avoided += (attempt.replica,)
        self._give_up(attempt)
        if not self.attempts:
            attempt.replica.traffic.retried += 1
            self._dispatch()

    def connection_broken(self, connection: ReplicaConnection, received: bool) -> None:
        attempt = next((each for each in self.attempts if each.connection is connection), None)
        if attempt is None:
            return
        if received:
            attempt.replica.broke(self.house.loop.time())
        else:
            attempt.replica.gave_up()
        self._give_up(attempt)
        if self._passage is not None:
            self._break_off()
        elif not self.attempts:
            self._after_silence(attempt.replica, received)

    def _after_silence(self, replica: Replica, received: bool) -> None:
        if self._sent < SENT_MAX and (not received or self.service.route.idempotent):
            replica.traffic.retried += 1
            if received:
                self.avoided += (replica,)
            self._dispatch()
            return
        self._refuse(Problem(502, "replica_failed", "The replica ended before it had answered."), failed=True)

    def _late(self) -> None:
        self._deadline = None
        self.service.leave(self)
        if self._passage is not None:
            self._break_off()
            return
        if (
            self.ask.deadline_s >= self.service.route.deadline_s
        ):  # the client's own may be too short for any replica
            for attempt in self.attempts:
                attempt.replica.silent(self.house.loop.time())
        sentence = f"There was no answer within {self.ask.deadline_s:g} s."
        self._refuse(Problem(TOO_LATE, "deadline_exceeded", sentence), failed=bool(self.attempts))

    def client_gone(self) -> None:
        self.service.leave(self)
        self._over(CLIENT_GONE)

    def _break_off(self) -> None:
        self._over(BROKEN_OFF, failed=True)
        self.client.break_off()

    def _refuse(self, problem: Problem, *, failed: bool = False) -> None:
        self._over(problem.status, failed=failed)
        request = self.ask.request
        self.client.answer(
            rendered(problem, request.target, request.id, close=request.close, head_only=request.head_only)
        )

    # --- the answer

    def answer_begins(self, connection: ReplicaConnection) -> None:
        """The first of the replicas that were asked. The others need not go on."""
        for attempt in self.attempts[:]:
            if attempt.connection is connection:
                attempt.replica.answers(connection.status, self.house.loop.time())
                self._note_revision(attempt.replica)
            else:
                attempt.replica.gave_up()
                self._give_up(attempt)
        self.ask.request.body = b""  # it won't be sent again
        passage = self._passage = Passage(connection, self.ask.request, monotonic())
        if self.ask.metered:
            passage.meter(self.ask.generates)
        if self.client.full:
            passage.pause()

    def answer_goes_on(self, connection: ReplicaConnection, piece: bytes) -> None:
        if self._passage is not None:
            self._passage.piece(piece)

    def answer_read(self, connection: ReplicaConnection) -> None:
        passage = self._passage
        if passage is not None and passage.out:
            self.client.write(passage.taken())

    def answer_ends(self, connection: ReplicaConnection) -> None:
        passage = self._passage
        if passage is None:
            return
        connection.replica.answered(passage.status)
        passage.resume()
        passage.end()
        if passage.out:
            self.client.write(passage.taken())
        if not self.over:  # writing may have told that the client is gone
            self._over(passage.status, failed=passage.status >= 500)
            self.client.end()

    def client_full(self) -> None:
        if self._passage is not None:
            self._passage.pause()

    def client_ready(self) -> None:
        if self._passage is not None:
            self._passage.resume()

    # --- the end

    def _give_up(self, attempt: Attempt) -> None:
        """The replica is free of this request, whatever has become of it."""
        self.attempts.remove(attempt)
        if attempt.connecting is not None and attempt.connecting is not asyncio.current_task(self.house.loop):
            attempt.connecting.cancel()
        if attempt.connection is not None and attempt.connection.asking is self:
            attempt.connection.close()
        self.service.release(attempt.replica)

    def _over(self, status: int, *, failed: bool = False) -> None:
        """Everything is let go, and noted."""
        self.over = True
        for timer in (self._deadline, self._queue_timer, self._hedge):
            _cancel(timer)
        for attempt in self.attempts[:]:
            if self._passage is None:
                attempt.replica.gave_up()
            self._give_up(attempt)
        now_s = monotonic()
        tokens_in, tokens_out = self._tokens()
        if self._traffic is not None:
            self._note(self._traffic, now_s, tokens_in, tokens_out, failed, status)
        if self._grant is not None:
            self._leave(status, tokens_in, tokens_out, now_s - self._asked_s if self._asked_s else 0.0)

    def _tokens(self) -> tuple[int, int]:
        passage = self._passage
        if passage is None:
            return 0, 0
        return passage.usage.read(self.ask.tokens_in) if passage.usage is not None else (0, 0)

    def _note(
        self, traffic: Counted, now_s: float, tokens_in: int, tokens_out: int, failed: bool, status: int
    ) -> None:
        passage = self._passage
        traffic.requests += 1
        traffic.failed += failed
        traffic.tokens_in += tokens_in
        traffic.tokens_out += tokens_out
        if passage is not None and status == passage.status and status != CLIENT_GONE:
            passage.time(traffic, self.arrived_s, self._asked_s, now_s, tokens_out)

    def _leave(self, status: int, tokens_in: int, tokens_out: int, seconds: float) -> None:
        grant, self._grant = self._grant, None
        if grant is not None:
            self.house.admission.leave(
                grant,
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                seconds=seconds,
                status=status,
                request_id=self.ask.request.id.decode(),
                revision=self._revision,
            )


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _keep(tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
    """The loop holds tasks weakly."""
    tasks.add(task)
    task.add_done_callback(tasks.discard)
