"""Real processes on one SQLite file. Run as a program, so that it may fork before any thread exists.

    python processes.py FOLDER SEED

plays every scenario, each on a file of its own, and prints what the processes were told, as JSON. The tests judge it.
"""

import json
import mmap
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command, config, script  # noqa: F401  imported before the forks, which then need not

from suanli.domain import events as ev
from suanli.domain.decision import Memory
from suanli.domain.errors import Conflict, Deposed, Unavailable
from suanli.domain.workload import Kind, Workload
from suanli.ports.store import Commit, Idempotency, Lease
from suanli.store import SqlStore

LEASE_S = 0.03
COMPETE_S_MAX = 60.0
NOBODY = 65534


def main(folder: str, seed: str) -> None:
    scenarios = (duplicates, leases, killed_writers, killed_openers, read_only)
    told = {play.__name__: play(f"sqlite:///{folder}/{play.__name__}.db", int(seed)) for play in scenarios}
    json.dump(told, sys.stdout)


def submitted(name: str) -> ev.Submitted:
    return ev.Submitted(key=name, workload=Workload(name=name, kind=Kind.JOB, run=("x",)))


def duplicates(url: str, seed: int) -> list[Any]:
    """Two processes of four threads send the same 60 requests, each in its own order; some differ in content."""
    SqlStore(url).close()
    return in_two_processes(lambda number: _send_all(SqlStore(url), number, seed))


def _send_all(store: SqlStore, process: int, seed: int) -> list[tuple[str, str, list[int]]]:
    answers: list[tuple[str, str, list[int]]] = []

    def send(thread: int) -> None:
        numbers = list(range(60))
        random.Random(f"{seed} {process} {thread}").shuffle(numbers)
        for number in numbers:
            digest = "same" if number % 5 else f"of process {process}"
            commit = Commit(
                events=(submitted(f"w{number}"),),
                actor=digest,
                at_s=1.0,
                idempotency=Idempotency(key=f"k{number}", digest=digest),
            )
            try:
                answers.append((f"k{number}", digest, [entry.seq for entry in store.commit(commit)]))
            except Conflict:
                answers.append((f"k{number}", digest, []))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def leases(url: str, seed: int) -> list[Any]:
    """Two processes compete for the lease, write under it, and now and then oversleep."""
    SqlStore(url).close()
    lived = mmap.mmap(-1, 2)  # shared by the two
    return in_two_processes(
        lambda number: _compete(SqlStore(url), number, random.Random(seed + number), lived)
    )


def _compete(store: SqlStore, number: int, rng: random.Random, lived: mmap.mmap) -> dict[str, Any]:
    """For a second at least, and until both held it several times and were refused."""
    holder = f"p{number}"
    held: list[tuple[int, float, float]] = []
    refused, written = 0, 0
    began_s = time.monotonic()
    while (spent_s := time.monotonic() - began_s) < 1.0 or (min(lived) == 0 and spent_s < COMPETE_S_MAX):
        lived[number] = len(held) >= 5 and refused >= 1
        lease = store.acquire_lease(holder, time.monotonic(), LEASE_S)
        from_s = time.monotonic()
        if lease is None:
            time.sleep(0.002)
            continue
        until_s = lease.expires_s
        try:
            while rng.random() < 0.8:
                store.commit(Commit(events=(_note(lease),), actor=holder, at_s=0.0, epoch=lease.epoch))
                written += 1
                time.sleep(rng.choice([0.0, 0.0, LEASE_S * 1.5]))
                until_s = store.renew_lease(lease, time.monotonic(), LEASE_S).expires_s
            until_s = min(until_s, time.monotonic())
            store.release_lease(lease)
        except Deposed:
            refused += 1
        held.append((lease.epoch, from_s, until_s))
    return {"held": held, "refused": refused, "written": written}


def _note(lease: Lease) -> ev.Event:
    return ev.PolicyChosen(policy=str(lease.epoch))


def killed_writers(url: str, seed: int) -> list[list[int]]:
    """25 writers, each killed at a random moment. For each: the last entry's number of every acknowledged commit."""
    SqlStore(url).close()
    rng = random.Random(seed)
    rounds: list[list[int]] = []
    for number in range(25):
        with child(lambda pipe, number=number: _write_for_ever(SqlStore(url), number, pipe)) as (pid, pipe):
            told = [os.read(pipe, 1) for _ in range(rng.randint(1, 12))]  # it has begun, or gone on a little
            time.sleep(rng.uniform(0.0, 0.01))
            os.kill(pid, signal.SIGKILL)
            while chunk := os.read(pipe, 65_536):
                told.append(chunk)
        rounds.append([int(line) for line in b"".join(told).split(b"\n")[:-1]])
    return rounds


def _write_for_ever(store: SqlStore, number: int, pipe: int) -> None:
    for index in range(1_000_000):
        name = f"w{number}-{index}"
        events = (submitted(name), ev.Held(key=name), ev.NodeCordoned(node="n", drain=bool(index % 2)))
        commit = Commit(
            events=events,
            actor=name,
            at_s=float(index),
            memory=Memory(short_since_s=float(index)),
            idempotency=Idempotency(key=name, digest="d"),
        )
        os.write(pipe, f"{store.commit(commit)[-1].seq}\n".encode())


def killed_openers(url: str, seed: int) -> list[str]:
    """20 first openings of new files, each killed at a random moment. The files."""
    rng = random.Random(seed)
    paths: list[str] = []
    for number in range(20):
        path = f"{url}.{number}"
        with child(lambda _pipe, path=path: SqlStore(path).close()) as (pid, _):
            time.sleep(rng.uniform(0.0, 0.08))
            os.kill(pid, signal.SIGKILL)
        paths.append(path)
    return paths


def read_only(_url: str, _seed: int) -> list[str]:
    """What a user without root's rights is told of a folder, and of a file, that may not be written."""
    told: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        for rights in (0o755, 0o555):
            with child(lambda pipe, rights=rights: _open_read_only(Path(folder), rights, pipe)) as (_, pipe):
                told.append(os.read(pipe, 4_096).decode())
    return told


def _open_read_only(folder: Path, rights: int, pipe: int) -> None:
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    path = folder / f"{rights:o}.db"
    SqlStore(f"sqlite:///{path}").close()
    path.chmod(0o400)
    folder.chmod(rights)
    try:
        SqlStore(f"sqlite:///{path}").acquire_lease("a", 0.0, 1.0)
    except Unavailable as refused:
        os.write(pipe, refused.sentence.encode())


def in_two_processes(work: Callable[[int], Any]) -> list[Any]:
    def write_result(pipe: int, number: int) -> None:
        with os.fdopen(pipe, "w") as out:
            json.dump(work(number), out)

    with child(lambda p: write_result(p, 0)) as (_, one), child(lambda p: write_result(p, 1)) as (_, two):
        results = [os.fdopen(pipe, closefd=False).read() for pipe in (one, two)]
    return [json.loads(result) for result in results]


@contextmanager
def child(work: Callable[[int], Any]) -> Iterator[tuple[int, int]]:
    """A forked process that does `work(pipe)` and ends; its id, and the end of the pipe to read."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            work(write)
        finally:
            os._exit(0)
    os.close(write)
    try:
        yield pid, read
    finally:
        os.close(read)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
