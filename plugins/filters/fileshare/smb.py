"""Delivering to SMB 2/3 servers: whole files, once, under names that were free, whatever happens to the connection.

A file grows under a hidden name, and the server itself deletes it when the connection is gone. It stays, under its
own name, by one rename that replaces nothing; if the answer to that is lost, a fresh connection finds out.

What the calls mean on the wire is the business of `postscan.plugins.filters.fileshare.share`, which needs the extra
`[smb]`.

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
from postscan.plugins.filters.fileshare.servers import FileServer, Where

if TYPE_CHECKING:
    from postscan.plugins.filters.fileshare.share import Share, SmbConnection, SmbFile

CHUNK: Final = 1 << 20  # bytes copied between two looks at the token
KNOCKING: Final = 4.0  # seconds that one operation may take when we only look
PAUSES: Final = (0.25, 1.0, 2.0, 4.0)  # seconds before each further try after a lost connection

Found = TypeVar("Found")


class Deliveries:
    """The deliveries of one run of a filter; a connection to a server serves them all, until it breaks."""

    def __init__(self, job: FilterContext) -> None:
        self._job = job
        self._lines: dict[str, SmbConnection] = {}
        self._failed: dict[str, FilterFailed] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._lines):
            self.hang_up(name)

    def deliver(self, document: Document, where: Where) -> None:
        """Put *document* into the user's own folder at *where*; raise `FilterFailed` with the reason of the protocol.

        A server that cannot be used is called no more in this run: that would cost its whole time again, or bring its
        account nearer to being locked.
        """
        _check_installed(where)
        from postscan.plugins.filters.fileshare.status_codes import ServerFailed

        name = where.server.name
        try:
            if name in self._failed:
                raise self._failed[name]
            _ShareDelivery(self, self._job, document, where).run()
        except FilterFailed as failure:
            if isinstance(failure, ServerFailed):
                self._failed[name] = failure
            raise FilterFailed(failure.reasons[0], f"{where.unc}: {failure.detail}") from failure
        except OSError as error:
            raise FilterFailed(detail=f"{where.unc}: {error.strerror or error}") from error

    def line(self, server: FileServer) -> SmbConnection:
        """Return the connection to *server*; a fresh one if there is none."""
        from postscan.plugins.filters.fileshare.share import SmbConnection

        if server.name not in self._lines:
            self._lines[server.name] = SmbConnection(server)
        return self._lines[server.name]

    def hang_up(self, name: str) -> None:
        """Give up the connection to this server."""
        line = self._lines.pop(name, None)
        if line is not None:
            line.close()


def check_reachable(where: Where) -> None:
    """Log on to the server of *where*, and look whether its folders are there; raise `FilterFailed` if not."""
    _check_installed(where)
    from postscan.plugins.filters.fileshare.share import SmbConnection
    from postscan.plugins.filters.fileshare.status_codes import Lost

    line = SmbConnection(replace(where.server, seconds=min(where.server.seconds, KNOCKING)))
    try:
        share = line.share(where.share)
        for depth in range(1, len(where.below) + 1):
            share.folder("\\".join(where.below[:depth]), make=False)
    except FilterFailed as failure:
        raise FilterFailed(failure.reasons[0], f"{where.unc}: {failure.detail}") from failure
    except (Lost, OSError) as error:
        detail = f"{where.unc}: {where.server.host}:{where.server.port} cannot be used: {error}"
        raise FilterFailed(detail=detail) from error
    finally:
        line.close()


def _check_installed(where: Where) -> None:
    if importlib.util.find_spec("smbprotocol") is None:
        raise FilterFailed(detail=f"{where.unc}: smbprotocol is not installed; pip install 'postscan[smb]'")


class _ShareDelivery:
    """One document on its way to one destination."""

    def __init__(self, deliveries: Deliveries, job: FilterContext, document: Document, where: Where) -> None:
        self._deliveries = deliveries
        self._job = job
        self._document = document
        self._where = where
        self._folders = (*where.below, job.user_folder)
        self._hidden = self._path(_hidden(job, document, where.unc))

    def run(self) -> None:
        """Deliver, unless an earlier run has."""
        self._patiently(self._try)

    def _patiently(self, step: Callable[[], Found]) -> Found:
        """Take one step; if the connection is lost meanwhile, again over a fresh one, a few times."""
        from postscan.plugins.filters.fileshare.status_codes import Lost, ServerBusy, ServerFailed

        server, token = self._where.server, self._job.token
        for pause in (*PAUSES, None):
            try:
                return step()
            except Lost as lost:
                self._deliveries.hang_up(server.name)
                if pause is None:
                    kind = FilterFailed if isinstance(lost, ServerBusy) else ServerFailed
                    tries = f"{server.host}:{server.port}, tried {len(PAUSES) + 1} times"
                    raise kind(detail=f"{lost} ({tries})") from lost
            token.wait(pause)
            token.check()
        raise AssertionError("the last try returns or raises")

    def _try(self) -> None:
        token, line = self._job.token, self._deliveries.line(self._where.server)
        with contextlib.ExitStack() as opened:
            with token.calling(line.stop):
                share = self._share(line)
                share.remove(self._hidden)  # left over from a run that was killed
                if self._was_delivered(share):
                    return
                growing = opened.enter_context(share.growing(self._hidden))
                self._copy(growing)
            self._publish(line, share, growing)

    def _share(self, line: SmbConnection) -> Share:
        """Return the share, once the user's folder is there; no other is made."""
        share = line.share(self._where.share)
        for depth in range(1, len(self._folders) + 1):
            share.folder("\\".join(self._folders[:depth]), make=depth == len(self._folders))
        return share

    def _was_delivered(self, share: Share) -> bool:
        """Return whether an earlier run of this filter came so far."""
        name = self._job.earlier.get((self._document.id, self._where.unc))
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

    def _copy(self, growing: SmbFile) -> None:
        """Bring the whole file over, and onto the server's disk."""
        with self._document.path.open("rb") as reader:
            while chunk := reader.read(CHUNK):
                self._job.token.check()
                growing.write(chunk)
        growing.flush()

    def _publish(self, line: SmbConnection, share: Share, growing: SmbFile) -> None:
        """Let the file appear under the first name that is free."""
        for number in itertools.count(1):
            name = _numbered(self._document.name, number)
            with self._job.token.calling(line.stop):
                taken = share.exists(self._path(name))
            if not taken:
                with (
                    contextlib.suppress(FileExistsError),
                    self._job.publish(self._document, self._where.unc, name),
                ):
                    self._appear(growing, name)
                    return

    def _appear(self, growing: SmbFile, name: str) -> None:
        """Let the file get its name, and be sure of it even if the answer is lost."""
        from postscan.plugins.filters.fileshare.status_codes import Lost, ServerFailed

        try:
            growing.appear(self._path(name))
        except Lost:
            try:
                there = self._patiently(lambda: self._has_appeared(name))
            except FilterFailed as failure:
                raise _unsure(failure, name) from failure
            if not there:
                raise
        except ServerFailed as failure:
            raise _unsure(failure, name) from failure

    def _has_appeared(self, name: str) -> bool:
        """Find out over a fresh connection whether the file has got its name; if not, nothing of it is left."""
        share = self._deliveries.line(self._where.server).share(self._where.share)
        share.remove(self._hidden)  # waits until the server has done with the connection that was lost
        return self._is_ours(share, name)

    def _path(self, name: str) -> str:
        return "\\".join((*self._folders, name))


def _unsure(failure: FilterFailed, name: str) -> FilterFailed:
    """Return the same failure, with what the server's silence leaves open."""
    detail = f"{failure.detail}, just when {name} was to appear: it may be there"
    return type(failure)(failure.reasons[0], detail)


def _hidden(job: FilterContext, document: Document, destination: str) -> str:
    """Return the name under which a delivery grows: the same in every run, and nobody else's guess."""
    delivery = f"{job.job.token}\0{document.id}\0{destination}"
    return f".{hashlib.sha256(delivery.encode()).hexdigest()[:16]}.part"


def _numbered(name: str, number: int) -> str:
    """Return *name* for the *number*-th try: `a.png`, `a-2.png`, `a-3.png` ..."""
    path = PurePath(name)
    return name if number == 1 else f"{path.stem}-{number}{path.suffix}"
