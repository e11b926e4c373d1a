"""One attempt on the fake engine: a few instants, and everything that can be seen of it as a function of time."""

import math

from suanli.domain.observation import AttemptView, Launch, Phase, Progress, WorkerView
from suanli.domain.workload import EndCause, Kind

FIRST_PORT = 20_000


class FakeAttempt:
    """Comes up at `begins_s`, has done its work at `finishes_s`, ends at `ends_s`: the same unless something happens.

    `saved` is the work that earlier attempts have saved, `speed` what this one does in a second, `every_s` how often it
    saves its own.
    """

    __slots__ = (
        "begins_s",
        "cause",
        "detail",
        "ends_s",
        "every_s",
        "exit_code",
        "finishes_s",
        "launch",
        "lost_s",
        "ready_s",
        "saved",
        "speed",
        "stopped_s",
        "winds_down",
    )

    def __init__(
        self,
        launch: Launch,
        *,
        begins_s: float,
        work: float,
        saved: float,
        speed: float,
        every_s: float | None,
        ready_s: float,
    ) -> None:
        self.launch = launch
        self.begins_s = begins_s
        self.saved = saved
        self.speed = speed
        self.every_s = every_s
        self.ready_s = begins_s + ready_s
        self.finishes_s = self.ends_s = begins_s + max(0.0, work - saved) / speed
        self.cause = EndCause.SUCCEEDED
        self.exit_code: int | None = 0
        self.detail = ""
        self.stopped_s: float | None = None
        self.lost_s: float | None = None
        self.winds_down = False  # between SIGTERM and its end it saves its work

    @property
    def is_ending(self) -> bool:
        """How it ends is decided."""
        return self.stopped_s is not None or self.lost_s is not None

    def phase(self, now_s: float) -> Phase:
        if now_s >= self.ends_s:
            return Phase.ENDED
        if self.lost_s is not None:
            return Phase.LOST
        if self.stopped_s is not None:
            return Phase.STOPPING
        if now_s < self.begins_s:
            return Phase.CREATING
        is_service = self.launch.workload.kind is Kind.SERVE
        return Phase.READY if is_service and now_s >= self.ready_s else Phase.RUNNING

    def checkpoint(self, now_s: float) -> tuple[float, float | None]:
        """(work that is safe, when this attempt last saved: None if it never did)."""
        done = self._done(now_s)
        saves = self.every_s is not None or self.launch.workload.saves
        if self.winds_down and now_s >= self.ends_s and saves:
            return done, self.ends_s
        times = int((done - self.saved) / self.speed // self.every_s) if self.every_s else 0
        if self.every_s is None or times == 0:
            return self.saved, None
        return self.saved + times * self.every_s * self.speed, self.begins_s + times * self.every_s

    def view(self, now_s: float, cpus: float | None) -> AttemptView:
        """`cpus` is what each worker uses, None: all that it holds."""
        launch, phase = self.launch, self.phase(now_s)
        ended, up = phase is Phase.ENDED, now_s >= self.begins_s
        service = launch.workload.service
        return AttemptView(
            key=launch.key,
            number=launch.number,
            phase=phase,
            workers=self._workers(now_s, cpus, alive=up and not ended, ended=ended),
            cause=self.cause if ended else None,
            exit_code=self.exit_code if ended else None,
            detail=self.detail if ended else "",
            port=(service.port or FIRST_PORT) if service else None,
            progress=self._progress(now_s) if up else None,
        )

    def _workers(
        self, now_s: float, cpus: float | None, *, alive: bool, ended: bool
    ) -> tuple[WorkerView, ...]:
        per_node = self.launch.workload.workers_per_node
        heartbeat_s = now_s if self.lost_s is None else self.lost_s
        return tuple(
            WorkerView(
                rank=index * per_node + local,
                node=place.node,
                alive=alive,
                exit_code=self.exit_code if ended else None,
                heartbeat_s=heartbeat_s,
                cpu_fraction=(place.share.cpus / per_node if cpus is None else cpus) if alive else 0.0,
                rss_bytes=place.share.memory_bytes // per_node if alive else 0,
            )
            for index, place in enumerate(self.launch.placements)
            for local in range(per_node)
        )

    def _progress(self, now_s: float) -> Progress | None:
        """A step is a unit of work."""
        if self.launch.workload.kind is Kind.SERVE:
            return None
        total = self.saved + (self.finishes_s - self.begins_s) * self.speed
        checkpoint, at_s = self.checkpoint(now_s)
        return Progress(
            step=int(self._done(now_s)),
            total=int(total) if math.isfinite(total) else None,
            checkpoint_step=None if at_s is None else int(checkpoint),
            checkpoint_s=at_s,
            at_s=now_s,
        )

    def _done(self, now_s: float) -> float:
        """Work done so far, what earlier attempts saved included."""
        until_s = min(x for x in (now_s, self.ends_s, self.stopped_s, self.lost_s) if x is not None)
        return self.saved + max(0.0, until_s - self.begins_s) * self.speed
