"""The backend for a library of SharePoint Online: upload sessions of Microsoft Graph.

An upload becomes visible with its last byte. So everything but a last piece of at most 320 KiB is sent first, and the
last piece when the server has granted the output.
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
from postscan.plugins.filters.sharepoint.delivery import Address, LibraryDelivery, NameTaken, path
from postscan.plugins.filters.sharepoint.entra import Entra, error_name
from postscan.plugins.http_client import BUSY, HttpResponse, HttpSession, origin
from postscan.plugins.retries import TryAgainLater

UNIT: Final = 320 << 10  # bytes; every chunk but the last is a multiple of it
CHUNK: Final = 32 * UNIT
_MANAGED: Final = ("sites", "teams", "personal")  # below each of these, one more name is a site
_PAGES: Final = 20  # of the list of libraries of a site
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

    def validate(self, prefix: Address) -> None:
        """Raise `ValueError` if this entry cannot be used for URLs below *prefix*."""
        for name in ("tenant", "client_id", "certificate_file", "key_file"):
            if not getattr(self, name):
                raise ValueError(f"{name} is missing")
        for url in (prefix.url, self.authority, self.graph):
            if Address.parse(url).scheme != "https":
                raise ValueError(f"{url!r} is not an https address")

    def open_backend(self, job: FilterContext, prefix: Address, opened: ExitStack) -> GraphBackend:
        """Return the backend for URLs below *prefix*; *opened* closes it."""
        session = partial(HttpSession, job, seconds=self.seconds, ca_file=self.ca_file, busy=BUSY | {500, 509})
        entra = opened.enter_context(session([origin(self.authority)]))
        certificate, key = Path(self.certificate_file), Path(self.key_file)
        identity = Entra(entra, self.authority, self.tenant, self.client_id, certificate, key)
        graph = opened.enter_context(
            session([origin(self.graph), origin(prefix.url)])
        )  # uploads go to the host of the site
        return GraphBackend(graph, identity, self.graph, prefix)


class GraphBackend:
    """The libraries of one or more sites, for one run of the filter."""

    def __init__(self, session: HttpSession, identity: Entra, graph: str, prefix: Address) -> None:
        self._session = session
        self._identity = identity
        self._graph = graph.rstrip("/")
        self._prefix = prefix
        self._folders: dict[Address, str] = {}

    def deliver(self, delivery: LibraryDelivery) -> None:
        """Store one document; raise `FilterFailed` with the reason of the protocol."""
        if not delivery.document.size:
            raise FilterFailed(detail=f"{delivery.document.name} is empty, which SharePoint Online does not accept")
        folder = self._folder(delivery)
        if delivery.earlier and self._session.with_retries(
            partial(self.has_document, folder, delivery.earlier, delivery)
        ):
            return
        for name in delivery.names():
            with contextlib.suppress(NameTaken):
                self._session.with_retries(partial(self._upload, folder, name, delivery))
                return

    def _upload(self, folder: str, name: str, delivery: LibraryDelivery) -> None:
        """Upload the whole file under this name; raise `NameTaken` if another file has it."""
        place = f"{folder}:/{path((name,))}:/createUploadSession"
        body = {"item": {"@microsoft.graph.conflictBehavior": "fail", "name": name}}
        with (
            delivery.job.token.shield(),
            self._session.committing(),
        ):  # else a session without a known URL is left
            response = self.request("POST", place, body)
        if response.status == 409:
            raise NameTaken
        url = _expect(response, "an upload", 200).get("uploadUrl")
        if not isinstance(url, str):
            raise FilterFailed(detail="Microsoft Graph returned no URL for the upload")
        try:
            _Upload(self, self._session, url, folder, delivery).send(name)
        except BaseException:
            self._session.delete(url)
            raise

    def request(self, method: str, place: str, body: Mapping[str, Any] | None = None) -> HttpResponse:
        """Call Microsoft Graph, at a path below its URL or at a whole URL, and return the response."""
        url = place if place.startswith("https:") else f"{self._graph}/{place}"
        if origin(url) != origin(self._graph):
            raise FilterFailed(detail=f"Microsoft Graph returned a next page at {origin(url)}; expected its own host")
        if body is None:
            return self._session.call(method, url, self._authorization())
        headers = self._authorization() | {"Content-Type": "application/json"}
        return self._session.call(method, url, headers, json.dumps(body).encode())

    def _authorization(self) -> dict[str, str]:
        split = urlsplit(self._graph)
        return {"Authorization": f"Bearer {self._identity.token(f'{split.scheme}://{split.netloc}/.default')}"}

    def has_document(self, folder: str, name: str, delivery: LibraryDelivery) -> bool | None:
        """Return whether a folder has a file of this name with the content of the document; None as in `same`."""
        response = self.request("GET", f"{folder}:/{path((name,))}")
        return same(response.table, delivery) if response.status == 200 else False

    def discard(self, item: Mapping[str, Any], folder: str) -> None:
        """Delete a file that became visible and differs from what was sent."""
        drive = folder.partition("/items/")[0]
        self._session.delete(f"{self._graph}/{drive}/items/{_id(item)}", self._authorization())

    def _folder(self, delivery: LibraryDelivery) -> str:
        """Return the path of the user's folder in Graph; create it if it is missing, but no folder above it."""
        if delivery.folder not in self._folders:
            self._folders[delivery.folder] = self._session.with_retries(partial(self._find_folder, delivery))
        return self._folders[delivery.folder]

    def _find_folder(self, delivery: LibraryDelivery) -> str:
        drive, below = self._drive(delivery.library)
        name = delivery.job.user_folder
        there = f"drives/{drive}/root:/{path((*below, name))}"
        response = self.request("GET", there)
        if response.status == 404:
            above = f"drives/{drive}/root:/{path(below)}:" if below else f"drives/{drive}/root"
            made = {"name": name, "folder": {}, "@microsoft.graph.conflictBehavior": "fail"}
            response = self.request("POST", f"{above}/children", made)
            if response.status == 409:  # another client was faster
                response = self.request("GET", there)
        found = _expect(response, f"the folder {name}", 200, 201)
        if "folder" not in found:
            raise FilterFailed(detail=f"{name} is a file; expected a folder")
        return f"drives/{drive}/items/{_id(found)}"

    def _drive(self, library: Address) -> tuple[str, tuple[str, ...]]:
        """Return the drive of a library in Graph, and the names of the folders below it."""
        site = _site_of(library, self._prefix)
        place = f"sites/{site.host}:/{path(site.parts)}" if site.parts else f"sites/{site.host}"
        id = _id(_expect(self.request("GET", place), "the site", 200))
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
            found = _expect(self.request("GET", place), "the libraries of the site", 200)
            yield from (one for one in found.get("value") or () if isinstance(one, Mapping))
            place = found.get("@odata.nextLink") or ""
            if not place:
                return


class _Upload:
    """One upload session: the next byte, and whether the last piece was sent without a response."""

    def __init__(
        self, backend: GraphBackend, session: HttpSession, url: str, folder: str, delivery: LibraryDelivery
    ) -> None:
        self._backend = backend
        self._session = session
        self._url = url
        self._folder = folder
        self._delivery = delivery
        self._size = delivery.document.size
        self._position = 0
        self._uncertain = False

    def send(self, name: str) -> None:
        """Send everything, the last piece after the server has granted the output.

        Raises `TryAgainLater` if Graph has dropped the session: the document needs a new one.
        """
        while self._size - self._position > UNIT:
            self._send_piece()
        _ = self._delivery.quick_xor  # computed now: the time for the commit is short
        for attempt in self._session.attempts():
            if attempt.retry_state.attempt_number > 1:
                self._update_position(may_be_done=self._uncertain)
            with attempt:
                self._finish(name)

    def _send_piece(self) -> None:
        """Send one of the pieces before the last, again until Graph has stored a part of it.

        Each piece has attempts of its own: a host that makes progress is not given up.
        """
        for attempt in self._session.attempts():
            if attempt.retry_state.attempt_number > 1:
                self._update_position()
            began, left = self._position, self._size - self._position
            if left <= UNIT:
                return
            with attempt:
                response = self._send(began + min(CHUNK, (left - 1) // UNIT * UNIT))
                if response.status in (404, 416):
                    self._update_position()
                else:
                    self._position = _next(_expect(response, "a piece", 202))
                if self._position <= began:
                    raise TryAgainLater("Microsoft Graph has not stored a piece of the upload")

    def _update_position(self, *, may_be_done: bool = False) -> None:
        """Ask Graph for the next byte.

        Raises `TryAgainLater` if Graph does not have the session, unless the upload *may be done*.
        """
        response = self._session.with_retries(partial(self._session.call, "GET", self._url))
        if response.status != 404:
            self._position = _next(_expect(response, "the state of the upload", 200))
        elif not may_be_done:
            raise TryAgainLater("Microsoft Graph has dropped the upload session")

    def _finish(self, name: str) -> None:
        """Send the last piece, which makes the file visible."""
        with self._delivery.publish(name), self._session.committing():
            try:
                response = self._send(self._size)
            except TryAgainLater as busy:
                self._uncertain = self._uncertain or not busy.answered
                if busy.answered or not self._is_done(name):
                    raise
                return
            if response.status in (404, 409) and self._uncertain and self._is_done(name):
                return
            if response.status == 409:
                raise NameTaken
            if response.status in (404, 416):
                raise TryAgainLater("Microsoft Graph expects another piece of the upload")
            item = _expect(response, "the last piece", 200, 201)
            if same(item, self._delivery) is False:
                self._backend.discard(item, self._folder)
                raise FilterFailed(detail=f"{name} differs on the server from what was sent")

    def _is_done(self, name: str) -> bool:
        """Return whether the upload has ended and the file has its name."""
        if self._session.call("GET", self._url).status != 404:
            return False
        return self._backend.has_document(self._folder, name, self._delivery) is not False

    def _send(self, end: int) -> HttpResponse:
        start = self._position
        span = {"Content-Range": f"bytes {start}-{end - 1}/{self._size}", "Content-Length": str(end - start)}
        return self._session.call("PUT", self._url, span, self._delivery.pieces(start, end))


def same(item: Mapping[str, Any], delivery: LibraryDelivery) -> bool | None:
    """Return whether a file of Graph has the content of the document; None if only its size is known."""
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
    """Return the site of a library: the prefix, or for a prefix without path the site by SharePoint's managed paths."""
    if prefix.parts:
        return prefix
    managed = len(library.parts) > 1 and library.parts[0].lower() in _MANAGED
    return prefix._replace(parts=library.parts[:2] if managed else ())


def _id(item: Mapping[str, Any]) -> str:
    """Return the id of an item as a part of a path; raise `FilterFailed` if it has none."""
    if not isinstance(item.get("id"), str):
        raise FilterFailed(detail="Microsoft Graph returned an item without an id")
    return quote(item["id"], safe="!,")  # characters of its ids


def _next(found: Mapping[str, Any]) -> int:
    """Return the first byte of nextExpectedRanges."""
    ranges = found.get("nextExpectedRanges")
    first = str(ranges[0]).partition("-")[0] if isinstance(ranges, list) and ranges else ""
    if not first.isdecimal():
        raise TryAgainLater("Microsoft Graph returned no next byte of the upload")
    return int(first)


def _expect(response: HttpResponse, subject: str, *statuses: int) -> Mapping[str, Any]:
    """Return the response's JSON; raise `FilterFailed` with the protocol's reason for another status."""
    status = response.status
    if status in statuses:
        return response.table
    codes = list(_codes(response.table.get("error")))
    detail = f"Microsoft Graph answered {status}{f' ({codes[0]})' if codes else ''}, asked for {subject}"
    if status in (401, 403) or _any(codes, _DENIED):
        raise FilterFailed(FilterReason.SHAREPOINT_ACCESS_DENIED, detail)
    if status == 507 or _any(codes, _FULL):
        raise FilterFailed(FilterReason.SHAREPOINT_OUT_OF_DISK_SPACE, detail)
    if 300 <= status < 400:
        raise FilterFailed(detail=f"{detail}; redirects are not followed")
    raise FilterFailed(detail=detail)


def _codes(error: object) -> Iterator[str]:
    """Yield the codes of an error, the outer one first."""
    while isinstance(error, Mapping):
        if code := error_name(error.get("code")):
            yield code
        error = error.get("innerError") or error.get("innererror")


def _any(found: Iterable[str], known: Iterable[str]) -> bool:
    return not {one.lower() for one in known}.isdisjoint(one.lower() for one in found)
