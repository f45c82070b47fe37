"""The methods of WebDAV but for listings and for what brings content: LOCK, UNLOCK, MKCOL, DELETE, GET, HEAD."""

from __future__ import annotations

from email.utils import formatdate
from typing import Final

from starlette.responses import Response

from postscan.plugins.sources.web.body import HttpRefused
from postscan.plugins.sources.web.dav import xml
from postscan.plugins.sources.web.dav.files import FileTable, Kind, ListedFile
from postscan.plugins.sources.web.dav.listing import XML, Listing, active_lock, media_type
from postscan.plugins.sources.web.dav.locks import DavLock, LockTable, seconds_in, tokens_in
from postscan.plugins.sources.web.dav.xml import DAV, XmlNode
from postscan.plugins.sources.web.exchange import Exchange

METHODS: Final = (
    "OPTIONS",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "MOVE",
    "LOCK",
    "UNLOCK",
)

OPTIONS: Final = {
    "dav": "1, 2",
    "ms-author-via": "DAV",  # without it, Explorer asks for the extensions of FrontPage
    "allow": ", ".join(METHODS),
}


class FileMethods:
    """Answers these methods for the files of a sender."""

    def __init__(self, listing: Listing, files: FileTable, locks: LockTable) -> None:
        self._listing = listing
        self._files = files
        self._locks = locks

    async def lock(self, exchange: Exchange) -> Response:
        """Take or renew a lock. A name without a file gets an empty one (RFC 4918 section 9.10.4)."""
        if len(exchange.path.parts) < 2:
            raise HttpRefused(403, "the folder of a destination cannot be locked")
        body = await exchange.body.all(xml.MOST_BYTES)
        seconds = seconds_in(exchange.field("timeout"))
        if not body:
            tokens = tokens_in(exchange.field("if") or "")
            lock = self._locks.renew(exchange.sender, exchange.path, tokens, seconds)
            self._files.touch(exchange.sender, lock.path)
            return _locked(lock, 200)
        root = xml.parse(body)
        if root.name != (DAV, "lockinfo"):
            raise HttpRefused(400, "expected lockinfo")
        scope = root.child("lockscope")
        lock = self._locks.take(
            exchange.sender,
            exchange.path,
            shared=scope is not None and scope.child("shared") is not None,
            deep=(exchange.field("depth") or "infinity").strip() != "0",
            owner=_owner(root.child("owner")),
            seconds=seconds,
        )
        status = 200
        if self._files.find(exchange.sender, exchange.path) is None:
            status = 201
            self._files.put(exchange.sender, ListedFile(exchange.path, Kind.EMPTY, self._files.now(), tag='"empty"'))
        return _locked(lock, status)

    async def unlock(self, exchange: Exchange) -> Response:
        """End a lock."""
        tokens = tokens_in(exchange.field("lock-token") or "")
        if len(tokens) != 1:
            raise HttpRefused(400, "expected Lock-Token with the token of one lock")
        self._locks.release(exchange.sender, exchange.path, tokens.pop())
        return Response(status_code=204)

    async def make_folder(self, exchange: Exchange) -> Response:
        """Show a folder below a destination; what is sent into it goes to the destination."""
        if await exchange.body.all(1):
            raise HttpRefused(415, "expected MKCOL without a body")
        if len(exchange.path.parts) < 2:
            raise HttpRefused(
                405 if exchange.path.parts else 403, "destinations are made in the settings of the server"
            )
        if not self._listing.has(exchange.sender, exchange.path.parent):
            raise HttpRefused(409, "the folder around it is not there")
        if self._files.find(exchange.sender, exchange.path) is not None:
            raise HttpRefused(405, "there is a file of this name")
        self._locks.check_change(exchange.sender, exchange.path, exchange.field("if"))
        self._files.put(exchange.sender, ListedFile(exchange.path, Kind.FOLDER, self._files.now()))
        return Response(status_code=201)

    async def delete(self, exchange: Exchange) -> Response:
        """Remove what is no job yet. A file that was sent stays: its job is not cancelled by that."""
        entry = self._listing.entry(exchange.sender, exchange.path)
        if len(exchange.path.parts) < 2:
            raise HttpRefused(403, "destinations are removed in the settings of the server")
        if entry.kind is Kind.SENT:
            raise HttpRefused(403, "the file is a scan job; deleting it here would not cancel that")
        self._locks.check_condition(exchange.sender, exchange.path, exchange.field("if"))
        self._locks.check_change(exchange.sender, exchange.path, exchange.field("if"))
        self._files.remove(exchange.sender, exchange.path)
        self._locks.forget(exchange.sender, exchange.path)
        return Response(status_code=204)

    def read(self, exchange: Exchange) -> Response:
        """Answer GET and HEAD for a file: its size and time; what was sent cannot be read back."""
        entry = self._listing.entry(exchange.sender, exchange.path)
        content = b"" if entry.kind is Kind.EMPTY else entry.content
        if exchange.request.method == "GET" and content is None:
            raise HttpRefused(403, "the file was sent, and cannot be read back here")
        headers = {
            "content-type": media_type(entry.path.name),
            "content-disposition": "attachment",
            "last-modified": formatdate(entry.modified, usegmt=True),
            **({"etag": entry.tag} if entry.tag else {}),
        }
        if exchange.request.method == "HEAD":
            return Response(headers={**headers, "content-length": str(entry.size)})
        return Response(content, headers=headers)


def _locked(lock: DavLock, status: int) -> Response:
    body = xml.document(xml.dav("prop", xml.dav("lockdiscovery", active_lock(lock))))
    return Response(body, status_code=status, media_type=XML, headers={"lock-token": f"<{lock.token}>"})


def _owner(node: XmlNode | None) -> tuple[str, bool]:
    """Return what a client calls itself, and whether that is a URL."""
    if node is None:
        return "", False
    href = node.child("href")
    return (href.text.strip(), True) if href is not None else (node.text.strip(), False)
