"""`python -m suanli.models.fetch ORDER.json -- ARGV...`: have a version on this node, then become ARGV.

ARGV finds the folder in SUANLI_MODEL_DIR, and holds it in the cache for as long as it lives: the lock is on a file
that stays open across exec. Progress and errors go to stderr. Nothing heavy is imported, as every replica begins here.

How this node reaches an object store is told in SUANLI_STORAGE_ENVIRONMENT (variables as JSON), and ends here: ARGV
finds neither that nor what is in it.
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from suanli.domain.errors import SuanliError, UsageError
from suanli.domain.model import ModelVersion
from suanli.models.cache import hold

SAY_EVERY_S = 2.0
REACH = "SUANLI_STORAGE_ENVIRONMENT"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to have, from where, and where to."""

    version: ModelVersion
    storage_url: str
    cache_dir: str
    cache_bytes_max: int


def argv_of(order_file: Path, argv: Sequence[str]) -> tuple[str, ...]:
    """The command line that has the version of that file (an `Order` as JSON) there before it runs `argv`.

    `python` is looked up where it runs, which may be another node.
    """
    return ("python", "-P", "-m", "suanli.models.fetch", str(order_file), "--", *argv)


def main(words: Sequence[str]) -> int:
    """The exit code where ARGV could not be begun; else this process is ARGV, and does not return."""
    left = {name: value for name, value in os.environ.items() if name != REACH}
    try:
        order, argv = _read(words)
        os.environ |= _reach()
        folder = _fetch(order)
        program = shutil.which(argv[0])
        if program is None:
            raise UsageError(f"There is no program {argv[0]!r}.", code="SL-NO-PROGRAM")
    except SuanliError as error:
        _say(f"{error.code}  {error.sentence}")
        for name, value in error.evidence.items():
            _say(f"  {name}: {value}")
        _say(f"  {error.remedy}" if error.remedy else "")
        return error.exit_code
    return os.execve(program, argv, {**left, "SUANLI_MODEL_DIR": str(folder)})  # noqa: S606 - the user's argv


def _read(words: Sequence[str]) -> tuple[Order, list[str]]:
    if len(words) < 3 or words[1] != "--":
        raise UsageError("Usage: python -m suanli.models.fetch ORDER.json -- ARGV...")
    try:
        return msgspec.json.decode(Path(words[0]).read_bytes(), type=Order), list(words[2:])
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"The order {words[0]} cannot be read: {error}.") from error


def _reach() -> dict[str, str]:
    try:
        return msgspec.json.decode(os.environ.get(REACH, "{}"), type=dict[str, str])
    except msgspec.DecodeError as error:
        raise UsageError(
            f"{REACH} is not JSON.", remedy="Leave it out: it is set for each replica."
        ) from error


def _fetch(order: Order) -> Path:
    said_s = began_s = time.monotonic()
    reference = order.version.reference

    def say(done_bytes: int, total_bytes: int) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= SAY_EVERY_S:
            said_s = time.monotonic()
            _say(f"fetching {reference}: {done_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB")

    held = hold(order.version, order.storage_url, Path(order.cache_dir), order.cache_bytes_max, say)
    os.set_inheritable(held.descriptor, True)
    _say(f"{reference} is in {held.folder}, after {time.monotonic() - began_s:.1f} s")
    return held.folder


def _say(text: str) -> None:
    if text:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
