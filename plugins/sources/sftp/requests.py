"""The requests of one session: what devices need to deliver a file, and a clear answer to the others.

A device uploads a file under its last name, or under a temporary name and with a rename, which says that the file is
whole. The bytes of a file come in their order. No method leads to a file system: the class does not inherit from the
library's, whose methods do.

Source: draft-ietf-secsh-filexfer-02; the extensions of OpenSSH's PROTOCOL (posix-rename, fsync, lsetstat).
"""

from __future__ import annotations

import posixpath
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

import asyncssh

from postscan.plugins.sources.sftp import attributes
from postscan.plugins.sources.sftp.service import SftpService
from postscan.plugins.sources.uploads.files import KnownFile
from postscan.plugins.sources.uploads.folders import ROOT, FolderPath
from postscan.plugins.sources.uploads.identity import Identity
from postscan.plugins.sources.uploads.intake import IntakeResult, IntakeState, Submission
from postscan.plugins.sources.uploads.names import ENCODING, ERRORS, is_plain, one_line
from postscan.plugins.sources.uploads.space import is_full
from postscan.plugins.sources.uploads.upload import IncomingFile, UploadTooLarge

MOST_MADE: Final = 64
"""Folders of one session."""

LONGEST_PATH: Final = 4096

_WHOLE: Final = "a file is sent as a whole, from its first byte to its last"


@dataclass(eq=False)
class OpenUpload:
    """A file that is coming."""

    place: FolderPath
    incoming: IncomingFile
    begun: float = field(default_factory=time.monotonic)
    measured: float = field(default_factory=time.monotonic)
    measured_size: int = 0

    def is_slow(self, least_rate: int, seconds: float, now: float) -> bool:
        """Return whether fewer bytes came than *least_rate* a second, once in so many seconds."""
        if now < self.measured + seconds:
            return False
        slow = self.incoming.size - self.measured_size < least_rate * seconds
        self.measured, self.measured_size = now, self.incoming.size
        return slow


class SftpRequests:
    """The requests of one session of *who*; they come one after another. *used* is called for each."""

    def __init__(self, service: SftpService, who: Identity, used: Callable[[], object]) -> None:
        self.has_left = False
        self.on_exit: Callable[[], object] = lambda: None
        self.uploads: dict[OpenUpload, None] = {}
        self._service = service
        self._who = who
        self._use = used
        self._storing = 0
        self._made: dict[tuple[str, str], None] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a file is coming, or is being stored."""
        return bool(self.uploads or self._storing)

    def leave(self) -> None:
        """Give up what is coming: its client has gone. Harmless when repeated."""
        self.has_left = True
        for upload in list(self.uploads):
            self._refuse(upload.place, "the session ended before the file")
            upload.incoming.close()
        self.uploads.clear()

    def exit(self) -> None:
        """End: called by the library when no more requests come."""
        self.leave()
        self.on_exit()

    # --- a file comes

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> OpenUpload:
        """Begin to receive a file into the folder of a destination."""
        self._use()
        if not pflags & asyncssh.FXF_WRITE or pflags & asyncssh.FXF_READ:
            raise asyncssh.SFTPPermissionDenied("files can be sent here, and not fetched")
        if pflags & asyncssh.FXF_APPEND:
            raise asyncssh.SFTPOpUnsupported(f"nothing is added to a file: {_WHOLE}")
        place, settings = self._place(path), self._service.settings
        if len(self.uploads) >= settings.files_per_connection:
            raise asyncssh.SFTPFailure(f"a connection has at most {settings.files_per_connection} files open")
        if settings.is_temporary(place.name) and not self._service.files.has_room(self._who):
            raise asyncssh.SFTPFailure("too many files wait for their rename")
        try:
            upload = OpenUpload(place, IncomingFile(self._service.space, self._who.subject, settings.most_bytes))
        except OSError as error:
            raise self._no_room(place, error) from error
        self.uploads[upload] = None
        return upload

    def write(self, upload: OpenUpload, offset: int, data: bytes) -> int:
        """Append bytes, and return their number."""
        self._use()
        if upload not in self.uploads:
            raise asyncssh.SFTPFailure("the file was given up")
        if offset != upload.incoming.size:
            self._give_up(upload)
            self._refuse(upload.place, f"{len(data)} bytes came for byte {offset}; expected {upload.incoming.size}")
            raise asyncssh.SFTPOpUnsupported(_WHOLE)
        try:
            upload.incoming.write(data)
        except UploadTooLarge:
            self._give_up(upload)
            most = f"a file may have {self._service.settings.most_bytes:,} bytes"
            self._refuse(upload.place, most)
            raise asyncssh.SFTPFailure(most) from None
        except OSError as error:
            self._give_up(upload)
            raise self._no_room(upload.place, error) from error
        return len(data)

    async def close(self, upload: OpenUpload) -> None:
        """Take the file; without an error it is a job then, or waits for its rename.

        The library calls this too for what is open when the client leaves: that is none of `uploads` any more.
        """
        self._use()
        if upload not in self.uploads:
            raise asyncssh.SFTPFailure("the file was given up")
        del self.uploads[upload]
        place, settings = upload.place, self._service.settings
        try:
            received = upload.incoming.finish()
        except OSError as error:
            raise self._no_room(place, error) from error
        submission = Submission(self._who, place, place.path, received)
        if settings.is_ignored(place.name):
            received.discard()
            self._service.files.passed_on(self._who, place, received.size, received.at, is_job=False)
        elif settings.is_temporary(place.name):
            await self._hold(submission)
        else:
            await self._store(submission)

    def read(self, upload: OpenUpload, offset: int, size: int) -> bytes:
        """Refuse: what was sent here is not given out."""
        raise asyncssh.SFTPPermissionDenied("files can be sent here, and not fetched")

    def fsync(self, upload: OpenUpload) -> None:
        """Do nothing: a file is durable when its close is answered."""
        self._use()

    async def _hold(self, submission: Submission) -> None:
        """Keep a file that waits for its rename, or remove it."""
        result = await self._carry_out(lambda: self._service.intake.examine(submission))
        if result.is_good and not self._service.files.has_room(self._who):  # several came at once
            result = IntakeResult(IntakeState.BUSY, "too many files wait for their rename")
        if not result.is_good:
            submission.received.discard()
            raise self._failure(submission.place, result)
        self._service.files.hold(self._who, submission.place, submission.received)

    async def _store(self, submission: Submission) -> None:
        result = await self._carry_out(lambda: self._service.intake.store(submission))
        submission.received.discard()
        if not result.is_good:
            raise self._failure(submission.place, result)
        self._pass_on(submission)

    # --- a file is renamed

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Take a rename as the end of the file: only now it becomes a job."""
        self._use()
        known, place = self._known(oldpath), self._place(newpath)
        if known is None:
            raise asyncssh.SFTPNoSuchFile("there is no such file")
        if known.held is None:
            return  # it has been taken, and keeps the name it came with
        received = self._service.files.take(known)
        if received is None:
            raise asyncssh.SFTPNoSuchFile("the file waited too long for its rename, and is gone")
        if self._service.settings.is_temporary(place.name):
            self._service.files.hold(self._who, place, received)
            return
        submission = Submission(self._who, place, place.path, received, renamed=True)
        result = await self._carry_out(lambda: self._service.intake.store(submission))
        if result.is_temporary:
            self._service.files.hold(self._who, known.place, received)  # for the next rename
            raise self._failure(place, result)
        received.discard()
        if not result.is_good:
            raise self._failure(place, result)
        self._pass_on(submission)

    posix_rename = rename

    def remove(self, path: bytes) -> None:
        """Remove a file that waits for its rename; one that is a job stays one."""
        self._use()
        known = self._known(path)
        if known is None:
            raise asyncssh.SFTPNoSuchFile("there is no such file")
        if known.is_job:
            raise asyncssh.SFTPPermissionDenied("the file is a job already: cancel the job")
        self._service.files.forget(known.who, known.place)

    # --- folders

    def realpath(self, path: bytes) -> bytes:
        """Return an absolute path."""
        self._use()
        return self._absolute(path).encode(ENCODING, ERRORS)

    def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        """Return what is known of a folder or a file. Clients compare the size, so one that is a job has it too."""
        self._use()
        absolute = self._absolute(path)
        place = self._service.folders.find(absolute)
        if absolute == ROOT or (place is not None and self._is_folder(place)):
            return attributes.of_folder()
        known = self._service.files.find(self._who, place) if place is not None else None
        if known is None:
            raise asyncssh.SFTPNoSuchFile("there is no such file")
        return attributes.of_file(known.size, known.at)

    lstat = stat

    def fstat(self, upload: OpenUpload) -> asyncssh.SFTPAttrs:
        """Return the size of a file that is coming."""
        self._use()
        return attributes.of_file(upload.incoming.size, time.time())

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Do nothing: times and permissions of what is sent here mean nothing. A size is refused."""
        self._use()
        if attrs.size is not None:
            raise asyncssh.SFTPOpUnsupported(_WHOLE)

    lsetstat = setstat

    def fsetstat(self, upload: OpenUpload, attrs: asyncssh.SFTPAttrs) -> None:
        """Do nothing, as `setstat`; the size that the file has already is none that is refused."""
        self._use()
        if attrs.size not in (None, upload.incoming.size):
            raise asyncssh.SFTPOpUnsupported(_WHOLE)

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        """Yield what a folder has: destinations, or files that wait for their rename."""
        self._use()
        absolute = self._absolute(path)
        place = self._service.folders.find(absolute)
        if absolute == ROOT:
            for name in self._service.folders.names:
                yield attributes.entry(name, attributes.of_folder())
        elif place is None or not self._is_folder(place):
            raise asyncssh.SFTPNoSuchFile("there is no such folder; each folder is a destination")
        else:
            for known in list(self._service.files.held_in(self._who, place.destination.id)):
                folder, _, name = known.place.path.rpartition("/")
                if folder == place.path:
                    yield attributes.entry(name, attributes.of_file(known.size, known.at))

    def format_longname(self, name: asyncssh.SFTPName) -> None:
        """Leave the line of `ls -l` to what `entry` has made."""

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Make a folder below a destination, for this session: it is part of the destination."""
        self._use()
        place = self._place(path)
        if self._is_folder(place):
            raise asyncssh.SFTPFailure("there is such a folder already")
        if len(self._made) >= MOST_MADE:
            raise asyncssh.SFTPFailure(f"a session makes at most {MOST_MADE} folders")
        self._made[place.destination.id, place.path] = None

    def rmdir(self, path: bytes) -> None:
        """Remove a folder that this session has made."""
        self._use()
        place = self._place(path)
        if self._made.pop((place.destination.id, place.path), self) is self:
            raise asyncssh.SFTPPermissionDenied("the folder of a destination stays")

    # --- what they share

    async def _carry_out(self, work: Callable[[], IntakeResult]) -> IntakeResult:
        """Run *work*, which waits, in a thread; an error of our own lets the client come again."""

        def attempt() -> IntakeResult:
            try:
                return work()
            except BaseException:  # noqa: BLE001  (`Cancelled` too is for the client)
                self._service.failed("file not stored")
                return IntakeResult(IntakeState.FAULTY, "the server could not store the file; send it again later")

        self._storing += 1
        try:
            return await self._service.stored(attempt)
        finally:
            self._storing -= 1
            self._use()

    def _absolute(self, path: bytes) -> str:
        text = path.decode(ENCODING, ERRORS)
        if len(path) > LONGEST_PATH or not is_plain(text):
            raise asyncssh.SFTPFailure("the path is too long, or has control characters")
        return "/" + posixpath.normpath(posixpath.join(ROOT, text)).strip("/")

    def _place(self, path: bytes) -> FolderPath:
        """Return where a file at *path* goes."""
        place = self._service.folders.find(self._absolute(path))
        if place is None or not place.path:
            raise asyncssh.SFTPPermissionDenied("a file belongs into the folder of a destination")
        return place

    def _is_folder(self, place: FolderPath) -> bool:
        return not place.path or (place.destination.id, place.path) in self._made

    def _known(self, path: bytes) -> KnownFile | None:
        place = self._service.folders.find(self._absolute(path))
        return self._service.files.find(self._who, place) if place is not None and place.path else None

    def _pass_on(self, submission: Submission) -> None:
        received = submission.received
        self._service.files.passed_on(submission.who, submission.place, received.size, received.at, is_job=True)

    def _give_up(self, upload: OpenUpload) -> None:
        self.uploads.pop(upload, None)
        upload.incoming.close()

    def _no_room(self, place: FolderPath, error: OSError) -> asyncssh.SFTPError:
        text = "there is no room for the file now; send it again later" if is_full(error) else str(error.strerror)
        self._refuse(place, text)
        return asyncssh.SFTPFailure(text)

    def _failure(self, place: FolderPath, result: IntakeResult) -> asyncssh.SFTPError:
        self._refuse(place, result.text)
        text = one_line(result.text)
        return asyncssh.SFTPFailure(text) if result.is_temporary else asyncssh.SFTPPermissionDenied(text)

    def _refuse(self, place: FolderPath, reason: str) -> None:
        self._service.inlet.log("upload refused", "warning", file=place.name, user=self._who.subject, reason=reason)
