"""Addresses and names that lead elsewhere than they say: hundreds of them, all refused, and nothing is left behind."""

import itertools
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from tests.unit.models.files import everything_below, file_of, gguf, onnx, push

from suanli.domain.errors import UsageError
from suanli.models.check import NotAdmitted
from suanli.models.source import open_source
from suanli.models.uris import parse_source, parse_storage

UPWARD = [
    "..",
    "../x",
    "../../etc/passwd",
    "a/../../etc/passwd",
    "a/..",
    "./x",
    ".",
    "a/./b",
    "a//b",
    "..\\x",
    "a\\..\\b",
]
ENCODED = [
    *(
        "%2e%2e/x",
        "%2e%2e%2fx",
        "..%2fx",
        "%252e%252e/x",
        "..%5cx",
        "..%c0%afx",
        "%c0%ae%c0%ae/x",
        "..%00/x",
        "%00",
    ),
    *(
        "a%0ab",
        "a%20b/%2e%2e",
        "..;/x",
        "..#/x",
        "#",
        "a#/../b",
        "?",
        "a?../b",
        "..%u2215x",
        "%uff0e%uff0e/x",
    ),
]
LOOK_ALIKE = [
    "．．/x",
    "‥/x",
    "․․/x",
    "。。/x",
    "..／x",
    "..∕x",
    "..⁄x",
    "a﹒﹒/b",
    "..＼x",
    "a：b",
    "ａ/．．/b",
    "..\u29f8x",
]
UNSEEN = [
    "a\0b",
    "a\nb",
    "a\rb",
    "a\tb",
    "\u202egpj.exe",
    "a\u200bb",
    "\ufeffx",
    "a\u00adb",
    "\x7f",
    "a\x1b[2J",
    "e\u0301.txt",
]
DRIVES = [
    "C:\\x",
    "C:/x",
    "c:x",
    "\\\\host\\share",
    "\\\\?\\C:\\x",
    "\\\\.\\pipe\\x",
    "//host/share",
    "NUL",
    "con.txt",
    "a/AUX",
]
ODD = [
    "",
    "/",
    "/etc/passwd",
    "//etc/passwd",
    "a/",
    "~",
    "~/x",
    "~root/x",
    " a",
    "a ",
    "a.",
    "a/b.",
    "x" * 513,
    "a/" * 20 + "b",
]
NAMES = [
    *UPWARD,
    *ENCODED,
    *LOOK_ALIKE,
    *UNSEEN,
    *DRIVES,
    *ODD,
    "a" * 201,
    "é" * 101,
    "file:///x",
    "http://x/y",
]

HOSTS = [
    *(
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "127.1",
    ),
    *(
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
    ),
    *(
        "metadata.google.internal",
        "100.100.100.200",
        "[fd00:ec2::254]",
        "localtest.me",
        "169.254.169.254.nip.io",
    ),
    *(
        "user@127.0.0.1",
        "127.0.0.1:80",
        "example.com#@127.0.0.1",
        "example.com\\@127.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
    ),
]
SCHEMES = [
    "http",
    "https",
    "HTTP",
    "ftp",
    "gopher",
    "dict",
    "ldap",
    "jar",
    "data",
    "javascript",
    "hf",
    "git+ssh",
    "smb",
    "nfs",
]
BUCKETS = [
    *(
        "127.0.0.1",
        "169.254.169.254",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ),
    *(
        "user:password@bucket",
        "bucket:9000",
        "a..b",
        "-a",
        "..",
        "B",
        "a",
        "x" * 64,
        "bucket%2f..",
        "b\u00fccket",
        "",
    ),
]


def addresses() -> Iterator[str]:
    for scheme, host in itertools.product(("http", "https"), HOSTS):
        yield f"{scheme}://{host}/model.safetensors"
    yield from (f"{scheme}://example.com/m" for scheme in SCHEMES)
    yield from (
        "data:,x",
        "javascript:alert(1)",
        "simplecache::s3://b/x",
        "zip://x::http://h/y",
        "s3://bucket/x::file:///etc",
    )
    yield from (f"{scheme}://{bucket}/key" for scheme in ("s3", "gs", "abfs") for bucket in BUCKETS)
    yield from (
        f"s3://bucket/{name}" for name in NAMES if name not in ("", "/", "a/") and not name.endswith("/")
    )
    yield from (
        "s3:bucket/x",
        "s3:/bucket/x",
        "s3://",
        "s3:///x",
        "S3://bucket/x",
        "s3://bucket/x?versionId=1",
        "s3a://b/x",
    )
    yield from (
        "file://host/x",
        "file:x",
        "file:/x",
        "file:////host/x",
        "file://localhost/x",
        "file:///a/../b",
        "file:///%2e%2e",
    )
    yield from (
        "file:///C:/x",
        "file:///a#b",
        "file:///a?b",
        "FILE:///etc/passwd",
        "file://169.254.169.254/x",
    )
    yield from (
        "C:\\models",
        "C:/models",
        "\\\\host\\share",
        "//host/share/model",
        "a\0b",
        "a\nb",
        "",
        "x" * 3000,
    )
    yield from (
        "models:chat",
        "models://chat/1",
        "models:/",
        "models:/../x/1",
        "models:/a/b/c",
        "models:/a/1#x",
        "models:/a%2f..",
    )
    yield from (
        "models:/chat/1?x",
        "mlflow-artifacts://host/x",
        "mlflow-artifacts:/../x",
        "mlflow-artifacts:/a/%2e%2e/b",
    )
    yield from ("abfs://c@evil.com/x", "abfs://c@127.0.0.1/x", "abfs://c@a.dfs.core.windows.net.evil.com/x")


ADDRESSES = list(dict.fromkeys(addresses()))


def test_there_are_hundreds():
    assert len(ADDRESSES) >= 200
    assert len(set(NAMES)) >= 80


@pytest.mark.parametrize("address", ADDRESSES, ids=range(len(ADDRESSES)))
def test_an_address_that_is_none_of_those_allowed_is_refused_before_anything_is_asked(address, monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("something was looked up or connected to")

    monkeypatch.setattr("socket.getaddrinfo", never)
    monkeypatch.setattr("socket.socket.connect", never)
    monkeypatch.setattr("suanli.models.source.file_system", never)
    with pytest.raises(UsageError) as refused, open_source(address):
        pass
    assert refused.value.code in ("SL-MODEL-URI", "SL-MODEL-SOURCE", "SL-MODEL-MLFLOW")
    assert len(refused.value.sentence) < 1000
    if not address.startswith(("models:", "mlflow")):
        with pytest.raises(UsageError):
            parse_storage(address)


@pytest.mark.parametrize(
    ("text", "scheme", "path"),
    [
        ("s3://my-bucket/models/chat", "s3", "my-bucket/models/chat"),
        ("gs://bucket.with.dots/x", "gs", "bucket.with.dots/x"),
        ("abfs://data@account.dfs.core.windows.net/m", "abfs", "data@account.dfs.core.windows.net/m"),
        ("file:///srv/models", "file", "/srv/models"),
        ("/srv/模型", "file", "/srv/模型"),
        ("models:/chat/3", "models", "/chat/3"),
        ("models:/chat@prod", "models", "/chat@prod"),
    ],
)
def test_what_is_allowed_is_read_once_and_means_one_thing(text, scheme, path):
    parsed = parse_source(text)
    assert (parsed.scheme, parsed.path) == (scheme, path)


def test_files_of_hostile_names_are_refused_by_the_api_and_nothing_is_left(house):
    for name in NAMES:
        promised = {"path": name, "size_bytes": 1, "sha256": file_of("x", b"x").sha256}
        answer = house.api.post("/v1/models/chat/uploads", json={"files": [promised]})
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (400, "SL-MODEL-PATH"), (name, answer.text)
        assert problem["remedy"]
    assert everything_below(house.running.home.path / "models") == []


def test_a_hostile_name_in_any_place_of_an_address_is_refused_and_nothing_is_left(house):
    push(house.running.models, {"m.gguf": gguf()})
    before = everything_below(house.running.home.path)
    places = [
        ("GET", "/v1/models/{}"),
        ("GET", "/v1/models/{}/1"),
        ("GET", "/v1/models/chat/1/files/{}"),
        ("PUT", "/v1/models/chat/aliases/{}"),
        ("POST", "/v1/models/{}/uploads"),
        ("PUT", "/v1/models/chat/uploads/{}/{}?offset=0"),
        ("POST", "/v1/models/chat/uploads/{}/commit"),
        ("DELETE", "/v1/models/chat/uploads/{}"),
    ]
    hostile = [
        name for name in NAMES if name not in ("", ".", "..") and "\0" not in name
    ]  # clients resolve those
    for (method, place), name in itertools.product(places, hostile):
        encoded = quote(name.encode("utf-8", "surrogatepass"), safe="")
        answer = house.api.request(method, place.replace("{}", encoded), json={"files": [], "number": 1})
        assert 400 <= answer.status_code < 500, (method, place, name, answer.text)
        assert answer.json()["code"]
        assert b"root:" not in answer.content
    after = everything_below(house.running.home.path)
    assert [path for path in after if path.startswith("models")] == [
        p for p in before if p.startswith("models")
    ]


def test_onnx_files_that_keep_their_tensors_elsewhere_are_refused_and_nothing_is_left(house):
    for location in filter(None, NAMES):
        with pytest.raises(NotAdmitted):
            push(house.running.models, {"model.onnx": onnx("fine.bin", location), "fine.bin": b"\xf0\xf1"})
    assert everything_below(house.running.home.path / "models") == []
