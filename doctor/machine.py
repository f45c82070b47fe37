"""The checks of the machine and of the data: files, server and port, clock, Linux, database, spool.

Each is a function of the settings that yields what it finds, at least one finding. They only look: what they have to
try, they undo at once.
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
from postscan.core.spool.images import LOST
from postscan.core.store import database
from postscan.core.store.store import Store
from postscan.doctor.findings import Finding, ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postscan.core.settings import Settings

AHEAD: Final = timedelta(days=1)
CONNECTING: Final = 3.0  # seconds
NEARLY: Final = 0.9  # of a caller's share

_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  (to connect to, not to listen on)
_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_PR_GET_CHILD_SUBREAPER: Final = 37


def settings_file(path: Path | None, settings: Settings) -> Iterator[Finding]:
    """Whether the settings can be read by us, and by nobody who should not."""
    name = "settings file"
    if path is None:
        yield ok(name, "there is none, so the defaults count; name one by --config or POSTSCAN_CONFIG")
        return
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        yield problem(name, f"{path} can be written by every user", f"chmod o-w {_quoted(path)}")
    elif mode & stat.S_IROTH and _has_secrets(settings):
        yield problem(name, f"{path} holds secrets, and everybody can read it", f"chmod o-rwx {_quoted(path)}")
    else:
        yield ok(name, f"{path} can be read, and its values can be used")


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Whether the folder for all data is there, ours, and closed to others."""
    name, folder = "data folder", settings.storage.data_dir
    quoted = _quoted(folder)
    if not folder.exists():
        above = _existing(folder)
        if os.access(above, os.W_OK | os.X_OK, effective_ids=True):
            yield ok(name, f"{folder} is not there yet; the server makes it")
        else:
            yield problem(name, f"{folder} is not there, and cannot be made in {above}", f"mkdir -p -m 700 {quoted}")
        return
    try:
        with tempfile.NamedTemporaryFile(prefix=".postscan-", dir=folder):
            found = folder.stat()
    except OSError as error:
        why = error.strerror or str(error)
        yield problem(name, f"{folder} cannot be written: {why}", f"chown {os.getuid()} {quoted} && chmod 700 {quoted}")
        return
    if found.st_mode & stat.S_IRWXO:
        yield problem(name, f"{folder} with everybody's scans is open to every user", f"chmod o-rwx {quoted}")
    elif found.st_uid != os.getuid():
        sentence = f"{folder} belongs to user {found.st_uid}, and this is user {os.getuid()}: run this as that one"
        yield warning(name, sentence, f"sudo -u '#{found.st_uid}' postscan doctor")
    else:
        yield ok(name, f"{folder} can be written, and is closed to other users")


def server(settings: Settings) -> Iterator[Finding]:
    """Whether a server is running with this data, and whether the port is free for one, or answers."""
    running = is_served(settings.storage.data_dir)
    if running:
        yield ok("server", "one is running with this data folder; a second one would refuse to start")
    else:
        yield ok("server", "none is running with this data folder; start it with: postscan serve")
    host, port = settings.server.host, settings.server.port
    where = f"{host}:{port}"
    if not port:
        yield ok("port", "the server takes a free one, as server.port = 0 says")
    elif running:
        yield from _answers(where, _ANY.get(host, host), port)
    else:
        yield from _is_free(where, host, port)


def plain_http(settings: Settings) -> Iterator[Finding]:
    """Whether scans cross a network in the clear."""
    host = settings.server.host
    if settings.tls.on:
        yield ok("plain HTTP", "is not spoken: devices speak TLS")
    elif is_loopback(host):
        yield ok("plain HTTP", f"is spoken on {host} only, which does not leave this machine")
    else:
        sentence = f"is spoken on {host}: everybody on the way can read scans, and pretend to be anybody"
        yield warning("plain HTTP", sentence, "[tls] certificate = ... (docs/tls.md)")


def clock(settings: Settings) -> Iterator[Finding]:
    """Whether the kernel believes its clock; no network is asked."""
    try:
        said = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # all zero: change nothing
    except (AttributeError, OSError):
        said = -1
    if said == -1:
        yield ok("clock", "whether it is synchronised is not known here")
    elif said == _TIME_ERROR:
        yield warning("clock", "is not synchronised, as far as the kernel knows", "timedatectl set-ntp true")
    else:
        yield ok("clock", "is synchronised, as far as the kernel knows")


def linux(settings: Settings) -> Iterator[Finding]:
    """Whether the kernel has what ends filters for certain."""
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
        yield ok("Linux", "pidfd_open(2), /proc and the child subreaper are there")


def records(settings: Settings) -> Iterator[Finding]:
    """Whether the database answers and has the newest schema; then what it knows of time and of callers' shares."""
    storage = settings.storage
    if storage.url.startswith("sqlite"):
        yield ok("SQLite", f"version {sqlite3.sqlite_version} is used with the journal mode {database.journal_mode()}")
    if not storage.database and not (storage.data_dir / "postscan.sqlite").exists():
        yield ok("database", "there is none yet; the server makes it")
        return
    try:
        behind = migrations.check(storage.url, busy_seconds=storage.busy_seconds)
    except Exception as error:  # noqa: BLE001  (each driver has errors of its own, and each is a finding)
        yield problem("database", f"does not answer: {' '.join(str(error).split())[:300]}", "[storage] database = ...")
        return
    yield ok("database", "answers")
    if behind:
        yield problem("migrations", f"the database lacks {', '.join(behind)}", "postscan migrate")
        return
    yield ok("migrations", "the database has the newest schema")
    with contextlib.closing(Store(storage.url, busy_seconds=storage.busy_seconds)) as store:
        yield _newest(store)
        yield from _shares(store, settings)


def spool(settings: Settings) -> Iterator[Finding]:
    """Whether images find room on the disk, and whether some were put aside."""
    storage = settings.storage
    folder = _existing(storage.spool_dir)
    free, image = shutil.disk_usage(folder).free, settings.limits.image_bytes
    room = free - storage.reserve_bytes
    fix = f"df -h {_quoted(folder)}  # make room, or lower storage.reserve_bytes"
    if room <= 0:
        yield problem("spool", f"has {free:,} bytes free, and {storage.reserve_bytes:,} of them are reserved", fix)
    elif room < image:
        yield warning("spool", f"has room for {room:,} bytes, and one image may have {image:,}", fix)
    else:
        yield ok("spool", f"has room for {room:,} bytes beside the reserve")
    lost = storage.spool_dir / LOST
    strays = sum(1 for path in lost.rglob("*") if path.is_file()) if lost.exists() else 0
    if strays:
        yield warning(LOST, f"{strays} files that no job knew were put aside in {lost}", f"ls -l {_quoted(lost)}")
    else:
        yield ok(LOST, "no files were put aside")


def is_loopback(host: str) -> bool:
    """Return whether what is sent to *host* stays on this machine."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _has_secrets(settings: Settings) -> bool:
    return bool(redaction.secrets(None, settings.filters)) or "@" in settings.storage.database.partition("://")[2]


def _answers(where: str, host: str, port: int) -> Iterator[Finding]:
    try:
        socket.create_connection((host, port), CONNECTING).close()
    except OSError as error:
        sentence = f"nobody answers on {where} ({error.strerror or error}), though the server runs"
        yield warning("port", f"{sentence}; it may have got another by --host or --port", f"ss -ltnp 'sport = :{port}'")
    else:
        yield ok("port", f"{where} takes connections, and a server is running")


def _is_free(where: str, host: str, port: int) -> Iterator[Finding]:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        sentence = f"cannot listen on {where}: {error.strerror or error}"
        yield problem("port", sentence, f"ss -ltnp 'sport = :{port}'  # or another server.host, server.port")
    else:
        yield ok("port", f"{where} is free for the server")


def _newest(store: Store) -> Finding:
    """Judge the wall clock by the newest line of the audit trail: that was written before now."""
    lines = store.audit(limit=1)
    ahead = lines[-1].at - datetime.now(UTC) if lines else timedelta()
    if ahead > AHEAD:
        sentence = f"the newest line of the audit trail is {ahead.days} days ahead of it: it was wrong then, or is now"
        return problem("clock", sentence, "date -u; postscan audit")
    return ok("clock", "the audit trail has nothing that lies in the future")


def _shares(store: Store, settings: Settings) -> Iterator[Finding]:
    """Look at the share of the spool that each caller has used up."""
    most = settings.limits.caller_bytes
    kept: Iterable[str] = {
        job.owner.name for job in (*store.open_jobs(), *store.ended_jobs(limit=10_000)) if job.images_kept
    }
    full = 0
    for owner in sorted(kept):
        used = store.spooled_bytes(owner)
        sentence = f"{owner} uses {used:,} of {most:,} bytes"
        if used >= most:
            yield problem("quota", f"{sentence}: its images are refused", "postscan jobs discard TOKEN")
        elif used >= NEARLY * most:
            yield warning("quota", sentence, "postscan jobs list --all  # or more limits.caller_bytes")
        full += used >= NEARLY * most
    if not full:
        yield ok("quota", "every caller has room for more images")


def _existing(folder: Path) -> Path:
    """Return *folder*, or the nearest one above it that is there."""
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
