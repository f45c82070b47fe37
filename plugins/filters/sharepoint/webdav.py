"""The road into a library on premises: WebDAV (RFC 4918), with a user name and a password.

Write under a hidden name, look whether all of it arrived, ask the server for leave, then MOVE without overwriting.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from postscan.plugins import FilterContext, FilterFailed, FilterReason
from postscan.plugins.filters.sharepoint.delivery import Address, LibraryDelivery, Taken
from postscan.plugins.http_client import HttpResponse, HttpSession, TryAgainLater, origin

_GONE: Final = (404, 410)


@dataclass(frozen=True)
class WebDavSite:
    """An entry of `sites` with `kind = "webdav"`."""

    user: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    ca_file: str = ""
    seconds: float = 60.0
    allow_plain_http: bool = False

    def judge(self, prefix: Address) -> None:
        """Raise `ValueError` if this cannot be used below *prefix*."""
        if self.password and self.password_file:
            raise ValueError("password and password_file are both there; expected one of them")
        if bool(self.user) != bool(self.password or self.password_file):
            raise ValueError("a user needs a password or a password_file, and the other way round")
        if ":" in self.user:
            raise ValueError(f"user {self.user!r} has a colon, which a user name cannot have here")
        if prefix.scheme != "https" and not self.allow_plain_http and not _is_loopback(prefix.host):
            raise ValueError(
                "over http everybody on the way can read along; expected https, or allow_plain_http = true"
            )

    def road(self, job: FilterContext, prefix: Address, opened: ExitStack) -> WebDavBackend:
        """Return the way to what is below *prefix*; it is closed with *opened*."""
        headers = {"Authorization": self._credentials()} if self.user else {}
        origins = [origin(prefix.url)]
        line = HttpSession(job, origins, seconds=self.seconds, ca_file=self.ca_file, headers=headers)
        return WebDavBackend(opened.enter_context(line))

    def _credentials(self) -> str:
        secret = self.password or _read(self.password_file)
        return f"Basic {base64.b64encode(f'{self.user}:{secret}'.encode()).decode()}"


class WebDavBackend:
    """The way to the libraries of one site, for one run of the filter."""

    def __init__(self, line: HttpSession) -> None:
        self._line = line
        self._made: set[Address] = set()

    def deliver(self, delivery: LibraryDelivery) -> None:
        """Store one document; raise `FilterFailed` with the reason of the protocol."""
        if delivery.earlier and self._holds(delivery.folder / delivery.earlier, delivery):
            return
        self._make(delivery.folder)
        hidden = delivery.folder / delivery.hidden
        try:
            self._line.patiently(partial(self._write, hidden, delivery))
            self._appear(hidden, delivery)
        except BaseException:
            self._line.delete(hidden.url)
            raise

    def _make(self, folder: Address) -> None:
        """Make the user's folder if it is missing, and nothing above it."""
        if folder in self._made:
            return
        answer = self._ask("PROPFIND", f"{folder.url}/", {"Depth": "0"})
        if answer.status in _GONE:
            answer = self._ask("MKCOL", f"{folder.url}/")
            if answer.status in (404, 409):
                raise FilterFailed(detail="there is no such library, or no such folder in it")
            _expect(answer, "MKCOL", 201, 405)  # 405: somebody else was faster
        else:
            _expect(answer, "PROPFIND", 200, 207)
        self._made.add(folder)

    def _write(self, hidden: Address, delivery: LibraryDelivery) -> None:
        """Write the file under its hidden name, over what an earlier try left of it."""
        size = delivery.document.size
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        _expect(self._line.call("PUT", hidden.url, headers, delivery.pieces()), "PUT", 200, 201, 204)
        arrived = self._size(hidden)
        if arrived != size:
            raise TryAgainLater(f"{hidden.origin} has kept {arrived or 0} of {size} bytes")

    def _appear(self, hidden: Address, delivery: LibraryDelivery) -> None:
        """Give the file the first of its names that is free."""
        for name in delivery.names():
            with contextlib.suppress(Taken):
                self._line.patiently(partial(self._move, hidden, name, delivery))
                return

    def _move(self, hidden: Address, name: str, delivery: LibraryDelivery) -> None:
        """Give the file this name; raise `Taken` if somebody else has it."""
        wanted = delivery.folder / name
        with delivery.publish(name), self._line.committing():
            try:
                answer = self._line.call("MOVE", hidden.url, {"Destination": wanted.url, "Overwrite": "F"})
            except TryAgainLater as busy:
                if busy.answered or not self._has_moved(hidden, wanted, delivery):
                    raise
                return
            # An earlier try may have worked, and its answer was lost.
            if answer.status in (404, 412) and self._has_moved(hidden, wanted, delivery):
                return
            if answer.status == 412:
                raise Taken
            _expect(answer, "MOVE", 201, 204)

    def _has_moved(self, hidden: Address, wanted: Address, delivery: LibraryDelivery) -> bool:
        """Return whether the file is under its new name, and not under the hidden one: then it was we who moved it."""
        return self._size(hidden) is None and self._same(wanted, delivery)

    def _holds(self, address: Address, delivery: LibraryDelivery) -> bool:
        return self._line.patiently(partial(self._same, address, delivery))

    def _same(self, address: Address, delivery: LibraryDelivery) -> bool:
        """Return whether the file at *address* has the bytes of the document: the size first, then the SHA-256."""
        if self._size(address) != delivery.document.size:
            return False
        digest = hashlib.sha256()
        answer = self._line.call("GET", address.url, into=digest.update)
        return answer.status == 200 and digest.hexdigest() == delivery.document.sha256

    def _size(self, address: Address) -> int | None:
        """Return how many bytes a file has; None if there is none."""
        answer = self._line.call("HEAD", address.url)
        if answer.status in _GONE:
            return None
        _expect(answer, "HEAD", 200)
        length = answer.headers.get("content-length", "")
        return int(length) if length.isdecimal() else self._counted(address)

    def _counted(self, address: Address) -> int:
        """Return the size of a file whose server does not tell it."""
        sizes: list[int] = []
        _expect(self._line.call("GET", address.url, into=lambda piece: sizes.append(len(piece))), "GET", 200)
        return sum(sizes)

    def _ask(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
        return self._line.patiently(partial(self._line.call, method, url, headers))


def _expect(answer: HttpResponse, method: str, *statuses: int) -> None:
    """Raise `FilterFailed` with the reason of the protocol if the status is none of these."""
    status = answer.status
    if status in statuses:
        return
    said = f"the site answered {method} with {status}"
    if status == 401:
        raise FilterFailed(FilterReason.SHAREPOINT_ACCESS_DENIED, f"{said}: it does not take the user and password")
    if status == 403:
        raise FilterFailed(FilterReason.SHAREPOINT_ACCESS_DENIED, f"{said}: the user may not do that there")
    if status == 507 or (status == 413 and b"quota" in answer.body.lower()):
        raise FilterFailed(FilterReason.SHAREPOINT_OUT_OF_DISK_SPACE, f"{said}: there is no room left")
    if status == 413:
        raise FilterFailed(detail=f"{said}: the file is larger than it takes")
    if 300 <= status < 400:
        raise FilterFailed(detail=f"{said}, which leads elsewhere; expected the library's own address")
    raise FilterFailed(detail=said)


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise FilterFailed(detail=f"password_file {path} cannot be read: {why}") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
