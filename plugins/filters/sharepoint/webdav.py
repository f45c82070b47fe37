"""The backend for a library on premises: WebDAV (RFC 4918), with a user name and a password.

PUT under a hidden name, check the size, get a grant, then MOVE without overwriting.
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
from postscan.plugins.filters.sharepoint.delivery import Address, LibraryDelivery, NameTaken
from postscan.plugins.http_client import HttpResponse, HttpSession, origin
from postscan.plugins.retries import TryAgainLater

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

    def validate(self, prefix: Address) -> None:
        """Raise `ValueError` if this entry cannot be used for URLs below *prefix*."""
        if self.password and self.password_file:
            raise ValueError("password and password_file are both set; expected one of them")
        if bool(self.user) != bool(self.password or self.password_file):
            raise ValueError("a user needs a password or a password_file, and the other way round")
        if ":" in self.user:
            raise ValueError(f"user {self.user!r} has a colon, which a user name cannot have here")
        if prefix.scheme != "https" and not self.allow_plain_http and not _is_loopback(prefix.host):
            raise ValueError(
                "http sends the password and the documents in the clear; expected https, or allow_plain_http = true"
            )

    def open_backend(self, job: FilterContext, prefix: Address, opened: ExitStack) -> WebDavBackend:
        """Return the backend for URLs below *prefix*; *opened* closes it."""
        headers = {"Authorization": self._credentials()} if self.user else {}
        origins = [origin(prefix.url)]
        session = HttpSession(job, origins, seconds=self.seconds, ca_file=self.ca_file, headers=headers)
        return WebDavBackend(opened.enter_context(session))

    def _credentials(self) -> str:
        secret = self.password or _read(self.password_file)
        return f"Basic {base64.b64encode(f'{self.user}:{secret}'.encode()).decode()}"


class WebDavBackend:
    """The libraries of one site, for one run of the filter."""

    def __init__(self, session: HttpSession) -> None:
        self._session = session
        self._made: set[Address] = set()

    def deliver(self, delivery: LibraryDelivery) -> None:
        """Store one document; raise `FilterFailed` with the reason of the protocol."""
        if delivery.earlier and self._holds(delivery.folder / delivery.earlier, delivery):
            return
        self._make(delivery.folder)
        hidden = delivery.folder / delivery.hidden
        try:
            self._session.with_retries(partial(self._write, hidden, delivery))
            self._link_as(hidden, delivery)
        except BaseException:
            self._session.delete(hidden.url)
            raise

    def _make(self, folder: Address) -> None:
        """Create the user's folder if it is missing, but no folder above it."""
        if folder in self._made:
            return
        response = self._request("PROPFIND", f"{folder.url}/", {"Depth": "0"})
        if response.status in _GONE:
            response = self._request("MKCOL", f"{folder.url}/")
            if response.status in (404, 409):
                raise FilterFailed(detail="there is no such library, or no such folder in it")
            _expect(response, "MKCOL", 201, 405)  # 405: another client was faster
        else:
            _expect(response, "PROPFIND", 200, 207)
        self._made.add(folder)

    def _write(self, hidden: Address, delivery: LibraryDelivery) -> None:
        """Write the file under its hidden name, replacing what an earlier attempt left."""
        size = delivery.document.size
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        _expect(self._session.call("PUT", hidden.url, headers, delivery.pieces()), "PUT", 200, 201, 204)
        arrived = self._size(hidden)
        if arrived != size:
            raise TryAgainLater(f"{hidden.origin} has stored {arrived or 0} of {size} bytes")

    def _link_as(self, hidden: Address, delivery: LibraryDelivery) -> None:
        """Give the file the first free name."""
        for name in delivery.names():
            with contextlib.suppress(NameTaken):
                self._session.with_retries(partial(self._move, hidden, name, delivery))
                return

    def _move(self, hidden: Address, name: str, delivery: LibraryDelivery) -> None:
        """Give the file this name; raise `NameTaken` if another file has it."""
        wanted = delivery.folder / name
        with delivery.publish(name), self._session.committing():
            try:
                response = self._session.call("MOVE", hidden.url, {"Destination": wanted.url, "Overwrite": "F"})
            except TryAgainLater as busy:
                if busy.answered or not self._has_moved(hidden, wanted, delivery):
                    raise
                return
            # An earlier attempt may have succeeded and its response been lost.
            if response.status in (404, 412) and self._has_moved(hidden, wanted, delivery):
                return
            if response.status == 412:
                raise NameTaken
            _expect(response, "MOVE", 201, 204)

    def _has_moved(self, hidden: Address, wanted: Address, delivery: LibraryDelivery) -> bool:
        """Return whether the file has its new name and no longer the hidden one: then our MOVE succeeded."""
        return self._size(hidden) is None and self._same(wanted, delivery)

    def _holds(self, address: Address, delivery: LibraryDelivery) -> bool:
        return self._session.with_retries(partial(self._same, address, delivery))

    def _same(self, address: Address, delivery: LibraryDelivery) -> bool:
        """Return whether the file at *address* has the bytes of the document: the size first, then the SHA-256."""
        if self._size(address) != delivery.document.size:
            return False
        digest = hashlib.sha256()
        response = self._session.call("GET", address.url, into=digest.update)
        return response.status == 200 and digest.hexdigest() == delivery.document.sha256

    def _size(self, address: Address) -> int | None:
        """Return the size of a file in bytes; None if it does not exist."""
        response = self._session.call("HEAD", address.url)
        if response.status in _GONE:
            return None
        _expect(response, "HEAD", 200)
        length = response.headers.get("content-length", "")
        return int(length) if length.isdecimal() else self._downloaded_size(address)

    def _downloaded_size(self, address: Address) -> int:
        """Return the size of a file whose HEAD response has no Content-Length."""
        sizes: list[int] = []
        _expect(self._session.call("GET", address.url, into=lambda piece: sizes.append(len(piece))), "GET", 200)
        return sum(sizes)

    def _request(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
        return self._session.with_retries(partial(self._session.call, method, url, headers))


def _expect(response: HttpResponse, method: str, *statuses: int) -> None:
    """Raise `FilterFailed` with the protocol's reason unless the response has one of these statuses."""
    status = response.status
    if status in statuses:
        return
    detail = f"the site answered {method} with {status}"
    if status == 401:
        raise FilterFailed(FilterReason.SHAREPOINT_ACCESS_DENIED, f"{detail}: it refuses the user and password")
    if status == 403:
        raise FilterFailed(FilterReason.SHAREPOINT_ACCESS_DENIED, f"{detail}: the user has no permission")
    if status == 507 or (status == 413 and b"quota" in response.body.lower()):
        raise FilterFailed(FilterReason.SHAREPOINT_OUT_OF_DISK_SPACE, f"{detail}: there is no space left")
    if status == 413:
        raise FilterFailed(detail=f"{detail}: the file is larger than the site accepts")
    if 300 <= status < 400:
        raise FilterFailed(detail=f"{detail}, a redirect, which is not followed; expected the URL of the library")
    raise FilterFailed(detail=detail)


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise FilterFailed(detail=f"password_file {path} cannot be read: {problem}") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
