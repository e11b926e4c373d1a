"""The one file from which workers learn the routes: written whole by the controller, looked at by each worker.

A file that cannot be read, or that is older than what is followed, changes nothing but a line in the log.
"""

import logging
import os
from pathlib import Path

import msgspec

from suanli.serving.gateway.routes import Routes
from suanli.whole_file import replace

ROUTES_FILE = "routes.json"

log = logging.getLogger(__name__)

_decode = msgspec.json.Decoder(Routes).decode

Mark = tuple[int, int, int]


class RoutesFile:
    """What one worker has seen of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: Mark | None = None
        self._version = -1

    def news(self) -> Routes | None:
        """Routes that are newer than all before, if the file has any. Cheap where it has not changed."""
        mark = self._mark()
        if mark is None or mark == self._seen:
            return None
        self._seen = mark
        try:
            routes = _decode(self._path.read_bytes())
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("routes in %s cannot be read, the last ones stay: %s", self._path, error)
            return None
        if routes.version <= self._version:
            if routes.version < self._version:
                log.warning("routes %d are older than %d, which stay", routes.version, self._version)
            return None
        self._version = routes.version
        return routes

    def _mark(self) -> Mark | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - twenty times a second
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


def write_routes(folder: Path, routes: Routes) -> None:
    """Replace the file; durable before it returns. It holds digests of keys and tokens of replicas: only its owner may
    read it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace(folder / ROUTES_FILE, msgspec.json.encode(routes), durable=True)
