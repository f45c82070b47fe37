"""What brings content: PUT, POST and MOVE; and when that makes a job.

The end of a body is certain in HTTP, so a complete PUT is a job at once, with three exceptions: an empty file, which
file managers create first; a file of the file manager itself; and a name for the time being, which waits for its MOVE.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Final

from anyio import CapacityLimiter, to_thread
from starlette.responses import Response

from postscan.plugins import Destination
from postscan.plugins.sources.web.body import HttpRefused
from postscan.plugins.sources.web.dav.files import (
    CONTENT_BYTES,
    KEPT_SECONDS,
    FileTable,
    Kind,
    ListedFile,
    is_beside,
    matches,
)
from postscan.plugins.sources.web.dav.listing import Listing
from postscan.plugins.sources.web.dav.locks import LockTable
from postscan.plugins.sources.web.exchange import Exchange
from postscan.plugins.sources.web.paths import BadPath, DestinationFolders, WebPath, decode, file_name, parse_url
from postscan.plugins.sources.web.upload.form import BadForm, boundary
from postscan.plugins.sources.web.upload.incoming import Incoming, ReceivedFile
from postscan.plugins.sources.web.upload.jobs import LONGEST_KEY, Delivered, Jobs

BESIDE_BYTES: Final = 8 << 20
"""Most bytes of a file manager's own file."""

EXPECTED_LENGTH: Final = "x-expected-entity-length"
"""Field in which macOS says how long a file is that it sends in chunks."""


class Transfer:
    """Answers these methods. *temporary* are the patterns of names for the time being."""

    def __init__(
        self,
        folders: DestinationFolders,
        files: FileTable,
        locks: LockTable,
        listing: Listing,
        incoming: Incoming,
        jobs: Jobs,
        temporary: Sequence[str],
    ) -> None:
        self._folders = folders
        self._files = files
        self._locks = locks
        self._listing = listing
        self._incoming = incoming
        self._jobs = jobs
        self._temporary = temporary
        self._threads = CapacityLimiter(jobs.at_once)

    async def put(self, exchange: Exchange) -> Response:
        """Answer PUT of a file."""
        path, sender = exchange.path, exchange.sender
        destination = self._destination(path)
        if len(path.parts) < 2 or path.is_folder:
            raise HttpRefused(405, "expected the name of a file below the destination")
        self._check_put(exchange)
        if is_beside(path.name):
            return await self._put_beside(exchange)
        is_held = matches(path.name, self._temporary)
        if is_held and not self._files.may_hold(sender):
            raise HttpRefused(503, "too many files wait for their rename", {"retry-after": f"{KEPT_SECONDS:.0f}"})
        with self._place(exchange), contextlib.ExitStack() as unless_held:
            file = await self._incoming.file(exchange.body.chunks(), path.name)
            unless_held.callback(file.remove)
            _check_length(exchange, file)
            if not file.size:
                return self._listed(sender, ListedFile(path, Kind.EMPTY, self._files.now(), tag='"empty"'))
            if is_held:
                unless_held.pop_all()
                entry = ListedFile(path, Kind.HELD, self._files.now(), file.size, _tag(file), received=file)
                return self._listed(sender, entry)
            return await self._deliver_file(exchange, destination, path, file)

    async def post(self, exchange: Exchange) -> Response:
        """Answer POST: a file, or a form whose files are the pages of one job."""
        destination = self._destination(exchange.path)
        _check_head(exchange)
        names = exchange.path.parts[1:]
        with self._place(exchange), contextlib.ExitStack() as stored:
            files = await self._posted(exchange, names)
            for file in files:
                stored.callback(file.remove)
            if not all(file.size for file in files):
                raise HttpRefused(400, "a file is empty")
            return _made(await self._deliver(exchange, destination, names, files))

    async def _posted(self, exchange: Exchange, names: Sequence[str]) -> list[ReceivedFile]:
        """Return the files of a POST."""
        try:
            mark = boundary(exchange.field("content-type") or "")
        except BadForm as error:
            raise HttpRefused(400, str(error)) from None
        if mark is not None:
            return await self._incoming.form(exchange.body.chunks(), mark)
        name = names[-1] if names else _posted_name(exchange.field("content-disposition") or "")
        return [await self._incoming.file(exchange.body.chunks(), name)]

    async def move(self, exchange: Exchange) -> Response:
        """Answer MOVE: the end of a file that was sent under a name for the time being; else a new name in the list."""
        sender, entry = exchange.sender, self._listing.entry(exchange.sender, exchange.path)
        path = self._target(exchange)
        destination = self._destination(path)
        if len(exchange.path.parts) < 2 or entry.kind is Kind.FOLDER or len(path.parts) < 2:
            raise HttpRefused(403, "only files can be moved, and only below a destination")
        condition = exchange.field("if")
        self._locks.check_condition(sender, exchange.path, condition)
        for one in (exchange.path, path):
            self._locks.check_change(sender, one, condition)
        there = self._files.find(sender, path)
        if there is not None and (exchange.field("overwrite") or "T").strip().upper() == "F":
            raise HttpRefused(412, "there is a file of this name")
        if entry.kind is Kind.SENT and self._destination(exchange.path) != destination:
            raise HttpRefused(403, "the file is a scan job of another destination")
        self._locks.forget(sender, exchange.path)
        if entry.kind is not Kind.HELD or entry.received is None or matches(path.name, self._temporary):
            self._files.move(sender, entry, path)
            return Response(status_code=201 if there is None else 204)
        response = await self._deliver_file(exchange, destination, path, entry.received)
        self._files.remove(sender, exchange.path)
        return response

    async def _deliver_file(
        self, exchange: Exchange, destination: Destination, path: WebPath, file: ReceivedFile
    ) -> Response:
        """Make a job of one file, and list it as sent."""
        delivered = await self._deliver(exchange, destination, path.parts[1:], [file])
        now = self._files.now()
        entry = ListedFile(path, Kind.SENT, now, file.size, _tag(file), job=delivered.address)
        before = self._files.find(exchange.sender, path)
        if before is not None:
            entry.created, entry.properties = before.created, before.properties
        self._files.put(exchange.sender, entry)
        return _made(delivered)

    async def _deliver(
        self, exchange: Exchange, destination: Destination, names: Sequence[str], files: list[ReceivedFile]
    ) -> Delivered:
        key = exchange.field("idempotency-key") or ""
        return await to_thread.run_sync(
            self._jobs.deliver, exchange.caller, destination, names, files, key, limiter=self._threads
        )

    @contextlib.contextmanager
    def _place(self, exchange: Exchange) -> Iterator[None]:
        """Count a body from before its first byte until its job is stored; raise `HttpRefused` without room for it."""
        size = _number(exchange.field("content-length") or exchange.field(EXPECTED_LENGTH))
        if size > exchange.body.most_bytes:
            raise HttpRefused(413, f"the body is longer than {exchange.body.most_bytes} bytes")
        with self._incoming.place(exchange.sender, size):
            yield

    async def _put_beside(self, exchange: Exchange) -> Response:
        """Keep a small file of a file manager as long as it is listed; of a larger one only its size."""
        content = bytearray()
        size = 0
        async for chunk in exchange.body.chunks():
            size += len(chunk)
            if size > BESIDE_BYTES:
                raise HttpRefused(413, "a file of this name is not a scan")
            content += chunk if size <= CONTENT_BYTES else b""
        kept = bytes(content) if size <= CONTENT_BYTES else None
        now = self._files.now()
        tag = f'"{size:x}-{int(now * 1000):x}"'
        entry = ListedFile(exchange.path, Kind.BESIDE, now, size, tag, content=kept)
        return self._listed(exchange.sender, entry)

    def _listed(self, sender: str, entry: ListedFile) -> Response:
        before = self._files.find(sender, entry.path)
        if before is not None:
            entry.created, entry.properties = before.created, before.properties
        self._files.put(sender, entry)
        headers = {"etag": entry.tag} if entry.tag else {}
        return Response(status_code=201 if before is None else 204, headers=headers)

    def _destination(self, path: WebPath) -> Destination:
        found = self._folders.find(path.parts[0]) if path.parts else None
        if found is None:
            raise HttpRefused(404, "expected /<destination>/<name>, with a destination of this server")
        return found

    def _check_put(self, exchange: Exchange) -> None:
        """Raise `HttpRefused` if the head, a lock or a condition forbids the PUT."""
        _check_head(exchange)
        sender, path, condition = exchange.sender, exchange.path, exchange.field("if")
        entry = self._files.find(sender, path)
        if entry is not None and entry.kind is Kind.FOLDER:
            raise HttpRefused(405, "there is a folder of this name")
        self._locks.check_condition(sender, path, condition)
        self._locks.check_change(sender, path, condition)
        if not _holds(exchange.field("if-match"), entry, if_missing=True):
            raise HttpRefused(412, "the file is not the one of If-Match")
        if exchange.field("if-none-match") is not None and _holds(exchange.field("if-none-match"), entry):
            raise HttpRefused(412, "there is a file of this name")

    def _target(self, exchange: Exchange) -> WebPath:
        url = exchange.field("destination")
        if not url:
            raise HttpRefused(400, "expected Destination with the URL of the new name")
        try:
            host, path = parse_url(url)
        except BadPath as error:
            raise HttpRefused(400, f"Destination: {error}") from None
        if host and host.lower() != (exchange.field("host") or "").lower():
            raise HttpRefused(502, "Destination names another server")
        return path


def _check_head(exchange: Exchange) -> None:
    """Raise `HttpRefused` for a body that is a part of a file, or encoded, and for a key that is too long."""
    if exchange.field("content-range") is not None:
        raise HttpRefused(400, "expected a whole file, and got a part of one (Content-Range)")
    if (exchange.field("content-encoding") or "identity").strip().lower() != "identity":
        raise HttpRefused(415, "expected a file without Content-Encoding")
    if len(exchange.field("idempotency-key") or "") > LONGEST_KEY:
        raise HttpRefused(400, f"Idempotency-Key has more than {LONGEST_KEY} characters")


def _check_length(exchange: Exchange, file: ReceivedFile) -> None:
    """Raise `HttpRefused` if the file is shorter or longer than macOS says beside a body in chunks."""
    expected = exchange.field(EXPECTED_LENGTH)
    if expected is not None and _number(expected) != file.size:
        raise HttpRefused(400, f"the file has {file.size} bytes; X-Expected-Entity-Length says {expected[:20]}")


def _number(field: str | None) -> int:
    """Return the number in a field; 0 if it has none."""
    digits = (field or "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else 0


def _holds(condition: str | None, entry: ListedFile | None, *, if_missing: bool = False) -> bool:
    """Return whether the tag of an entry is one of If-Match or If-None-Match; `if_missing` without such a field."""
    if condition is None:
        return if_missing
    tags = [tag.strip() for tag in condition.split(",")]
    return entry is not None and ("*" in tags or entry.tag in tags)


def _posted_name(disposition: str) -> str:
    """Return the file name in the Content-Disposition of a request."""
    _, found, rest = disposition.partition("filename=")
    return file_name(decode(rest.partition(";")[0].strip().strip('"').encode("latin-1", "replace"))) if found else ""


def _tag(file: ReceivedFile) -> str:
    return f'"{file.sha256[:32]}"'


def _made(delivered: Delivered) -> Response:
    """Return 201 for a new job, 200 for one that an earlier request has made; both name it."""
    body = json.dumps({"job": delivered.token, "state": delivered.address, "repeated": delivered.is_repeated})
    return Response(
        body,
        status_code=200 if delivered.is_repeated else 201,
        media_type="application/json",
        headers={"location": delivered.address},
    )
