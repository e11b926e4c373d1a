"""Tokens are random, kept only as digests, and read only from files that are their owner's alone."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from suanli.credentials.secret_file import read_secret, write_secret
from suanli.credentials.tokens import new_token, verify
from suanli.domain.errors import NotAuthorised, Unavailable
from suanli.ports.store import Token
from suanli.store import SqlStore


def test_a_secret_has_256_bits_and_a_prefix_that_scanners_know():
    minted = [new_token("admin", 5.0)[0] for _ in range(100)]
    assert len(set(minted)) == 100
    assert all(secret.startswith("sl_") and len(secret) == 3 + 43 for secret in minted)  # 43 * 6 bits >= 256


def test_only_the_digest_of_a_secret_is_kept(tmp_path: Path):
    secret, token = new_token("admin", 5.0)
    assert token == Token(name="admin", digest=hashlib.sha256(secret.encode()).hexdigest(), created_s=5.0)
    store = SqlStore(f"sqlite:///{tmp_path}/suanli.db")
    store.add_token(token)
    assert verify(secret, store.tokens()) == token
    assert all(secret.encode() not in file.read_bytes() for file in tmp_path.iterdir())


def test_a_secret_opens_its_own_token_and_no_other():
    tokens = dict(new_token(f"t{i}", 0.0) for i in range(20))
    for secret, token in tokens.items():
        assert verify(secret, tokens.values()) == token
    secret, token = next(iter(tokens.items()))
    for wrong in (
        "",
        "sl_",
        secret[:-1],
        secret + "x",
        secret.upper(),
        f" {secret}",
        token.digest,
        "\ud800",
        "\x00",
    ):
        assert verify(wrong, tokens.values()) is None
    assert verify(secret, ()) is None


def test_a_replaced_token_no_longer_opens(tmp_path: Path):
    store = SqlStore(f"sqlite:///{tmp_path}/suanli.db")
    old, token = new_token("admin", 0.0)
    store.add_token(token)
    new, token = new_token("admin", 1.0)
    store.add_token(token)
    assert verify(old, store.tokens()) is None
    assert verify(new, store.tokens()) == token


def test_a_secret_is_written_for_its_owner_alone_whatever_the_umask(tmp_path: Path):
    former = os.umask(0)
    try:
        write_secret(tmp_path / "home" / "token", "sl_one")
        write_secret(tmp_path / "home" / "token", "sl_two")
    finally:
        os.umask(former)
    path = tmp_path / "home" / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_secret(path) == "sl_two"
    assert [file.name for file in path.parent.iterdir()] == ["token"]


def test_writing_over_a_file_that_others_can_read_closes_it(tmp_path: Path):
    path = tmp_path / "token"
    path.write_text("sl_old")
    path.chmod(0o644)
    write_secret(path, "sl_new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666, 0o610, 0o777])
def test_a_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int):
    path = tmp_path / "token"
    write_secret(path, "sl_secret")
    path.chmod(mode)
    with pytest.raises(NotAuthorised) as refused:
        read_secret(path)
    assert "chmod 600" in refused.value.remedy
    assert "sl_secret" not in f"{refused.value} {refused.value.remedy} {refused.value.evidence}"


def test_what_is_no_token_file_is_refused_without_showing_it(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(mode=0o700)
    for name, content in {"empty": b"", "binary": b"\xff\x00\x01", "two": b"sl_a\nsl_b"}.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    for name in ("missing", "pipe", "folder", "empty", "binary", "two"):
        with pytest.raises(NotAuthorised) as refused:
            read_secret(tmp_path / name)
        assert refused.value.remedy
        assert "sl_a" not in str(refused.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")
def test_a_file_of_another_user_is_refused(tmp_path: Path):
    path = tmp_path / "token"
    write_secret(path, "sl_secret")
    os.chown(path, 65534, 65534)
    with pytest.raises(NotAuthorised, match="another user"):
        read_secret(path)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable) as refused:
        write_secret(tmp_path / "file" / "token", "sl_secret")
    assert refused.value.remedy
    assert "sl_secret" not in str(refused.value)
