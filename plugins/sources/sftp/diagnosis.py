"""What would keep devices from coming, for `postscan doctor`: looks at a running inlet, and takes nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncssh

from postscan.plugins import SourceContext
from postscan.plugins.sources.sftp.keys import LONGEST_FILE
from postscan.plugins.sources.sftp.settings import Settings

CHECK_SECONDS: Final = 3.0
"""Seconds for an answer."""

MOST_FILES: Final = 100
"""Files of public keys that are looked at."""

_ALL: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (compared, not bound)


def problems(inlet: SourceContext) -> Iterator[str]:
    """Yield a sentence for each thing that is wrong."""
    settings: Settings = inlet.settings
    yield from _unreadable_keys(settings)
    host = _ALL.get(settings.host, settings.host)
    try:
        with socket.create_connection((host, settings.port), CHECK_SECONDS) as connection:
            greeting = connection.recv(255)
    except OSError as error:
        yield f"nothing answers at {host}, port {settings.port}: {error.strerror or error}"
    else:
        if greeting and not greeting.startswith(b"SSH-2.0-"):  # none: there are too many clients, but it is there
            yield f"another server answers at {host}, port {settings.port}; expected one of SSH"


def _unreadable_keys(settings: Settings) -> Iterator[str]:
    if settings.host_key:
        try:
            asyncssh.read_private_key(settings.host_key)
        except (OSError, ValueError) as error:
            yield f"host_key: {settings.host_key} has no private key that can be read: {error}"
    if not settings.authorized_keys:
        return
    files = [path for path in sorted(Path(settings.authorized_keys).iterdir()) if not path.name.startswith(".")]
    for path in files[:MOST_FILES]:
        try:
            with path.open("rb") as file:
                asyncssh.import_authorized_keys(file.read(LONGEST_FILE).decode())
        except (OSError, ValueError) as error:
            yield f"authorized_keys: {path} has no public keys that can be read: {error}"
