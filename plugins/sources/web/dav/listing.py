"""PROPFIND and PROPPATCH (RFC 4918 section 9): what a client sees of the root, of a destination, of its own files."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Final

from starlette.responses import Response

from postscan.plugins.sources.web.body import HttpRefused
from postscan.plugins.sources.web.dav import xml
from postscan.plugins.sources.web.dav.files import (
    MOST_PROPERTIES,
    PROPERTY_CHARACTERS,
    FileTable,
    Kind,
    ListedFile,
)
from postscan.plugins.sources.web.dav.locks import DavLock, LockTable
from postscan.plugins.sources.web.dav.xml import DAV, QName, XmlNode
from postscan.plugins.sources.web.exchange import Exchange
from postscan.plugins.sources.web.paths import DestinationFolders, WebPath

XML: Final = "application/xml; charset=utf-8"

_LIVE: Final = (
    "resourcetype",
    "displayname",
    "creationdate",
    "getlastmodified",
    "getcontentlength",
    "getcontenttype",
    "getetag",
    "supportedlock",
    "lockdiscovery",
)
_QUOTA: Final = ("quota-available-bytes", "quota-used-bytes")
"""Of folders, and only when asked for by name (RFC 4331 section 3)."""

_SUPPORTED_LOCKS: Final = "".join(
    xml.dav("lockentry", xml.dav("lockscope", xml.dav(scope)), xml.dav("locktype", xml.dav("write")))
    for scope in ("exclusive", "shared")
)


class Listing:
    """Answers PROPFIND and PROPPATCH. *available* returns how many bytes may be sent now."""

    def __init__(
        self, folders: DestinationFolders, files: FileTable, locks: LockTable, available: Callable[[], int]
    ) -> None:
        self._folders = folders
        self._files = files
        self._locks = locks
        self._available = available
        self._started = files.now()

    async def find(self, exchange: Exchange) -> Response:
        """Answer PROPFIND with depth 0 or 1."""
        wanted = _wanted(await exchange.body.all(xml.MOST_BYTES))
        depth = (exchange.field("depth") or "infinity").strip().lower()
        if depth not in ("0", "1"):
            raise HttpRefused(403, "PROPFIND works with Depth: 0 and Depth: 1")
        entries = [self.entry(exchange.sender, exchange.path)]
        if depth == "1" and entries[0].kind is Kind.FOLDER:
            entries += self._children(exchange.sender, exchange.path)
        return _multistatus(self._described(exchange.sender, entry, wanted) for entry in entries)

    async def patch(self, exchange: Exchange) -> Response:
        """Answer PROPPATCH: properties of a file are kept as long as it is listed; all of them, or none."""
        root = xml.parse(await exchange.body.all(xml.MOST_BYTES))
        if root.name != (DAV, "propertyupdate"):
            raise HttpRefused(400, "expected propertyupdate")
        entry = self.entry(exchange.sender, exchange.path)
        condition = exchange.field("if")
        self._locks.check_condition(exchange.sender, exchange.path, condition)
        self._locks.check_change(exchange.sender, exchange.path, condition)
        changes = list(_changes(root))
        after = dict(entry.properties)
        for name, value in changes:
            if value is None:
                after.pop(name, None)
            else:
                after[name] = value
        refused = {name for name, value in changes if not _may_set(name, value)}
        if len(after) > MOST_PROPERTIES or len(exchange.path.parts) < 2:
            refused = {name for name, _ in changes}
        names = list(dict.fromkeys(name for name, _ in changes))
        if not refused:
            entry.properties = after
            self._files.touch(exchange.sender, exchange.path)
        statuses = [(name, _patch_status(name, refused)) for name in names]
        propstats = [
            (status, [xml.element(name) for name, one in statuses if one == status])
            for status in dict.fromkeys(status for _, status in statuses)
        ]
        return _multistatus([xml.response(self.href(entry), *propstats)])

    def entry(self, sender: str, path: WebPath) -> ListedFile:
        """Return what is at a path; raise `HttpRefused` (404) if that is nothing."""
        if len(path.parts) < 2:
            if path.parts and self._folders.find(path.parts[0]) is None:
                raise HttpRefused(404, f"there is no destination {path.parts[0]!r}")
            return ListedFile(path._replace(is_folder=True), Kind.FOLDER, self._started)
        found = self._files.find(sender, path)
        if found is None or self._folders.find(path.parts[0]) is None:
            raise HttpRefused(404, "there is no such file")
        return found

    def has(self, sender: str, path: WebPath) -> bool:
        """Return whether there is something at a path."""
        try:
            self.entry(sender, path)
        except HttpRefused:
            return False
        return True

    def href(self, entry: ListedFile) -> str:
        """Return the path of an entry as it stands in a URL; that of a folder ends with a slash."""
        return entry.path._replace(is_folder=entry.kind is Kind.FOLDER).href

    def _children(self, sender: str, path: WebPath) -> Iterator[ListedFile]:
        if path.parts:
            yield from self._files.below(sender, path)
            return
        for name in self._folders.by_name:
            yield ListedFile(WebPath((name,), is_folder=True), Kind.FOLDER, self._started)

    def _described(self, sender: str, entry: ListedFile, wanted: Sequence[QName] | None) -> str:
        names = wanted if wanted is not None else [*((DAV, name) for name in _LIVE), *entry.properties]
        found: list[str] = []
        missing: list[str] = []
        for name in names:
            content = self._property(sender, entry, name)
            if content is None:
                missing.append(xml.element(name))
            else:
                found.append(xml.element(name, content))
        propstats = [("200 OK", found)] if found or not missing or wanted is None else []
        if missing and wanted is not None:
            propstats.append(("404 Not Found", missing))
        return xml.response(self.href(entry), *propstats)

    def _property(self, sender: str, entry: ListedFile, name: QName) -> str | None:
        """Return the content of a property as XML; None if the entry has no such property."""
        if name in entry.properties:
            return xml.text(entry.properties[name])
        namespace, local = name
        if namespace != DAV:
            return None
        if local == "lockdiscovery":
            locks = self._locks.of(sender, entry.path) if len(entry.path.parts) > 1 else []
            return "".join(active_lock(lock) for lock in locks)
        if entry.kind is Kind.FOLDER:
            return self._of_folder(sender, entry, local)
        return _of_file(entry, local)

    def _of_folder(self, sender: str, entry: ListedFile, local: str) -> str | None:
        match local:
            case "resourcetype":
                return xml.dav("collection")
            case "quota-available-bytes":
                return str(self._available())
            case "quota-used-bytes":
                return str(self._files.used(sender))
        return _of_both(entry, local)


def active_lock(lock: DavLock) -> str:
    """Return a lock as the element activelock."""
    owner = xml.dav("href", xml.text(lock.owner)) if lock.owner_is_url else xml.text(lock.owner)
    return xml.dav(
        "activelock",
        xml.dav("locktype", xml.dav("write")),
        xml.dav("lockscope", xml.dav("shared" if lock.is_shared else "exclusive")),
        xml.dav("depth", "infinity" if lock.is_deep else "0"),
        *([xml.dav("owner", owner)] if lock.owner else []),
        xml.dav("timeout", f"Second-{lock.seconds}"),
        xml.dav("locktoken", xml.dav("href", xml.text(lock.token))),
        xml.dav("lockroot", xml.dav("href", xml.text(lock.path.href))),
    )


def media_type(name: str) -> str:
    """Return the media type for the name of a file."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _of_file(entry: ListedFile, local: str) -> str | None:
    match local:
        case "resourcetype":
            return ""
        case "getcontentlength":
            return str(entry.size)
        case "getcontenttype":
            return xml.text(media_type(entry.path.name))
        case "getetag":
            return xml.text(entry.tag) if entry.tag else None
        case "supportedlock":
            return _SUPPORTED_LOCKS
    return _of_both(entry, local)


def _of_both(entry: ListedFile, local: str) -> str | None:
    match local:
        case "displayname":
            return xml.text(entry.path.name or "postscan")
        case "creationdate":
            return f"{datetime.fromtimestamp(int(entry.created), UTC):%Y-%m-%dT%H:%M:%SZ}"
        case "getlastmodified":
            return formatdate(entry.modified, usegmt=True)
    return None


def _wanted(body: bytes) -> list[QName] | None:
    """Return the properties that a PROPFIND asks for by name; None for all."""
    if not body:
        return None
    root = xml.parse(body)
    if root.name != (DAV, "propfind"):
        raise HttpRefused(400, "expected propfind")
    named = root.child("prop")
    if named is None:
        return None  # allprop; propname is answered with the values as well
    return list(dict.fromkeys(one.name for one in named.children))


def _changes(root: XmlNode) -> Iterator[tuple[QName, str | None]]:
    """Yield the properties of a propertyupdate in their order: the text that is set, None for one that is removed."""
    for one in root.children:
        for prop in one.all("prop"):
            for node in prop.children:
                if one.name == (DAV, "set"):
                    yield node.name, "\0" if node.children else node.text
                elif one.name == (DAV, "remove"):
                    yield node.name, None


def _may_set(name: QName, value: str | None) -> bool:
    """Return whether a property may have this value: a short text, and none of those that the server computes."""
    return name[0] != DAV and (value is None or (len(value) <= PROPERTY_CHARACTERS and "\0" not in value))


def _patch_status(name: QName, refused: set[QName]) -> str:
    if not refused:
        return "200 OK"
    return "403 Forbidden" if name in refused else "424 Failed Dependency"


def _multistatus(responses: Iterator[str] | list[str]) -> Response:
    return Response(xml.multistatus(responses), status_code=207, media_type=XML)
