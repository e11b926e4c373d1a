"""What is known of all attempts, and what follows from it. Pure: every instant is passed in, effects are returned.

A gang starts whole or not at all, ends as one, and is ENDED only when no process of it can be alive: each worker said
so itself, or its lease has run out. A gang doesn't start before every earlier attempt of its key has ended that way.
"""

from collections.abc import Collection, Iterator

import msgspec

from suanli.domain.observation import AttemptView, Launch, Phase, WorkerView
from suanli.domain.workload import EndCause, Kind
from suanli.engine.environment import Rendezvous
from suanli.engine.messages import End, Order, Report, State, Timing


class Durable(msgspec.Struct, frozen=True, kw_only=True):
    """What of a gang must survive the hub: the rest is told by the next heartbeats."""

    launch: Launch
    timing: Timing
    node_ids: tuple[str, ...] = ()
    verdict: End | None = None
    grace_s: float = 0.0
    ended: bool = False


class Member:
    """One worker as the hub knows it. `went`: it may have a process; `gone`: it has none and will have none."""

    __slots__ = ("died_s", "gone", "heard_s", "node", "report", "went", "why")

    def __init__(self, node: str, heard_s: float) -> None:
        self.node = node
        self.heard_s = heard_s
        self.report: Report | None = None
        self.died_s: float | None = None
        self.why = ""
        self.went = False
        self.gone = False


class Gang:
    """One attempt. `node_ids` are set once its supervisors have been made, one per placement."""

    __slots__ = ("ended", "grace_s", "launch", "launched_s", "members", "node_ids", "timing", "verdict")

    def __init__(self, launch: Launch, timing: Timing, now_s: float) -> None:
        self.launch = launch
        self.timing = timing
        self.launched_s = now_s
        self.node_ids: tuple[str, ...] = ()
        self.verdict: End | None = None
        self.grace_s = 0.0
        self.ended = False
        per_node = launch.workload.workers_per_node
        self.members = [Member(place.node, now_s) for place in launch.placements for _ in range(per_node)]

    def node_id(self, rank: int) -> str:
        return self.node_ids[rank // self.launch.workload.workers_per_node] if self.node_ids else ""

    def end(
        self, cause: EndCause, detail: str = "", exit_code: int | None = None, grace_s: float = 0.0
    ) -> None:
        """Decide what it ends with; the first decision stands."""
        if self.verdict is None:
            self.verdict, self.grace_s = End(cause, exit_code, detail), grace_s

    def durable(self) -> Durable:
        return Durable(
            launch=self.launch,
            timing=self.timing,
            node_ids=self.node_ids,
            verdict=self.verdict,
            grace_s=self.grace_s,
            ended=self.ended,
        )


class Gangs:
    """Every attempt that was launched and not yet forgotten, and the highest number of each key ever."""

    def __init__(self) -> None:
        self._gangs: dict[str, dict[int, Gang]] = {}
        self._highest: dict[str, int] = {}
        self._workers = 0

    def launch(self, launch: Launch, timing: Timing, now_s: float) -> Gang | None:
        """The new gang, or None where that attempt or a later one is known: numbers fence."""
        if launch.number <= self._highest.get(launch.key, 0):
            return None
        for earlier in self._living(launch.key):
            earlier.end(EndCause.FAILED, f"attempt {launch.number} was started")
            earlier.grace_s = 0.0
        self._highest[launch.key] = launch.number
        gang = self._gangs.setdefault(launch.key, {})[launch.number] = Gang(launch, timing, now_s)
        return gang

    def get(self, key: str, number: int) -> Gang | None:
        return self._gangs.get(key, {}).get(number)

    def __iter__(self) -> Iterator[Gang]:
        return iter([gang for gangs in self._gangs.values() for gang in gangs.values()])

    def hear(self, report: Report, now_s: float) -> Order:
        """Take in a heartbeat. One that nobody waits for is answered with death."""
        gang = self.get(report.key, report.number)
        if gang is None or gang.ended or gang.members[report.rank].gone:
            return Order(kill=True)
        member = gang.members[report.rank]
        member.report, member.heard_s = report, now_s
        if report.end is not None:
            member.gone = True
            self._judge(gang)
            return Order(kill=True)
        if gang.verdict is not None:
            superseded = report.number < self._highest[report.key]
            return Order(beat_s=self._beat_s(gang), kill=superseded, stop_grace_s=gang.grace_s)
        if report.state is not State.WAITING or not self._may_go(gang):
            return Order(beat_s=self._beat_s(gang))
        member.went = True
        return Order(beat_s=self._beat_s(gang), go=_rendezvous(gang))

    def stop(self, key: str, number: int, cause: EndCause, grace_s: float) -> Gang | None:
        """The gang that is told to end, None where there is nothing to tell."""
        gang = self.get(key, number)
        if gang is None or gang.ended or gang.verdict is not None:
            return None
        gang.end(cause, grace_s=grace_s)
        return gang

    def supervisor_died(self, key: str, number: int, rank: int, why: str, now_s: float) -> None:
        """Its process is gone. Unless the node is too, the shim kills the worker now."""
        gang = self.get(key, number)
        if gang is not None and not gang.members[rank].gone:
            gang.members[rank].died_s, gang.members[rank].why = now_s, why

    def forget(self, key: str, number: int) -> bool:
        gang = self.get(key, number)
        if gang is None or not gang.ended:
            return False
        del self._gangs[key][number]
        return True

    def tick(self, now_s: float, living: Collection[str]) -> list[Gang]:
        """Let time pass. `living` are ids of nodes; the gangs returned have just ended: give back what they hold."""
        ended: list[Gang] = []
        self._workers = 0
        for gang in self:
            if gang.ended:
                continue
            self._workers += len(gang.members)
            for rank in range(len(gang.members)):
                self._check(gang, rank, now_s, living)
            self._check_start(gang, now_s)
            self._judge(gang)
            if gang.verdict is not None and all(member.gone for member in gang.members):
                gang.ended = True
                ended.append(gang)
        return ended

    def restore(self, durables: list[Durable], highest: dict[str, int], now_s: float) -> None:
        """After the hub was away: whoever had a supervisor may have a process and may have been heard just now."""
        self._highest |= highest
        for durable in durables:
            gang = Gang(durable.launch, durable.timing, now_s)
            gang.node_ids, gang.verdict = durable.node_ids, durable.verdict
            gang.grace_s, gang.ended = durable.grace_s, durable.ended
            for member in gang.members:
                member.went, member.gone = bool(durable.node_ids), durable.ended
            self._gangs.setdefault(durable.launch.key, {})[durable.launch.number] = gang

    def of_key(self, key: str) -> tuple[int, list[Durable]]:
        """What of a key must be kept: its highest number and its attempts."""
        return self._highest.get(key, 0), [gang.durable() for gang in self._gangs.get(key, {}).values()]

    def views(self, now_s: float, wall_s: float, living: Collection[str]) -> tuple[AttemptView, ...]:
        """All attempts as they are; `wall_s` is the same instant as a date."""
        return tuple(self._view(gang, now_s, wall_s, living) for gang in self)

    def _living(self, key: str) -> list[Gang]:
        return [gang for gang in self._gangs.get(key, {}).values() if not gang.ended]

    def _beat_s(self, gang: Gang) -> float:
        """Seldomer where many report, so that the hub keeps up, but several times within each lease."""
        timing = gang.timing
        return min(timing.fence_s / 3, max(timing.beat_s, self._workers / timing.beats_per_s_max))

    def _may_go(self, gang: Gang) -> bool:
        if not gang.node_ids or any(member.report is None for member in gang.members):
            return False
        return all(other is gang for other in self._living(gang.launch.key))

    def _check(self, gang: Gang, rank: int, now_s: float, living: Collection[str]) -> None:
        """Whether one worker is lost, and if so whether it is dead for certain by now."""
        member, timing = gang.members[rank], gang.timing
        if member.gone or not gang.node_ids:
            member.gone = member.gone or (gang.verdict is not None and not member.went)
            return
        expires_s = member.heard_s + timing.fence_s + timing.kill_s
        place, grace_s = f"rank {rank} on {member.node}", self._peer_grace_s(gang)
        if gang.node_id(rank) not in living:
            gang.end(EndCause.NODE_LOST, f"node {member.node} was lost", grace_s=grace_s)
        elif member.died_s is not None and member.report is None:
            gang.end(EndCause.START_FAILED, f"no supervisor for {place}: {member.why}", grace_s=grace_s)
        elif member.died_s is not None:
            gang.end(EndCause.NODE_LOST, f"the supervisor of {place} was killed", grace_s=grace_s)
            expires_s = min(expires_s, member.died_s + timing.kill_s)
        elif member.went and now_s >= expires_s:
            gang.end(EndCause.NODE_LOST, f"{place} was not heard for {timing.fence_s:g} s", grace_s=grace_s)
        member.gone = now_s >= expires_s if member.went else gang.verdict is not None

    def _check_start(self, gang: Gang, now_s: float) -> None:
        waited_s = now_s - gang.launched_s
        if gang.verdict is None and waited_s >= gang.timing.start_timeout_s:
            present = sum(member.report is not None for member in gang.members)
            if present < len(gang.members):
                gang.end(
                    EndCause.START_FAILED,
                    f"{present} of {len(gang.members)} workers could be placed within {waited_s:.0f} s",
                )

    def _judge(self, gang: Gang) -> None:
        """The first failure decides for all; only if every worker succeeded has the gang."""
        ends = [member.report.end for member in gang.members if member.report and member.report.end]
        failed = next((end for end in ends if end.cause is not EndCause.SUCCEEDED), None)
        if failed is not None:
            gang.end(failed.cause, failed.detail, failed.exit_code, self._peer_grace_s(gang))
        elif len(ends) == len(gang.members):
            gang.end(EndCause.SUCCEEDED, exit_code=0)

    def _peer_grace_s(self, gang: Gang) -> float:
        """What the others get when one has failed: they can't finish a collective without it."""
        return min(gang.launch.workload.grace_s, gang.timing.peer_grace_s)

    def _view(self, gang: Gang, now_s: float, wall_s: float, living: Collection[str]) -> AttemptView:
        launch, reports = gang.launch, [m.report for m in gang.members if m.report]
        verdict, phase = gang.verdict if gang.ended else None, self._phase(gang, now_s, living)
        there = f"{len(reports)} of {len(gang.members)} workers are there" if phase is Phase.CREATING else ""
        return AttemptView(
            key=launch.key,
            number=launch.number,
            phase=phase,
            workers=tuple(_worker(rank, m, wall_s - now_s) for rank, m in enumerate(gang.members)),
            cause=verdict.cause if verdict else None,
            exit_code=verdict.exit_code if verdict else None,
            detail=verdict.detail if verdict else there,
            port=next((report.service_port for report in reports if report.service_port), None),
            progress=next((report.progress for report in reports if report.progress), None),
        )

    def _phase(self, gang: Gang, now_s: float, living: Collection[str]) -> Phase:
        if gang.ended:
            return Phase.ENDED
        if any(self._is_lost(gang, rank, now_s, living) for rank in range(len(gang.members))):
            return Phase.LOST
        if gang.verdict is not None:
            return Phase.STOPPING
        if not all(m.gone or (m.report and m.report.state is State.RUNNING) for m in gang.members):
            return Phase.CREATING
        first = gang.members[0].report
        is_ready = gang.launch.workload.kind is Kind.SERVE and first is not None and first.ready
        return Phase.READY if is_ready else Phase.RUNNING

    def _is_lost(self, gang: Gang, rank: int, now_s: float, living: Collection[str]) -> bool:
        member = gang.members[rank]
        if member.gone or not member.went:
            return False
        silent = now_s - member.heard_s >= gang.timing.lost_after_s
        return silent or member.died_s is not None or gang.node_id(rank) not in living


def _rendezvous(gang: Gang) -> Rendezvous:
    """One node meets on loopback, whatever the node's own address is good for."""
    reports = [member.report for member in gang.members if member.report]
    alone = len(gang.launch.placements) == 1
    return Rendezvous(
        tuple(("127.0.0.1" if alone else report.host, report.port) for report in reports),
        reports[0].service_port,
    )


def _worker(rank: int, member: Member, wall_offset_s: float) -> WorkerView:
    report = member.report
    if report is None:
        return WorkerView(rank=rank, node=member.node)
    alive = report.state is State.RUNNING and not member.gone
    return WorkerView(
        rank=rank,
        node=member.node,
        pid=report.pid,
        alive=alive,
        exit_code=report.end.exit_code if report.end else None,
        heartbeat_s=member.heard_s + wall_offset_s,
        cpu_fraction=report.usage.cpus if alive else 0.0,
        rss_bytes=report.usage.rss_bytes if alive else 0,
        accelerator_fraction=report.usage.accelerator_fraction if alive else None,
        accelerator_memory_bytes=report.usage.accelerator_memory_bytes if alive else None,
        detail=report.end.detail if report.end else "",
    )
