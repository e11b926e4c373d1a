"""Addresses of models and of the place where they are kept: parsed once, and never decoded again."""

import ipaddress
import os
import re
from pathlib import Path

import msgspec

from suanli.domain.errors import UsageError
from suanli.models.paths import check_path

REMOTE = ("s3", "gs", "abfs")
"""Schemes of object stores, which fsspec reaches by the credentials of whoever runs this."""

MLFLOW = ("models", "mlflow-artifacts")

URI_CHARACTERS_MAX = 2048

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PLAIN = re.compile(r"[A-Za-z0-9._/@=+, -]*")
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){1,61}[a-z0-9]")
_ABFS_HOST = re.compile(r"[a-z0-9]{3,24}\.dfs\.core\.windows\.net")
_MLFLOW_MODEL = re.compile(
    r"/[A-Za-z0-9][A-Za-z0-9 ._-]{0,199}(?:/[A-Za-z0-9]{1,50}|@[A-Za-z][A-Za-z0-9._-]{0,62})"
)


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """`scheme` is `file`, `memory`, or one of REMOTE or MLFLOW; `path` is absolute, or `bucket/key` of REMOTE."""

    scheme: str
    path: str

    @property
    def url(self) -> str:
        return f"{self.scheme}:{self.path}" if self.scheme in MLFLOW else f"{self.scheme}://{self.path}"


def parse_source(text: str) -> Address:
    """Where a model is pushed from: a path, `file:///…`, `s3://…`, `gs://…`, `abfs://…`, `models:/…`.

    Raises UsageError. Not http and https: what they lead to is decided anew at each redirect and each look-up of a
    name, and may be a machine's own metadata.
    """
    return _parse(text, (*REMOTE, *MLFLOW))


def parse_storage(text: str) -> Address:
    """Where files of models are kept. Raises UsageError."""
    return _parse(text, (*REMOTE, "memory"))


def _parse(text: str, schemes: tuple[str, ...]) -> Address:
    if not text or len(text) > URI_CHARACTERS_MAX or not text.isprintable():
        raise _refused(text, "it is empty, too long, or holds characters that cannot be seen")
    found = _SCHEME.match(text)
    if found is None:
        if text.startswith(("//", "\\\\")) or "::" in text:
            raise _refused(text, "it names a host or chains addresses")
        return Address(scheme="file", path=os.path.abspath(Path(text).expanduser()))  # noqa: PTH100 - links stay
    scheme, rest = found[1], text[found.end() :]
    if scheme == "file":
        return Address(scheme="file", path=_file(text, rest))
    if scheme not in schemes:
        raise _refused(text, f"`{scheme[:20]}:` is none of {', '.join(('file', *schemes))}")
    if _PLAIN.fullmatch(rest) is None:
        raise _refused(text, "it holds an escape, a query, a fragment, a port or another special character")
    if scheme in MLFLOW:
        return Address(scheme=scheme, path=_mlflow(text, scheme, rest))
    if not rest.startswith("//"):
        raise _refused(text, f"it is written {scheme}://…")
    bucket, _, key = rest[2:].partition("/")
    _check_bucket(text, scheme, bucket)
    return Address(scheme=scheme, path=f"{bucket}/{_key(text, key)}" if key.strip("/") else bucket)


def _file(text: str, rest: str) -> str:
    """Only `file:///absolute/path`: any other form names a host, or means another place to each program."""
    if not rest.startswith("///") or rest.startswith("////"):
        raise _refused(text, "it is written file:///absolute/path")
    if _PLAIN.fullmatch(rest) is None:
        raise _refused(text, "it holds an escape, a query or another special character; give the path itself")
    return "/" + _key(text, rest[3:]) if rest.strip("/") else "/"


def _mlflow(text: str, scheme: str, rest: str) -> str:
    if scheme == "models":
        if _MLFLOW_MODEL.fullmatch(rest) is None or ".." in rest:
            raise _refused(text, "it is written models:/NAME/VERSION or models:/NAME@ALIAS")
        return rest
    if not rest.startswith("/") or rest.startswith("//"):
        raise _refused(text, "it is written mlflow-artifacts:/path")
    return "/" + _key(text, rest[1:])


def _check_bucket(text: str, scheme: str, bucket: str) -> None:
    """No user, no port, no number that is an address: a bucket's name and nothing else."""
    name, at, host = bucket.partition("@")
    if at and (scheme != "abfs" or _ABFS_HOST.fullmatch(host) is None):
        raise _refused(text, "it holds a user or a host")
    if _BUCKET.fullmatch(name) is None or _is_number(name):
        raise _refused(text, "its first part is no name of a bucket")


def _is_number(name: str) -> bool:
    """`127.0.0.1`, and the many ways to write it that resolvers take too: 127.1, 2130706433, 0x7f.1."""
    if all(re.fullmatch(r"0x[0-9a-f]*|[0-9]+", part) for part in name.split(".")):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _key(text: str, key: str) -> str:
    try:
        return check_path(key.rstrip("/"))
    except UsageError as error:
        raise _refused(text, "its path is not plain: no `.`, `..`, empty or hidden parts") from error


def _refused(text: str, why: str) -> UsageError:
    return UsageError(
        f"Models are not taken from or kept at {text[:200]!r}: {why}.",
        remedy="Give a folder or file, or s3://BUCKET/PATH, gs://…, abfs://…; download from elsewhere first.",
        code="SL-MODEL-URI",
    )
