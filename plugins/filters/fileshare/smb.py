"""Delivery to SMB 2/3 servers: complete files, once, under free names, even if the connection breaks.

A file is written under a hidden name and marked for deletion, so the server deletes it when the connection ends. One
rename, which never replaces a file, unmarks it and gives it its name; if the response to that is lost, a new connection
finds out whether it happened.

`postscan.plugins.filters.fileshare.share` sends the requests; it needs the extra `[smb]`.

Source: scan-process.md section 6.1.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar

from postscan.plugins import Document, FilterContext, FilterFailed
from postscan.plugins.filters.fileshare.servers import FileServer, SmbDestination
from postscan.plugins.retries import TryAgainLater, attempts, fixed_pauses

if TYPE_CHECKING:
    from postscan.plugins.filters.fileshare.share import Share, SmbConnection, SmbFile

CHUNK: Final = 1 << 20  # bytes copied between two checks of the token
CHECK_SECONDS: Final = 4.0  # for one operation of `check_reachable`
PAUSES: Final = (0.25, 1.0, 2.0, 4.0)  # seconds before each further attempt

T = TypeVar("T")


class Deliveries:
    """The deliveries of one run of a filter; they share one connection to each server."""

    def __init__(self, job: FilterContext) -> None:
        self._job = job
        self._connections: dict[str, SmbConnection] = {}
        self._failed: dict[str, FilterFailed] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._connections):
            self.disconnect(name)

    def deliver(self, document: Document, to: SmbDestination) -> None:
        """Deliver *document* into the user's folder at a destination; raise `FilterFailed` with the protocol's reason.

        A server that cannot be used is not called again in this run: another attempt would take all its time again,
        and another failed login could lock the account.
        """
        _check_installed(to)
        from postscan.plugins.filters.fileshare.status_codes import ServerFailed

        name = to.server.name
        try:
            if name in self._failed:
                raise self._failed[name]
            _ShareDelivery(self, self._job, document, to).run()
        except FilterFailed as failure:
            if isinstance(failure, ServerFailed):
                self._failed[name] = failure
            raise FilterFailed(failure.reasons[0], f"{to.unc}: {failure.detail}") from failure
        except OSError as error:
            raise FilterFailed(detail=f"{to.unc}: {error.strerror or error}") from error

    def connection(self, server: FileServer) -> SmbConnection:
        """Return the connection to *server*; open one if there is none."""
        from postscan.plugins.filters.fileshare.share import SmbConnection

        if server.name not in self._connections:
            self._connections[server.name] = SmbConnection(server)
        return self._connections[server.name]

    def disconnect(self, name: str) -> None:
        """Close the connection to the server of this name, if there is one."""
        connection = self._connections.pop(name, None)
        if connection is not None:
            connection.close()


def check_reachable(to: SmbDestination) -> None:
    """Log on to the server of a destination and check that its folders exist; raise `FilterFailed` otherwise."""
    _check_installed(to)
    from postscan.plugins.filters.fileshare.share import SmbConnection

    connection = SmbConnection(replace(to.server, seconds=min(to.server.seconds, CHECK_SECONDS)))
    try:
        share = connection.share(to.share)
        for depth in range(1, len(to.below) + 1):
            share.folder("\\".join(to.below[:depth]), make=False)
    except FilterFailed as failure:
        raise FilterFailed(failure.reasons[0], f"{to.unc}: {failure.detail}") from failure
    except (TryAgainLater, OSError) as error:
        detail = f"{to.unc}: {to.server.host}:{to.server.port} cannot be used: {error}"
        raise FilterFailed(detail=detail) from error
    finally:
        connection.close()


def _check_installed(to: SmbDestination) -> None:
    if importlib.util.find_spec("smbprotocol") is None:
        raise FilterFailed(detail=f"{to.unc}: smbprotocol is not installed; pip install 'postscan[smb]'")


class _ShareDelivery:
    """The delivery of one document to one destination."""

    def __init__(self, deliveries: Deliveries, job: FilterContext, document: Document, to: SmbDestination) -> None:
        self._deliveries = deliveries
        self._job = job
        self._document = document
        self._to = to
        self._folders = (*to.below, job.user_folder)
        self._hidden = self._path(_hidden(job, document, to.unc))

    def run(self) -> None:
        """Deliver the document, unless an earlier run did."""
        self._with_retries(self._attempt)

    def _with_retries(self, step: Callable[[], T]) -> T:
        """Return the result of *step*; attempt it again over a new connection after `TryAgainLater`."""

        def on_a_connection() -> T:
            try:
                return step()
            except TryAgainLater as error:
                server = self._to.server
                self._deliveries.disconnect(server.name)
                raise type(error)(f"{error.detail} ({server.host}:{server.port})") from error

        return attempts(self._job, fixed_pauses(*PAUSES), most=len(PAUSES) + 1)(on_a_connection)

    def _attempt(self) -> None:
        token, connection = self._job.token, self._deliveries.connection(self._to.server)
        with contextlib.ExitStack() as opened:
            with token.calling(connection.abort):
                share = self._share(connection)
                share.remove(self._hidden)  # left over from a run that was killed
                if self._was_delivered(share):
                    return
                file = opened.enter_context(share.new_file(self._hidden))
                self._copy(file)
            self._publish(connection, share, file)

    def _share(self, connection: SmbConnection) -> Share:
        """Return the share; create the user's folder on it, and no other folder."""
        share = connection.share(self._to.share)
        for depth in range(1, len(self._folders) + 1):
            share.folder("\\".join(self._folders[:depth]), make=depth == len(self._folders))
        return share

    def _was_delivered(self, share: Share) -> bool:
        """Return whether an earlier run of this filter delivered the document."""
        name = self._job.earlier.get((self._document.id, self._to.unc))
        return name is not None and self._is_ours(share, name)

    def _is_ours(self, share: Share, name: str) -> bool:
        """Return whether the file of this name is this document, by its SHA-256."""
        digest = hashlib.sha256()
        try:
            for chunk in share.read(self._path(name), self._document.size):
                self._job.token.check()
                digest.update(chunk)
        except FileNotFoundError:
            return False
        return digest.hexdigest() == self._document.sha256

    def _copy(self, file: SmbFile) -> None:
        """Write the whole document into *file*, and make the server write it to its disk."""
        with self._document.path.open("rb") as reader:
            while chunk := reader.read(CHUNK):
                self._job.token.check()
                file.write(chunk)
        file.flush()

    def _publish(self, connection: SmbConnection, share: Share, file: SmbFile) -> None:
        """Publish the file under the first free name."""
        for number in itertools.count(1):
            name = _numbered(self._document.name, number)
            with self._job.token.calling(connection.abort):
                taken = share.exists(self._path(name))
            if not taken:
                with (
                    contextlib.suppress(FileExistsError),
                    self._job.publish(self._document, self._to.unc, name),
                ):
                    self._link_as(file, name)
                    return

    def _link_as(self, file: SmbFile, name: str) -> None:
        """Give the file its name; if the response is lost, find out whether it has that name."""
        from postscan.plugins.filters.fileshare.status_codes import ServerFailed

        try:
            file.link_as(self._path(name))
        except TryAgainLater:
            try:
                linked = self._with_retries(lambda: self._was_linked(name))
            except FilterFailed as failure:
                raise _uncertain(failure, name) from failure
            if not linked:
                raise
        except ServerFailed as failure:
            raise _uncertain(failure, name) from failure

    def _was_linked(self, name: str) -> bool:
        """Return over a new connection whether the file has got its name; if not, nothing of it is left."""
        share = self._deliveries.connection(self._to.server).share(self._to.share)
        share.remove(self._hidden)  # waits until the server has closed the lost connection
        return self._is_ours(share, name)

    def _path(self, name: str) -> str:
        return "\\".join((*self._folders, name))


def _uncertain(failure: FilterFailed, name: str) -> FilterFailed:
    """Return the same failure, with a note that the file may have been delivered."""
    detail = f"{failure.detail}, while {name} got its name: the file may be there"
    return type(failure)(failure.reasons[0], detail)


def _hidden(job: FilterContext, document: Document, destination: str) -> str:
    """Return the hidden name of a delivery: the same in every run, and not guessable without the job's token."""
    delivery = f"{job.job.token}\0{document.id}\0{destination}"
    return f".{hashlib.sha256(delivery.encode()).hexdigest()[:16]}.part"


def _numbered(name: str, number: int) -> str:
    """Return *name* for the *number*-th attempt: `a.png`, `a-2.png`, `a-3.png` ..."""
    path = PurePath(name)
    return name if number == 1 else f"{path.stem}-{number}{path.suffix}"
