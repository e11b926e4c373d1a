"""A secret in a file: how the command line keeps the token it was given."""

import os
import stat
from pathlib import Path

from suanli.domain.errors import NotAuthorised, Unavailable
from suanli.whole_file import replace

_SECRET_BYTES_MAX = 4096


def write_secret(path: Path, secret: str) -> None:
    """Put the secret there, whole or not at all, readable by its owner alone. Makes the folder, 0700.

    Raises Unavailable where the disk does not let it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace(path, f"{secret}\n".encode(), durable=True)
    except OSError as error:
        raise Unavailable(
            f"The token cannot be written to {path}: {error.strerror}.",
            remedy="Check the folder's rights and the disk's space.",
        ) from error


def read_secret(path: Path) -> str:
    """The secret of a file that nobody else can read. Raises NotAuthorised, and never shows what the file holds."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe in its place must not hang us
    except OSError as error:
        raise NotAuthorised(
            f"There is no token to be read at {path}: {error.strerror}.",
            remedy="Run as the user who started the controller, or set SUANLI_TOKEN to a token you were given.",
        ) from error
    try:
        _require_private(path, os.fstat(descriptor))
        content = os.read(descriptor, _SECRET_BYTES_MAX)
    finally:
        os.close(descriptor)
    secret = content.decode("ascii", "replace").strip()
    if not secret.isprintable() or not secret or "�" in secret:
        raise NotAuthorised(
            f"{path} holds no token.", remedy="Write the token you were given into it, or delete it."
        )
    return secret


def _require_private(path: Path, status: os.stat_result) -> None:
    """Judged on the open file, so that it cannot be exchanged in between."""
    if not stat.S_ISREG(status.st_mode):
        raise NotAuthorised(f"{path} is not a plain file.", remedy="Keep the token in a plain file.")
    if status.st_uid not in (os.geteuid(), 0):
        raise NotAuthorised(f"The token in {path} belongs to another user.", remedy="Use a file of your own.")
    if status.st_mode & 0o077:
        raise NotAuthorised(
            f"Others can read the token in {path}.",
            remedy=f"Run `chmod 600 {path}`, and make a new token if others may have read it.",
            evidence={"mode": f"{stat.S_IMODE(status.st_mode):04o}"},
        )
