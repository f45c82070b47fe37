"""The checks of the machine and of the data: files, server and port, clock, Linux, database, spool.

Each is a function of the settings that yields at least one finding. They change nothing: a file or socket that a check
opens is removed or closed at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import shlex
import shutil
import socket
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postscan import migrations
from postscan.core.engine import is_served
from postscan.core.registry import redaction
from postscan.core.spool import ballast, identity
from postscan.core.spool.image_store.opening import open_spool
from postscan.core.spool.image_store.spool_store import LOST
from postscan.core.spool.shares import shares
from postscan.core.store import database
from postscan.core.store.store import Store
from postscan.doctor.findings import Finding, ok, problem, warning

if TYPE_CHECKING:
    from postscan.core.settings import Settings

AHEAD: Final = timedelta(days=1)
CONNECT_SECONDS: Final = 3.0

_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  (to connect to, not to listen on)
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_PR_GET_CHILD_SUBREAPER: Final = 37


def settings_file(path: Path | None, settings: Settings) -> Iterator[Finding]:
    """Check whether the settings are protected from other users."""
    name = "settings file"
    if path is None:
        yield ok(name, "none: the defaults apply; set one with --config or POSTSCAN_CONFIG")
        return
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        yield problem(name, f"{path} can be written by every user", f"chmod o-w {_quoted(path)}")
    elif mode & stat.S_IROTH and _has_secrets(settings):
        yield problem(name, f"{path} has secrets, and every user can read it", f"chmod o-rwx {_quoted(path)}")
    else:
        yield ok(name, f"{path} is valid")


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Check whether the data folder exists, can be written, and is closed to other users."""
    name, folder = "data folder", settings.storage.data_dir
    quoted = _quoted(folder)
    if not folder.exists():
        above = _existing(folder)
        if os.access(above, os.W_OK | os.X_OK, effective_ids=True):
            yield ok(name, f"{folder} does not exist yet; the server creates it")
        else:
            sentence = f"{folder} does not exist, and cannot be created in {above}"
            yield problem(name, sentence, f"mkdir -p -m 700 {quoted}")
        return
    try:
        with tempfile.NamedTemporaryFile(prefix=".postscan-", dir=folder):
            found = folder.stat()
    except OSError as error:
        why = error.strerror or str(error)
        yield problem(name, f"{folder} cannot be written: {why}", f"chown {os.getuid()} {quoted} && chmod 700 {quoted}")
        return
    if found.st_mode & stat.S_IRWXO:
        yield problem(name, f"{folder}, which has all scans, is open to every user", f"chmod o-rwx {quoted}")
    elif found.st_uid != os.getuid():
        sentence = f"{folder} belongs to user {found.st_uid}, but the doctor runs as user {os.getuid()}"
        yield warning(name, sentence, f"sudo -u '#{found.st_uid}' postscan doctor")
    else:
        yield ok(name, f"{folder} can be written, and is closed to other users")


def server(settings: Settings) -> Iterator[Finding]:
    """Check whether a server runs with this data folder, and whether its port accepts connections or is free."""
    running = is_served(settings.storage.data_dir)
    if running:
        yield ok("server", "one is running with this data folder")
    else:
        yield ok("server", "none is running with this data folder; start it with: postscan serve")
    host, port = settings.server.host, settings.server.port
    where = f"{host}:{port}"
    if not port:
        yield ok("port", "server.port is 0: the kernel chooses a free one")
    elif running:
        yield from _accepts(where, _ANY.get(host, host), port)
    else:
        yield from _is_free(where, host, port)


def plain_http(settings: Settings) -> Iterator[Finding]:
    """Check whether scans cross a network without encryption."""
    host = settings.server.host
    if settings.tls.on:
        yield ok("plain HTTP", "is off: devices use TLS")
    elif is_loopback(host):
        yield ok("plain HTTP", f"is on for {host} only, which is this machine")
    else:
        sentence = f"is on for {host}: others on the network can read scans and impersonate users"
        yield warning("plain HTTP", sentence, "[tls] certificate = ... (docs/tls.md)")


def clock(settings: Settings) -> Iterator[Finding]:
    """Check whether the kernel reports a synchronised clock; no network is used."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # all zero: change nothing
    except (AttributeError, OSError):
        state = -1
    if state == -1:
        yield ok("clock", "the kernel does not report whether it is synchronised")
    elif state == _TIME_ERROR:
        yield warning("clock", "is not synchronised, by the kernel's state", "timedatectl set-ntp true")
    else:
        yield ok("clock", "is synchronised, by the kernel's state")


def linux(settings: Settings) -> Iterator[Finding]:
    """Check whether the kernel has the calls that end filters reliably."""
    lacks = []
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        lacks.append("pidfd_open(2)")
    if not Path("/proc/self/stat").exists() or not Path("/proc/sys/kernel/random/boot_id").exists():
        lacks.append("/proc")
    with contextlib.suppress(AttributeError):
        if ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(ctypes.c_int()), 0, 0, 0) != 0:
            lacks.append("the child subreaper of prctl(2)")
    if lacks:
        yield problem("Linux", f"this kernel lacks {', '.join(lacks)}", "uname -r  # Linux 5.3 or newer, /proc mounted")
    else:
        yield ok("Linux", "pidfd_open(2), /proc and the child subreaper are available")


def records(settings: Settings) -> Iterator[Finding]:
    """Check whether the database is available and has the newest schema; then the clock and the quotas by its data."""
    storage = settings.storage
    mode = database.journal_mode(storage.url)
    if mode is not None:
        yield ok("SQLite", f"version {sqlite3.sqlite_version} with journal mode {mode.upper()}")
    if not storage.database and not (storage.data_dir / "postscan.sqlite").exists():
        yield ok("database", "does not exist yet; the server creates it")
        return
    try:
        behind = migrations.check(storage.url, busy_seconds=storage.busy_seconds)
    except Exception as error:  # noqa: BLE001  (each driver has errors of its own, and each is a finding)
        yield problem("database", f"is not available: {' '.join(str(error).split())[:300]}", "[storage] database = ...")
        return
    yield ok("database", "is available")
    if behind:
        yield problem("migrations", f"the database lacks {', '.join(behind)}", "postscan migrate")
        return
    yield ok("migrations", "the database has the newest schema")
    with contextlib.closing(Store(storage.url, busy_seconds=storage.busy_seconds)) as store:
        yield _clock_by_audit(store)
        yield _spool_identity(store, settings)
        yield from _other_server(store, settings)
        yield from _quotas(store, settings)


def spool(settings: Settings) -> Iterator[Finding]:
    """Check whether the disk has room for images, and whether unknown files were put aside."""
    storage = settings.storage
    local = settings.arrival_dir
    folder = _existing(local)
    free, image = shutil.disk_usage(folder).free, settings.limits.image_bytes
    room = free - storage.reserve_bytes
    fix = f"df -h {_quoted(folder)}  # free space, or lower storage.reserve_bytes"
    if room <= 0:
        yield problem("spool", f"has {free:,} bytes free, and {storage.reserve_bytes:,} of them are reserved", fix)
    elif room < image:
        yield warning("spool", f"has room for {room:,} bytes, and one image may have {image:,}", fix)
    else:
        yield ok("spool", f"has room for {room:,} bytes beside the reserve")
    yield _ballast(settings)
    unknown = open_spool(settings).put_aside() if local.exists() else 0
    if unknown:
        lost = f"{settings.spool.store}/{LOST}" if settings.spool.is_object_store else str(local / LOST)
        fix = f"list {lost}" if settings.spool.is_object_store else f"ls -l {_quoted(local / LOST)}"
        yield warning(LOST, f"{unknown} files that belong to no job were put aside in {lost}", fix)
    else:
        yield ok(LOST, "no files were put aside")


def _ballast(settings: Settings) -> Finding:
    """Check whether the ballast is whole: it is given up when the database has no room."""
    storage = settings.storage
    file = storage.data_dir / ballast.NAME
    if not storage.ballast_bytes or not storage.url.startswith("sqlite") or not file.exists():
        return ok("ballast", "there is none; a server with SQLite and storage.ballast_bytes allocates it")
    kept = file.stat().st_size
    if kept < storage.ballast_bytes:
        sentence = f"has {kept:,} of {storage.ballast_bytes:,} bytes: the database was out of space"
        return problem("ballast", sentence, f"df -h {_quoted(storage.data_dir)}  # the server allocates it again")
    return ok("ballast", f"has {kept:,} bytes, to be given up when the database is out of space")


def is_loopback(host: str) -> bool:
    """Return whether *host* is this machine by a loopback address or name."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _has_secrets(settings: Settings) -> bool:
    database = settings.storage.database.partition("://")[2]
    inlets = {name: source.table for name, source in settings.sources.items()}
    has_tables = any(redaction.secrets(None, one) for one in (settings.filters, inlets, settings.plugins.tables))
    return bool(settings.accounts) or has_tables or bool(settings.spool.secret_key) or "@" in database


def _accepts(where: str, host: str, port: int) -> Iterator[Finding]:
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        sentence = f"{where} accepts no connections ({error.strerror or error}), though the server runs"
        yield warning(
            "port", f"{sentence}; it may have another address by --host or --port", f"ss -ltnp 'sport = :{port}'"
        )
    else:
        yield ok("port", f"{where} accepts connections, and a server is running")


def _is_free(where: str, host: str, port: int) -> Iterator[Finding]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        sentence = f"cannot listen on {where}: {error.strerror or error}"
        yield problem("port", sentence, f"ss -ltnp 'sport = :{port}'  # or another server.host, server.port")
    else:
        yield ok("port", f"{where} is free for the server")


def _spool_identity(store: Store, settings: Settings) -> Finding:
    """Check whether a server would use this spool with this database."""
    try:
        refusal = identity.refusal(store, open_spool(settings))
    except OSError as error:
        return problem("spool identity", f"cannot be read: {error}", "[spool] store = ...")
    if refusal is not None:
        return problem("spool identity", f"a server does not start: {refusal}", "postscan spool adopt --check")
    return ok("spool identity", "the spool is that of the database")


def _other_server(store: Store, settings: Settings) -> Iterator[Finding]:
    """Check whether a server with another data folder uses the database."""
    server = store.server()
    if server is not None and not is_served(settings.storage.data_dir):
        sentence = f"{server} uses the database, with another data folder; a second server does not start"
        yield problem("server", sentence, "[storage] data_dir, database = ...")


def _clock_by_audit(store: Store) -> Finding:
    """Check the wall clock against the newest line of the audit trail."""
    lines = store.audit(limit=1)
    ahead = lines[-1].at - datetime.now(UTC) if lines else timedelta()
    if ahead > AHEAD:
        sentence = f"is {ahead.days} days behind the newest line of the audit trail: it is wrong, or was"
        return problem("clock", sentence, "date -u; postscan audit")
    return ok("clock", "no line of the audit trail is in the future")


def _quotas(store: Store, settings: Settings) -> Iterator[Finding]:
    """Check the quota of the spool for each caller, the logs of its jobs included."""
    full = 0
    for share in shares(store, settings):
        sentence = f"{share.owner} uses {share.used:,} of {share.most:,} bytes"
        if share.is_full:
            yield problem("quota", f"{sentence}: its images are refused", "postscan jobs discard TOKEN")
        elif share.is_nearly_full:
            yield warning("quota", sentence, "postscan jobs list --all  # or raise limits.caller_bytes")
        full += share.is_nearly_full
    if not full:
        yield ok("quota", "every caller has room for more images")


def _existing(folder: Path) -> Path:
    """Return *folder*, or the nearest folder above it that exists."""
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
