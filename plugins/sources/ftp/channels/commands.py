"""The commands of a session: what devices need to deliver a file, and a clear answer to the others.

A device uploads a file in one of two ways, and both are supported: by STOR alone, or by STOR under a temporary name and
a rename, which says that the file is whole.

Source: RFC 959; RFC 1123 section 4.1; RFC 3659 (SIZE, MDTM, MLST).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

from postscan.plugins.sources.ftp.channels.data import failed_write
from postscan.plugins.sources.ftp.channels.transfers import TransferChannel
from postscan.plugins.sources.ftp.reply import Reply
from postscan.plugins.sources.uploads.files import KnownFile
from postscan.plugins.sources.uploads.folders import FolderPath
from postscan.plugins.sources.uploads.intake import IntakeResult, Submission
from postscan.plugins.sources.uploads.upload import IncomingFile, UploadedFile

_REFUSED: Final = ("MFMT", "SITE", "SITE CHMOD", "SITE HELP")
"""Commands of pyftpdlib that a session does not have."""

_TLS: Final = {
    verb: {"perm": None, "auth": False, "arg": True, "help": f"Syntax: {verb} <SP> {what} (RFC 4217)."}
    for verb, what in {"AUTH": "TLS", "PBSZ": "0", "PROT": "P"}.items()
}
FEATURES: Final = ("EPRT", "EPSV", "MDTM", "MLST type*;perm*;size*;modify*;unique*;", "PBSZ", "PROT", "SIZE", "UTF8")

NO_ROOM: Final = Reply(452, "Too many files wait for their rename.")


class FtpSession(TransferChannel):
    """One session."""

    proto_cmds = (
        {verb: one for verb, one in TransferChannel.proto_cmds.items() if verb not in _REFUSED}
        | _TLS
        | {
            "OPTS": {**TransferChannel.proto_cmds["OPTS"], "auth": False}  # clients choose UTF-8 before they log in
        }
    )

    _name = ""

    # --- a file comes

    def ftp_STOR(self, path: str, mode: str = "w") -> None:  # noqa: N802
        """Receive a file into the folder of a destination."""
        place = self._place(path)
        if place is not None:
            self._receive(place, place.path, "150 Send the file.")

    def ftp_STOU(self, line: str) -> None:  # noqa: N802
        """Receive a file whose name the server chooses; the same content twice is one file all the same."""
        stem = (line or "scan").rstrip("/")
        path = self.fs.ftp2fs(f"{stem}-{secrets.token_hex(4)}")
        place = self._place(path)
        if place is not None:
            self._receive(place, "", f"150 FILE: {path}")

    def ftp_APPE(self, path: str) -> None:  # noqa: N802
        """Refuse to add to a file: what would be added to is a job, or half a file."""
        self.respond("502 A file is sent as a whole: use STOR.")

    def ftp_REST(self, line: str) -> None:  # noqa: N802
        """Refuse to begin inside a file: the part before would be missing."""
        if line.strip() == "0":
            self.respond("350 The transfer begins with the first byte.")
        else:
            self.respond("504 A transfer begins with the first byte: send the whole file again.")

    def ftp_ALLO(self, line: str) -> None:  # noqa: N802
        """Say early that a file is too large."""
        size = line.split(" ")[0]
        if size.isascii() and size.isdecimal() and int(size[:20]) > self.service.settings.most_bytes:
            self.respond(f"552 A file may have {self.service.settings.most_bytes:,} bytes.")
        else:
            self.respond("202 Not needed.")

    def ftp_RETR(self, path: str) -> None:  # noqa: N802
        """Refuse: what was sent here is not given out."""
        self.respond("550 Files can be sent here, and not fetched.")

    def _receive(self, place: FolderPath, name: str, reply: str) -> None:
        """Begin to receive a file that is known by *name*."""
        settings = self.service.settings
        if not self._may_transfer():
            return
        if self._current_type != "i":
            # In ASCII a client may have changed the ends of lines, and in a JPEG nothing shows it.
            self.respond("504 A scan is binary: send TYPE I first.")
        elif settings.is_temporary(place.name) and not self.service.files.has_room(self._sender()):
            self.respond(str(NO_ROOM))
        else:
            try:
                upload = IncomingFile(self.service.space, self.who.subject, settings.most_bytes)
            except OSError as error:
                self._refuse_upload(*failed_write(error))
                return
            self._target, self._name = (self._sender(), place), name
            self.respond(reply)
            if self.data_channel is None:
                self._in_dtp_queue = (upload, "STOR")
            else:
                self.data_channel.begin_upload(upload)

    def upload_ended(self, upload: IncomingFile, *, clean: bool) -> None:
        """Go on with a file whose connection has ended; `clean` is false if TLS was cut off."""
        assert self._target is not None
        (who, place), self._target = self._target, None
        if self.has_left:  # a client that was killed ends both connections (RFC 959 section 4.1.1 on QUIT)
            upload.close()
            self._refuse_upload("426 The client has left.", "the client closed the session before the end")
            return
        try:
            received = upload.finish()
        except OSError as error:
            self._refuse_upload(*failed_write(error))
            return
        submission = Submission(who, place, self._name, received, clean=clean)
        if self.service.settings.is_ignored(place.name):
            received.discard()
            self.service.files.passed_on(who, place, received.size, received.at, is_job=False)
            self.respond("226 Taken, and thrown away: the settings ignore files of this name.")
        elif self.service.settings.is_temporary(place.name):
            self._work(self.service.intake.examine, submission, self._hold)
        else:
            self._work(self.service.intake.store, submission, self._finish)

    def close(self) -> None:
        """Close the session; a file that has not come to its end is removed."""
        was_receiving = not self._closed and self._target is not None
        super().close()
        if was_receiving:
            self.record("upload refused", reason="the session ended before the file")

    def upload_failed(self, reply: str, reason: str) -> None:
        """Answer an upload of which nothing is left."""
        self._target = None
        self._refuse_upload(reply, reason)

    def _refuse_upload(self, reply: str, reason: str) -> None:
        self.record("upload refused", reason=reason)
        self.respond(reply)

    # --- a file is renamed

    def ftp_RNFR(self, path: str) -> None:  # noqa: N802
        """Remember which file is renamed next."""
        known = self._known(path)
        self._rnfr = known
        self.respond("350 Send the new name." if known is not None else "550 There is no such file.")

    def ftp_RNTO(self, path: str) -> None:  # noqa: N802
        """Take a rename as the end of the file: only now it becomes a job."""
        known, self._rnfr = self._rnfr, None
        if known is None:
            self.respond("503 RNFR comes first.")
            return
        place = self._place(path)
        if place is None:
            return
        if known.held is None:
            self.respond("250 The file has been taken, and keeps the name it came with.")
            return
        received = self.service.files.take(known)
        if received is None:
            self.respond("550 The file waited too long for its rename, and is gone.")
        elif self.service.settings.is_temporary(place.name):
            self.service.files.hold(known.who, place, received)
            self.respond("250 Renamed; the name is still a temporary one.")
        else:
            self._work(
                self.service.intake.store,
                Submission(known.who, place, place.path, received, renamed=True),
                lambda reply, submission: self._renamed(reply, submission, known),
            )

    def ftp_DELE(self, path: str) -> None:  # noqa: N802
        """Remove a file that waits for its rename; one that is a job stays one."""
        known = self._known(path)
        if known is None:
            self.respond("550 There is no such file.")
        elif known.is_job:
            self.respond("550 The file is a job already: cancel the job.")
        else:
            self.service.files.forget(known.who, known.place)
            self.respond("250 Removed.")

    # --- the rest

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        """Drop the options of `ls` that clients send with LIST, then run the command."""
        if cmd in ("LIST", "NLST") and arg.startswith("-"):
            arg = arg.partition(" ")[2].strip()
        super().pre_process_command(line, cmd, arg)

    def run_as_current_user(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call *function*: no user of the system is behind an account."""
        return function(*args, **kwargs)

    def ftp_QUIT(self, line: str) -> None:  # noqa: N802
        """End the session, once the client has read the reply."""
        self.respond("221 Goodbye.")
        self._drop_data()
        self.close_when_done()

    def ftp_CWD(self, path: str) -> None:  # noqa: N802
        """Change the folder of the session."""
        try:
            self.fs.chdir(path)
        except OSError:
            self.respond("550 There is no such folder; each folder is a destination.")
        else:
            self.respond("250 Changed.")

    def ftp_FEAT(self, line: str) -> None:  # noqa: N802
        """List what is beyond RFC 959; REST is not."""
        auth = ("AUTH TLS",) if self.service.context is not None else ()
        self.push("211-Features:\r\n" + "".join(f" {one}\r\n" for one in (*auth, *FEATURES)))
        self.respond("211 End")

    def _place(self, path: str) -> FolderPath | None:
        """Return where a file at *path* goes; None, with a reply, if nowhere."""
        place = self.service.folders.find(path)
        if place is None or not place.path:
            self.respond("553 A file belongs into the folder of a destination; LIST shows them.")
            return None
        return place

    def _known(self, path: str) -> KnownFile | None:
        place = self.service.folders.find(path)
        return self.service.files.find(self.who, place) if place is not None and place.path else None

    def _work(
        self,
        function: Callable[[Submission], IntakeResult],
        submission: Submission,
        done: Callable[[Reply, Submission], object],
    ) -> None:
        """Run *function*, which waits, in a thread; then *done* in the loop."""

        def finished(result: IntakeResult | BaseException) -> None:
            if isinstance(result, BaseException):
                reason = f"{type(result).__name__}: {result}"
                self.service.inlet.log("file not stored", "error", file=submission.place.name, reason=reason)
            done(Reply.of(result), submission)

        self.work(lambda: function(submission), finished)

    def _finish(self, reply: Reply, submission: Submission) -> None:
        """Remove the file and answer: it is a job, or nothing."""
        submission.received.discard()
        self._reply_to(reply, submission)

    def _hold(self, reply: Reply, submission: Submission) -> None:
        """Keep a file that waits for its rename, or remove it."""
        if reply.is_good and not self.service.files.has_room(submission.who):  # several came at once
            reply = NO_ROOM
        if reply.is_good:
            self.service.files.hold(submission.who, submission.place, submission.received)
            self.respond(str(reply))
        else:
            self._finish(reply, submission)

    def _renamed(self, reply: Reply, submission: Submission, known: KnownFile) -> None:
        """Answer a rename; a file for which there was no room waits for the next one."""
        if reply.is_temporary:
            self.service.files.hold(known.who, known.place, submission.received)
            self._reply_to(reply, submission)
        else:
            self._finish(reply.as_rename(), submission)

    def _reply_to(self, reply: Reply, submission: Submission) -> None:
        if reply.is_good:
            received: UploadedFile = submission.received
            self.service.files.passed_on(submission.who, submission.place, received.size, received.at, is_job=True)
        else:
            self.record("upload refused", reason=reply.text, file=submission.place.name, user=submission.who.subject)
        self.respond(str(reply))
