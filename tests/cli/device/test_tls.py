"""The files with which the simulated device speaks TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from certificates import Authority
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from postscan.cli.device import tls
from postscan.core.errors import PostscanError

ROOT = Authority()


def test_without_any_file_the_machine_decides_whom_to_trust() -> None:
    """As every other program on it does."""
    assert tls.context(None, None, None) is None


def test_the_server_is_always_verified(tmp_path: Path) -> None:
    """Its certificate, and that it is the one of the address that was called."""
    made = tls.context(ROOT.write(tmp_path, "ca"), ROOT.issue().write(tmp_path, "user"), None)

    assert made
    assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """With the option that names it."""
    nowhere, junk = tmp_path / "nowhere.pem", tmp_path / "junk.pem"
    junk.write_text("no PEM")
    good = ROOT.issue().write(tmp_path, "good")

    for ca in (nowhere, junk):
        with pytest.raises(PostscanError, match=f"--ca: {ca} is not a file of CA certificates"):
            tls.context(ca, None, None)
    for certificate, key in ((nowhere, None), (junk, None), (good, junk), (good, ROOT.server().write(tmp_path, "x"))):
        with pytest.raises(PostscanError, match=f"--cert, --key: {certificate} and {key or certificate} are not"):
            tls.context(None, certificate, key)


def test_a_key_belongs_to_a_certificate(tmp_path: Path) -> None:
    """Alone it shows nothing."""
    with pytest.raises(PostscanError, match="needs --cert"):
        tls.context(None, None, tmp_path / "key.pem")


def test_nobody_is_asked_for_a_passphrase(tmp_path: Path) -> None:
    """A device has no keyboard for it."""
    path = tmp_path / "key.pem"
    path.write_bytes(ROOT.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))

    with pytest.raises(PostscanError, match=f"--key: {path} has a passphrase"):
        tls.context(None, ROOT.write(tmp_path, "ca"), path)
