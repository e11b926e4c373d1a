"""A job that counts to `SUANLI_TEST_STEPS`, checkpoints every step, and tells if another copy of it is alive.

Where `SUANLI_TEST_LAST_AFTER` names a file, the last step waits for it.

It holds an exclusive lock on its output folder for life: a second live copy cannot get it and leaves a mark.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

import suanli


def main() -> int:
    folder = Path(os.environ["SUANLI_OUTPUT_DIR"])
    rank = os.environ["RANK"]
    attempt = os.environ["SUANLI_ATTEMPT"]
    lock = (folder / f"lock-{rank}").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        (folder / f"overlap-{rank}-{attempt}").touch()
        return 9
    total, pace_s = int(os.environ["SUANLI_TEST_STEPS"]), float(os.environ.get("SUANLI_TEST_PACE_S", "0.1"))
    last_after = os.environ.get("SUANLI_TEST_LAST_AFTER", "")
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    latest = suanli.latest_checkpoint(folder / rank)
    committed = json.loads((latest / "state.json").read_text()) if latest else {"step": 0}
    step = committed["step"]
    with (folder / f"steps-{rank}").open("a+") as log:
        if step and step not in _told(log):  # killed after it was committed, and before that was told
            print(f"{committed['attempt']} {step}", file=log, flush=True)
        while step < total:
            time.sleep(pace_s)
            if step == total - 1 and last_after and not Path(last_after).exists() and not stopping:
                continue
            step += 1
            state = {"step": step, "attempt": int(attempt)}
            suanli.commit_checkpoint(folder / rank, step, lambda draft, state=state: _save(draft, state))
            print(f"{attempt} {step}", file=log, flush=True)
            suanli.progress(step, total)
            if stopping:
                return 143
    return 0


def _told(log: TextIO) -> set[int]:
    log.seek(0)
    return {int(line.split()[1]) for line in log}


def _save(draft: Path, state: dict[str, int]) -> None:
    (draft / "state.json").write_text(json.dumps(state))


if __name__ == "__main__":
    sys.exit(main())
