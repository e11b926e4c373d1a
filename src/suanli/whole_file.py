"""Files that are replaced as a whole: whoever reads sees the old content or the new, never a part."""

import os
from pathlib import Path


def replace(path: Path, data: bytes, *, durable: bool) -> None:
    """Put `data` there, for its owner alone (0600); with `durable` it is on disk on return. Raises OSError."""
    import tempfile  # who only reads such files needs none of it, and every command reads one

    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(descriptor)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    if durable:
        _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
