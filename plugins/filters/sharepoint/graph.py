"""The road into a library of SharePoint Online: upload sessions of Microsoft Graph.

What is uploaded is not to be seen until its last byte has come. So all but a last piece of 320 KiB at most goes ahead,
and the last piece follows when the server has given leave.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from postscan.plugins import FilterContext, FilterFailed, FilterReason
from postscan.plugins.filters.sharepoint.delivery import Address, LibraryDelivery, Taken, path
from postscan.plugins.filters.sharepoint.entra import Entra, word
from postscan.plugins.http_client import BUSY, HttpResponse, HttpSession, TryAgainLater, origin

UNIT: Final = 320 << 10  # bytes; every chunk but the last is a multiple of it
CHUNK: Final = 32 * UNIT
_MANAGED: Final = ("sites", "teams", "personal")  # below each of these, one more name makes a site
_PAGES: Final = 20  # of libraries in one site
_DENIED: Final = ("accessDenied", "unauthenticated", "InvalidAuthenticationToken")
_FULL: Final = ("quotaLimitReached", "insufficientStorage")


@dataclass(frozen=True)
class GraphSite:
    """An entry of `sites` with `kind = "online"`."""

    tenant: str = ""
    client_id: str = ""
    certificate_file: str = ""
    key_file: str = ""
    ca_file: str = ""
    authority: str = "https://login.microsoftonline.com"
    graph: str = "https://graph.microsoft.com/v1.0"
    seconds: float = 60.0

    def judge(self, prefix: Address) -> None:
        """Raise `ValueError` if this cannot be used below *prefix*."""
        for name in ("tenant", "client_id", "certificate_file", "key_file"):
            if not getattr(self, name):
                raise ValueError(f"{name} is missing")
        for url in (prefix.url, self.authority, self.graph):
            if Address.parse(url).scheme != "https":
                raise ValueError(f"{url!r} is not an https address")

    def road(self, job: FilterContext, prefix: Address, opened: ExitStack) -> GraphBackend:
        """Return the way to what is below *prefix*; it is closed with *opened*."""
        line = partial(HttpSession, job, seconds=self.seconds, ca_file=self.ca_file, busy=BUSY | {500, 509})
        entra = opened.enter_context(line([origin(self.authority)]))
        certificate, key = Path(self.certificate_file), Path(self.key_file)
        identity = Entra(entra, self.authority, self.tenant, self.client_id, certificate, key)
        graph = opened.enter_context(line([origin(self.graph), origin(prefix.url)]))  # uploads go to the site itself
        return GraphBackend(graph, identity, self.graph, prefix)


class GraphBackend:
    """The way to the libraries of one or more sites, for one run of the filter."""

    def __init__(self, line: HttpSession, identity: Entra, graph: str, prefix: Address) -> None:
        self._line = line
        self._identity = identity
        self._graph = graph.rstrip("/")
        self._prefix = prefix
        self._folders: dict[Address, str] = {}

    def deliver(self, delivery: LibraryDelivery) -> None:
        """Store one document; raise `FilterFailed` with the reason of the protocol."""
        if not delivery.document.size:
            raise FilterFailed(detail=f"{delivery.document.name} is empty, which SharePoint Online does not take")
        folder = self._folder(delivery)
        if delivery.earlier and self._line.patiently(partial(self.found, folder, delivery.earlier, delivery)):
            return
        for name in delivery.names():
            with contextlib.suppress(Taken):
                self._line.patiently(partial(self._upload, folder, name, delivery))
                return

    def _upload(self, folder: str, name: str, delivery: LibraryDelivery) -> None:
        """Upload the whole file under this name; raise `Taken` if somebody else has it."""
        place = f"{folder}:/{path((name,))}:/createUploadSession"
        told = {"item": {"@microsoft.graph.conflictBehavior": "fail", "name": name}}
        with delivery.job.token.shield(), self._line.committing():  # or nobody knew its address, to give it back
            answer = self.ask("POST", place, told)
        if answer.status == 409:
            raise Taken
        url = _expect(answer, "an upload", 200).get("uploadUrl")
        if not isinstance(url, str):
            raise FilterFailed(detail="Microsoft Graph gave no address for the upload")
        try:
            _Upload(self, self._line, url, folder, delivery).whole(name)
        except BaseException:
            self._line.delete(url)
            raise

    def ask(self, method: str, place: str, told: Mapping[str, Any] | None = None) -> HttpResponse:
        """Call Microsoft Graph at a place below its address, or at a whole address, and return the answer."""
        url = place if place.startswith("https:") else f"{self._graph}/{place}"
        if origin(url) != origin(self._graph):
            raise FilterFailed(detail=f"Microsoft Graph has a next page at {origin(url)}; expected it where Graph is")
        if told is None:
            return self._line.call(method, url, self._authorization())
        headers = self._authorization() | {"Content-Type": "application/json"}
        return self._line.call(method, url, headers, json.dumps(told).encode())

    def _authorization(self) -> dict[str, str]:
        split = urlsplit(self._graph)
        return {"Authorization": f"Bearer {self._identity.token(f'{split.scheme}://{split.netloc}/.default')}"}

    def found(self, folder: str, name: str, delivery: LibraryDelivery) -> bool | None:
        """Return whether a folder has a file of this name with the bytes of the document; None as in `same`."""
        answer = self.ask("GET", f"{folder}:/{path((name,))}")
        return same(answer.table, delivery) if answer.status == 200 else False

    def discard(self, item: Mapping[str, Any], folder: str) -> None:
        """Delete a file that has just become visible and is not what was sent."""
        drive = folder.partition("/items/")[0]
        self._line.delete(f"{self._graph}/{drive}/items/{_id(item)}", self._authorization())

    def _folder(self, delivery: LibraryDelivery) -> str:
        """Return where Graph has the user's folder; make it if it is missing, and nothing above it."""
        if delivery.folder not in self._folders:
            self._folders[delivery.folder] = self._line.patiently(partial(self._find_folder, delivery))
        return self._folders[delivery.folder]

    def _find_folder(self, delivery: LibraryDelivery) -> str:
        drive, below = self._drive(delivery.library)
        name = delivery.job.user_folder
        there = f"drives/{drive}/root:/{path((*below, name))}"
        answer = self.ask("GET", there)
        if answer.status == 404:
            above = f"drives/{drive}/root:/{path(below)}:" if below else f"drives/{drive}/root"
            made = {"name": name, "folder": {}, "@microsoft.graph.conflictBehavior": "fail"}
            answer = self.ask("POST", f"{above}/children", made)
            if answer.status == 409:  # somebody else was faster
                answer = self.ask("GET", there)
        found = _expect(answer, f"the folder {name}", 200, 201)
        if "folder" not in found:
            raise FilterFailed(detail=f"{name} is a file; expected a folder")
        return f"drives/{drive}/items/{_id(found)}"

    def _drive(self, library: Address) -> tuple[str, tuple[str, ...]]:
        """Return the drive that a library is for Graph, and the names of the folders below it."""
        site = _site_of(library, self._prefix)
        place = f"sites/{site.host}:/{path(site.parts)}" if site.parts else f"sites/{site.host}"
        id = _id(_expect(self.ask("GET", place), "the site", 200))
        folded = tuple(part.casefold() for part in library.parts)
        best: tuple[int, str] = (0, "")
        for one in self._drives(f"sites/{id}/drives?$select=id,webUrl"):
            with contextlib.suppress(ValueError):
                root = Address.parse(str(one.get("webUrl")))
                length = len(root.parts)
                if root.host == library.host and folded[:length] == tuple(part.casefold() for part in root.parts):
                    best = max(best, (length, _id(one)))
        length, drive = best
        if not drive:
            raise FilterFailed(detail=f"the site {site.url} has no such library")
        return drive, library.parts[length:]

    def _drives(self, place: str) -> Iterator[Mapping[str, Any]]:
        for _ in range(_PAGES):
            found = _expect(self.ask("GET", place), "the libraries of the site", 200)
            yield from (one for one in found.get("value") or () if isinstance(one, Mapping))
            place = found.get("@odata.nextLink") or ""
            if not place:
                return


class _Upload:
    """One upload session: how far it has come, and whether the last piece was sent without an answer."""

    def __init__(self, road: GraphBackend, line: HttpSession, url: str, folder: str, delivery: LibraryDelivery) -> None:
        self._road = road
        self._line = line
        self._url = url
        self._folder = folder
        self._delivery = delivery
        self._size = delivery.document.size
        self._position = 0
        self._unsure = False

    def whole(self, name: str) -> None:
        """Send everything, and the last piece when the server has given leave."""
        self._ahead()
        _ = self._delivery.quick_xor  # now: there is no time for it while the file becomes visible
        patience = self._line.patience()
        while True:
            try:
                self._finish(name)
                return
            except TryAgainLater as busy:
                patience.wait(busy)
                self._look(done=self._unsure)

    def _ahead(self) -> None:
        """Send all but a last piece; after an interruption, go on where Graph says."""
        patience = self._line.patience()
        while (left := self._size - self._position) > UNIT:
            began = self._position
            try:
                answer = self._send(began + min(CHUNK, (left - 1) // UNIT * UNIT))
                if answer.status in (404, 416):
                    self._look()
                else:
                    self._position = _next(_expect(answer, "a piece", 202))
            except TryAgainLater as busy:
                patience.wait(busy)
                self._look()
                continue
            if self._position > began:
                patience.relieve()
            else:
                patience.wait(TryAgainLater("Microsoft Graph has not kept a piece of the upload"))

    def _look(self, *, done: bool = False) -> None:
        """Ask Graph which byte comes next.

        If it knows of no upload, that is a good sign when all may be *done*. Else raise `TryAgainLater`: a new one
        has to be made.
        """
        answer = self._line.patiently(partial(self._line.call, "GET", self._url))
        if answer.status != 404:
            self._position = _next(_expect(answer, "the state of the upload", 200))
        elif not done:
            raise TryAgainLater("the upload was forgotten by Microsoft Graph")

    def _finish(self, name: str) -> None:
        """Send the last piece, which makes the file visible."""
        with self._delivery.publish(name), self._line.committing():
            try:
                answer = self._send(self._size)
            except TryAgainLater as busy:
                self._unsure = self._unsure or not busy.answered
                if busy.answered or not self._is_done(name):
                    raise
                return
            if answer.status in (404, 409) and self._unsure and self._is_done(name):
                return
            if answer.status == 409:
                raise Taken
            if answer.status in (404, 416):
                raise TryAgainLater("Microsoft Graph expects another piece of the upload")
            item = _expect(answer, "the last piece", 200, 201)
            if same(item, self._delivery) is False:
                self._road.discard(item, self._folder)
                raise FilterFailed(detail=f"{name} did not arrive as it was sent")

    def _is_done(self, name: str) -> bool:
        """Return whether the upload has ended with our file in its place."""
        if self._line.call("GET", self._url).status != 404:
            return False
        return self._road.found(self._folder, name, self._delivery) is not False

    def _send(self, end: int) -> HttpResponse:
        start = self._position
        span = {"Content-Range": f"bytes {start}-{end - 1}/{self._size}", "Content-Length": str(end - start)}
        return self._line.call("PUT", self._url, span, self._delivery.pieces(start, end))


def same(item: Mapping[str, Any], delivery: LibraryDelivery) -> bool | None:
    """Return whether a file of Graph has the bytes of the document; None if only its size can be told."""
    if item.get("size") != delivery.document.size:
        return False
    file = item.get("file")
    hashes = file.get("hashes") if isinstance(file, Mapping) else None
    hashes = hashes if isinstance(hashes, Mapping) else {}
    if hashes.get("quickXorHash"):
        return bool(hashes["quickXorHash"] == delivery.quick_xor)
    if hashes.get("sha256Hash"):
        return str(hashes["sha256Hash"]).lower() == delivery.document.sha256
    return None


def _site_of(library: Address, prefix: Address) -> Address:
    """Return the site of a library: the prefix, or below a mere host what is a site by SharePoint's own rule."""
    if prefix.parts:
        return prefix
    managed = len(library.parts) > 1 and library.parts[0].lower() in _MANAGED
    return prefix._replace(parts=library.parts[:2] if managed else ())


def _id(item: Mapping[str, Any]) -> str:
    """Return the id of something as a part of a path; raise `FilterFailed` if it has none."""
    if not isinstance(item.get("id"), str):
        raise FilterFailed(detail="Microsoft Graph gave no id for what it was asked")
    return quote(item["id"], safe="!,")  # the signs that its ids have


def _next(found: Mapping[str, Any]) -> int:
    """Return the first byte of nextExpectedRanges."""
    ranges = found.get("nextExpectedRanges")
    first = str(ranges[0]).partition("-")[0] if isinstance(ranges, list) and ranges else ""
    if not first.isdecimal():
        raise TryAgainLater("Microsoft Graph does not say which piece of the upload comes next")
    return int(first)


def _expect(answer: HttpResponse, what: str, *statuses: int) -> Mapping[str, Any]:
    """Return the answer's table; raise `FilterFailed` with the reason of the protocol if it has another status."""
    status = answer.status
    if status in statuses:
        return answer.table
    codes = list(_codes(answer.table.get("error")))
    said = f"Microsoft Graph answered {status}{f' ({codes[0]})' if codes else ''}, asked for {what}"
    if status in (401, 403) or _any(codes, _DENIED):
        raise FilterFailed(FilterReason.SHAREPOINT_ACCESS_DENIED, said)
    if status == 507 or _any(codes, _FULL):
        raise FilterFailed(FilterReason.SHAREPOINT_OUT_OF_DISK_SPACE, said)
    if 300 <= status < 400:
        raise FilterFailed(detail=f"{said}; that leads elsewhere, and is not followed")
    raise FilterFailed(detail=said)


def _codes(error: object) -> Iterator[str]:
    """Yield the names of an error, the outer one first; what else it says stays where it is."""
    while isinstance(error, Mapping):
        if code := word(error.get("code")):
            yield code
        error = error.get("innerError") or error.get("innererror")


def _any(found: Iterable[str], known: Iterable[str]) -> bool:
    return not {one.lower() for one in known}.isdisjoint(one.lower() for one in found)
