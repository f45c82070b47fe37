"""The keys of the server, which are made once and kept, and the public keys of accounts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncssh

KINDS: Final = ("ssh-ed25519", "ssh-rsa")
"""Kinds of the keys that are made. Devices of some years ago have no Ed25519."""

RSA_BITS: Final = 3072

LONGEST_FILE: Final = 64 << 10
"""Most bytes of the file of an account."""


class KeyFileInvalid(Exception):
    """A file of keys cannot be used; the text is a sentence with its path."""


def host_keys(folder: Path, given: str) -> list[asyncssh.SSHKey]:
    """Return the keys of the server: the *given* file, or those in *folder*, which are made if they are not there.

    A key that was made is readable for this user alone, and whole or not there. Raises `KeyFileInvalid`, `OSError`.
    """
    if given:
        return [_read(Path(given))]
    return [_kept(folder / f"host_key_{kind.removeprefix('ssh-')}", kind) for kind in KINDS]


def fingerprints(keys: Sequence[asyncssh.SSHKey]) -> str:
    """Return the fingerprints of keys as clients show them."""
    return ", ".join(key.get_fingerprint() for key in keys)


def is_authorized(folder: str, account: str, key: asyncssh.SSHKey, address: str) -> bool:
    """Return whether the file of an account, named as it, has this public key; *address* is the client's.

    The file has the format of OpenSSH's authorized_keys; of its options, `from` counts. Raises `KeyFileInvalid` for one
    that cannot be read.
    """
    if not folder or not account or account.startswith(".") or "/" in account or "\0" in account:
        return False
    path = Path(folder) / account
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST_FILE + 1)
        if len(data) > LONGEST_FILE:
            raise KeyFileInvalid(f"{path} has more than {LONGEST_FILE} bytes")
        return asyncssh.import_authorized_keys(data.decode()).validate(key, address, address) is not None
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise KeyFileInvalid(f"{path} has no public keys that can be read: {error}") from error


def _read(path: Path) -> asyncssh.SSHKey:
    try:
        return asyncssh.read_private_key(path)
    except (OSError, ValueError) as error:  # those of asyncssh about keys are ValueErrors
        raise KeyFileInvalid(f"{path} has no private key that can be read: {error}") from error


def _kept(path: Path, kind: str) -> asyncssh.SSHKey:
    if not path.exists():
        is_rsa = kind == "ssh-rsa"
        key = asyncssh.generate_private_key(kind, key_size=RSA_BITS) if is_rsa else asyncssh.generate_private_key(kind)
        _write(path, key.export_private_key())
    return _read(path)


def _write(path: Path, data: bytes) -> None:
    """Write a file for this user alone; after a crash it is whole or not there."""
    part = path.with_name(f"{path.name}.part")
    with contextlib.suppress(FileNotFoundError):
        part.unlink()
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
