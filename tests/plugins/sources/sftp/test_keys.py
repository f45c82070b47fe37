"""The keys of the server."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import asyncssh
import pytest

from postscan.plugins.sources.sftp.keys import KINDS, LONGEST_FILE, KeyFileInvalid, host_keys, is_authorized


def test_keys_are_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    """T-S74: clients warn of a key that has changed."""
    before = os.umask(0)
    try:
        made = host_keys(tmp_path, "")
    finally:
        os.umask(before)
    again = host_keys(tmp_path, "")

    assert [key.get_fingerprint() for key in made] == [key.get_fingerprint() for key in again]
    assert [key.get_algorithm() for key in made] == list(KINDS)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_half_a_key_of_a_crash_is_no_key(tmp_path: Path) -> None:
    """T-S74: it has another name until it is whole and synced."""
    (tmp_path / "host_key_ed25519.part").write_text("-----BEGIN OPENSSH")

    assert len(host_keys(tmp_path, "")) == len(KINDS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host_key_ed25519", "host_key_rsa"]


def test_a_key_may_be_given(tmp_path: Path) -> None:
    """One that is none is an error with its path."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "given")
    (tmp_path / "wrong").write_text("no key")

    assert [one.get_fingerprint() for one in host_keys(tmp_path, str(tmp_path / "given"))] == [key.get_fingerprint()]
    with pytest.raises(KeyFileInvalid, match="wrong has no private key"):
        host_keys(tmp_path, str(tmp_path / "wrong"))


def test_the_file_of_an_account_is_bounded(tmp_path: Path) -> None:
    """T-S74: and its option `from` counts."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    line = key.export_public_key().decode()
    (tmp_path / "large").write_text(line + "#" * LONGEST_FILE)
    (tmp_path / "bound").write_text(f'from="10.0.0.0/24" {line}')

    with pytest.raises(KeyFileInvalid, match="more than"):
        is_authorized(str(tmp_path), "large", key.convert_to_public(), "10.0.0.9")
    assert is_authorized(str(tmp_path), "bound", key.convert_to_public(), "10.0.0.9")
    assert not is_authorized(str(tmp_path), "bound", key.convert_to_public(), "10.0.1.9")
