"""The server of one inlet: its listener, its deadlines, and its stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import time
from typing import Final

import asyncssh

from postscan.plugins import CancellationToken, SourceContext
from postscan.plugins.sources.sftp.keys import fingerprints, host_keys
from postscan.plugins.sources.sftp.login import SftpLogin
from postscan.plugins.sources.sftp.service import SftpService
from postscan.plugins.sources.sftp.settings import Settings
from postscan.plugins.sources.uploads.files import Files, KnownFile
from postscan.plugins.sources.uploads.folders import Folders
from postscan.plugins.sources.uploads.intake import Intake
from postscan.plugins.sources.uploads.places import Places
from postscan.plugins.sources.uploads.space import UploadSpace

TICK: Final = 0.2
"""Seconds between two looks at the token, at the deadlines, and at the files that wait for a rename."""

WINDOW: Final = 512 << 10
"""Most bytes of a channel that were sent and are not read yet."""

MOST_CONNECTIONS: Final = 10_000

_BACKLOG: Final = 100
_SPARE: Final = 64  # descriptors that are no connection's
_STOP: Final = "the server stops; come again later"


def serve(inlet: SourceContext, token: CancellationToken, grace: float) -> None:
    """Serve until the token is set; then let transfers end, for most of *grace* seconds. Raises `KeyFileInvalid`."""
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)  # its lines repeat what clients send
    asyncio.run(_serve(inlet, token, grace))


async def _serve(inlet: SourceContext, token: CancellationToken, grace: float) -> None:
    settings: Settings = inlet.settings
    service, keys = _service(inlet), host_keys(inlet.folder, settings.host_key)
    listener = await _listen(service, keys)
    inlet.health("ready", f"port {settings.port}, key {fingerprints(keys)}")
    while not token.cancelled:
        await _turn(service)
    service.is_stopping = True
    listener.close()
    end = time.monotonic() + 0.8 * grace
    while any(one.is_busy for one in list(service.connections)) and time.monotonic() < end:
        await _turn(service)
    for one in list(service.connections):
        one.end(_STOP)
    for threads in (service.logins, service.storing):
        threads.shutdown(wait=False, cancel_futures=True)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(listener.wait_closed(), 0.1 * grace)


async def _listen(service: SftpService, keys: list[asyncssh.SSHKey]) -> asyncssh.SSHAcceptor:
    settings = service.settings
    try:
        return await asyncssh.listen(
            settings.host,
            settings.port,
            backlog=_BACKLOG,
            reuse_address=True,
            server_factory=lambda: SftpLogin(service),
            server_host_keys=keys,
            server_version="postscan",
            login_timeout=settings.login_seconds,
            compression_algs=None,
            gss_host=None,
            host_based_auth=False,
            kbdint_auth=True,
            allow_pty=False,
            agent_forwarding=False,
            x11_forwarding=False,
            window=WINDOW,
            encoding=None,
        )
    except OSError as error:
        raise OSError(f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}") from error


async def _turn(service: SftpService) -> None:
    """Wait for `TICK` seconds; end what takes too long."""
    await asyncio.sleep(TICK)
    service.files.expire()
    settings, now = service.settings, time.monotonic()
    for one in list(service.connections):
        uploads = list(one.requests.uploads) if one.requests is not None else []
        if any(upload.is_slow(settings.least_rate, settings.data_seconds, now) for upload in uploads):
            one.end(f"an upload brought fewer than {settings.least_rate} bytes a second")
        elif any(now > upload.begun + settings.transfer_seconds for upload in uploads):
            one.end(f"an upload took more than {settings.transfer_seconds:g} s")
        elif one.who is not None and not one.is_busy and now > one.used + settings.idle_seconds:
            one.end(f"no request came for {settings.idle_seconds:g} s")


def _service(inlet: SourceContext) -> SftpService:
    settings: Settings = inlet.settings

    def expired(known: KnownFile) -> None:
        reason = "it was not renamed in time"
        inlet.log("upload refused", "warning", file=known.place.name, user=known.who.subject, reason=reason)

    return SftpService(
        inlet=inlet,
        settings=settings,
        intake=Intake(inlet),
        folders=Folders(inlet.destinations),
        files=Files(expired),
        places=Places(_most_connections(settings), settings.connections_per_address),
        space=UploadSpace(inlet.workdir, settings.spool_bytes),
    )


def _most_connections(settings: Settings) -> int:
    """Return how many connections the open files of this process allow: each has its socket and its files."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if most == resource.RLIM_INFINITY:
        return min(settings.connections, MOST_CONNECTIONS)
    allowed = max(1, (most - _SPARE) // (2 + 3 * settings.files_per_connection))
    return min(settings.connections, allowed, MOST_CONNECTIONS)
