"""One worker of a gang, on its node: waits for the order to go, runs the user's program, tells how it is, ends it.

Driven by its supervisor, which calls `report`, `obey` and `step` in turn from one thread.
"""

import os
import sys
from pathlib import Path

import msgspec

from suanli.domain.observation import Progress
from suanli.domain.resources import Share
from suanli.domain.workload import EndCause
from suanli.engine import cgroups, free_port, worker_log
from suanli.engine.cgroups import Groups, Limits
from suanli.engine.endings import end_of
from suanli.engine.environment import Rendezvous, worker_environment
from suanli.engine.health import HealthCheck
from suanli.engine.messages import End, Order, Post, Report, State, Usage
from suanli.engine.process import Exit, Program, WorkerProcess
from suanli.engine.shim import boottime_s
from suanli.engine.usage import UsageMeter

PROGRESS_BYTES_MAX = 64 * 2**10
LIMITS_EVERY_S, USAGE_EVERY_S = 0.3, 1.0
"""How often the process tree is looked through: sooner where that is what holds a limit."""


class Worker:
    """`host` is the node's address, at which the other workers of the gang find this one."""

    def __init__(self, post: Post, host: str) -> None:
        self._post = post
        self._host = host
        self._end: End | None = None
        self._run: _Run | None = None
        self._stopping = False
        # kept until the program may take them
        self._holders = (free_port.reserve(), free_port.reserve())
        self._port, self._free_port = map(free_port.port_of, self._holders)

    def report(self) -> Report:
        launch, run = self._post.launch, self._run
        return Report(
            key=launch.key,
            number=launch.number,
            rank=self._post.rank,
            state=self._state(),
            host=self._host,
            port=self._port,
            service_port=self._service_port(),
            pid=run.pid if run else None,
            ready=run is not None and run.ready,
            end=self._end,
            usage=run.usage if run else Usage(),
            progress=run.progress if run else None,
        )

    def obey(self, order: Order, asked_s: float) -> None:
        """Do what the hub wants. Its answer also renews the lease, from the instant at which it was asked."""
        if self._end is not None:
            return
        if self._run is None:
            if order.kill or order.stop_grace_s is not None:
                self._end = End(EndCause.STOPPED, None, "stopped before it started")
            elif order.go is not None:
                self._start(order.go, asked_s + self._post.timing.fence_s)
        elif order.kill:
            self._run.kill()
        else:
            self._run.renew(asked_s + self._post.timing.fence_s)
            if order.stop_grace_s is not None and not self._stopping:
                self._stopping = True
                self._run.stop(order.stop_grace_s)

    def step(self, timeout_s: float) -> bool:
        """Watch the process for up to that long; whether there is news that should not wait for the next heartbeat."""
        if self._run is None or self._end is not None:
            return False
        known = (self._run.pid, self._run.ready)
        self._end = self._run.watch(timeout_s)
        return self._end is not None or known != (self._run.pid, self._run.ready)

    def _state(self) -> State:
        if self._end is not None:
            return State.ENDED
        return State.WAITING if self._run is None or self._run.pid is None else State.RUNNING

    def _service_port(self) -> int | None:
        """Rank 0 serves for the replica."""
        service = self._post.launch.workload.service
        if service is None or self._post.rank != 0:
            return None
        return service.port or self._free_port

    def _start(self, rendezvous: Rendezvous, lease_until_s: float) -> None:
        if boottime_s() >= lease_until_s:
            return  # an order from long ago: the hub may have given up on this worker
        for holder in self._holders:
            holder.close()
        launch = self._post.launch
        port = self._service_port()
        if port is not None and free_port.is_taken(port):
            self._end = End(EndCause.START_FAILED, None, f"port {port} is in use on {self._post.node}")
            return
        try:
            for folder in (launch.output_dir, launch.log_dir):
                Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            self._end = End(EndCause.START_FAILED, None, f"cannot make {error.filename}: {error.strerror}")
            return
        self._run = _Run(self._post, rendezvous, lease_until_s)
        if port is not None and launch.workload.service is not None:
            self._run.check_health(("127.0.0.1", self._host), port, launch.workload.service.health_path)


class _Run:
    """The program from its start to its end."""

    def __init__(self, post: Post, rendezvous: Rendezvous, lease_until_s: float) -> None:
        self.usage = Usage()
        self.progress: Progress | None = None
        self._post = post
        self._log = worker_log.path_of(post.launch.log_dir, post.launch.number, post.rank)
        self._progress_file = self._log.with_suffix(".progress.json")
        self._lease_until_s = lease_until_s
        self._health: HealthCheck | None = None
        self._killed_for: End | None = None
        share = post.launch.placements[post.rank // post.launch.workload.workers_per_node].share
        self._devices = share.devices
        self._limits = _limits_of(post, share)
        self._groups = cgroups.create(f"{post.launch.key}.{post.launch.number}.{post.rank}", self._limits)
        self._program = self._program_of(post, rendezvous)
        self._begin()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def ready(self) -> bool:
        return self._health is not None and self._health.ready

    def check_health(self, hosts: tuple[str, ...], port: int, path: str) -> None:
        self._health = HealthCheck(tuple(dict.fromkeys(hosts)), port, path)

    def renew(self, until_s: float) -> None:
        self._lease_until_s = until_s
        self._process.renew(until_s)

    def stop(self, grace_s: float) -> None:
        """From now on it may answer no health check any more."""
        self._close_health()
        self._process.stop(grace_s)

    def kill(self) -> None:
        self._process.kill()

    def watch(self, timeout_s: float) -> End | None:
        """How it ended, if it does within that time."""
        exit_ = self._process.wait(timeout_s)
        self._read_progress()
        if exit_ is None:
            self._check()
            return None
        if exit_.step == "cgroup":
            self._begin_without_groups()
            return None
        self._close_health()
        return self._killed_for or self._end_of(exit_)

    def _begin(self) -> None:
        self._process = WorkerProcess(self._program, self._lease_until_s)
        left = msgspec.structs.replace(self._limits, **dict.fromkeys(self._groups.held, None))
        self._meter = UsageMeter(self._process, self._devices, left)
        watched = left.memory_bytes is not None or left.processes is not None
        self._measure_every_s = LIMITS_EVERY_S if watched else USAGE_EVERY_S
        self._measure_at_s = 0.0

    def _begin_without_groups(self) -> None:
        """They could be made but not joined: watchdogs stand in."""
        cgroups.remove(self._groups)
        self._groups = Groups()
        self._program = msgspec.structs.replace(self._program, cgroups=())
        self._begin()

    def _check(self) -> None:
        """What only shows while it runs."""
        excess = None
        if boottime_s() >= self._measure_at_s:
            worker_log.bound(self._log)
            self.usage, excess = self._meter.measure()
            self._measure_at_s = boottime_s() + self._measure_every_s
        if self._killed_for is not None:
            return
        if excess is not None:
            self._killed_for = excess
            self._process.kill()
        elif self._health is not None and self._health.failure:
            self._killed_for = End(EndCause.FAILED, None, self._health.failure)
            self._process.stop(self._post.timing.peer_grace_s)

    def _close_health(self) -> None:
        if self._health is not None:
            self._health.close()

    def _read_progress(self) -> None:
        """The program's own words: whatever is not progress is left aside."""
        try:
            with self._progress_file.open("rb") as file:
                self.progress = msgspec.json.decode(file.read(PROGRESS_BYTES_MAX), type=Progress)
        except (OSError, msgspec.DecodeError):
            return

    def _end_of(self, exit_: Exit) -> End:
        return end_of(
            exit_,
            node=self._post.node,
            memory_bytes=self._limits.memory_bytes,
            last_line=worker_log.last_line(self._log),
        )

    def _program_of(self, post: Post, rendezvous: Rendezvous) -> Program:
        launch = post.launch
        return Program(
            argv=launch.workload.run,
            env=worker_environment(
                launch,
                post.rank,
                rendezvous,
                base=os.environ,
                python_folder=str(Path(sys.executable).parent),
                progress_file=str(self._progress_file),
            ),
            workdir=launch.workload.workdir or launch.output_dir,
            log=str(self._log),
            cgroups=self._groups.folders,
        )


def _limits_of(post: Post, share: Share) -> Limits:
    """What a placement holds is divided evenly among its workers."""
    workers = post.launch.workload.workers_per_node
    return Limits(
        memory_bytes=share.memory_bytes // workers or None,
        cpus=share.cpus / workers or None,
        processes=post.launch.workload.processes_max,
    )
