"""A received file becomes a job, and what became of it. Runs in a thread.

Where a protocol has no end mark that can be trusted, the structure of the file or a rename has to say that it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from postscan.plugins import Busy, Ended, FileState, Refused, SourceContext, Taken, examine
from postscan.plugins.sources.uploads.folders import FolderPath
from postscan.plugins.sources.uploads.identity import Identity
from postscan.plugins.sources.uploads.upload import UploadedFile

REMEMBERED: Final = 600.0
"""Seconds for which the same file of the same sender is one job: a client that got no reply sends it again."""


@dataclass(frozen=True)
class Submission:
    """A file at its end: from whom, and to where.

    `name` is what the client called the file; "" if the server chose its name. `clean` is false if its TLS connection
    was cut off. `renamed` says that the client has seen it arrive.
    """

    who: Identity
    place: FolderPath
    name: str
    received: UploadedFile
    clean: bool = True
    renamed: bool = False

    def key(self) -> str:
        """Return what the same file, sent again, has in common with this one, and no other has; raise `OSError`."""
        parts = (self.who.subject, self.place.destination.id, self.name, self.received.sha256())
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class IntakeState(StrEnum):
    """What became of a file."""

    STORED = "stored"  # it is a job, or may wait for its rename
    FAULTY = "faulty"  # it did not arrive as it was sent: its client may send it again
    BUSY = "busy"  # there is no room now: its client may come again
    REFUSED = "refused"  # nor later


class IntakeResult(NamedTuple):
    """What became of a file, and a sentence about it."""

    state: IntakeState
    text: str

    @property
    def is_good(self) -> bool:
        """Whether the file was taken."""
        return self.state is IntakeState.STORED

    @property
    def is_temporary(self) -> bool:
        """Whether the client may come again with the same file."""
        return self.state in (IntakeState.FAULTY, IntakeState.BUSY)


class Intake:
    """Examines files, and makes jobs of them."""

    def __init__(self, inlet: SourceContext) -> None:
        self._inlet = inlet

    def examine(self, submission: Submission) -> IntakeResult:
        """Return whether a file may wait for its rename: it must not be cut, and its kind does not matter yet."""
        refusal = self._refusal(submission.received, known_only=not submission.clean)
        return refusal or IntakeResult(IntakeState.STORED, "Received; it becomes a job when it is renamed.")

    def store(self, submission: Submission) -> IntakeResult:
        """Make a job of a file; the reply is good once the job is stored."""
        refusal = self._refusal(submission.received, known_only=not submission.renamed)
        if refusal is not None:
            return refusal
        try:
            key = submission.key()
        except OSError as error:
            return _unreadable(error)
        who = submission.who
        try:
            with self._inlet.job(
                key=key,
                destination=submission.place.destination.id,
                proof=who.proof,
                subject=who.subject,
                account=who.account,
                name=submission.place.name,
                remember_seconds=REMEMBERED,
            ) as job:
                # A file that was renamed has to stay: if there is no room now, it waits for its next rename.
                job.page_from(
                    submission.received.path,
                    whole=submission.renamed,
                    give=not submission.renamed,
                    sha256=submission.received.sha256(),
                )
        except Taken as taken:
            return IntakeResult(IntakeState.STORED, f"The file is job {taken.token} already.")
        except Busy as busy:
            return IntakeResult(IntakeState.BUSY, _busy(busy))
        except Refused as refused:
            return IntakeResult(IntakeState.REFUSED, str(refused))
        except Ended as ended:
            with contextlib.suppress(Busy, Refused, Ended):
                job.told("stopped")  # the client reads the reply, and sends nothing more
            return IntakeResult(IntakeState.REFUSED, f"The job was cancelled: {ended.reason}")
        return IntakeResult(IntakeState.STORED, f"Stored as job {job.id}.")

    def _refusal(self, received: UploadedFile, *, known_only: bool) -> IntakeResult | None:
        """Return why a file is not taken by its content; None if it is."""
        if not received.size:
            return IntakeResult(IntakeState.FAULTY, "The file is empty; send it again.")
        try:
            with received.path.open("rb") as file:
                found = examine(file)
        except OSError as error:
            return _unreadable(error)
        if found.state is FileState.CUT:
            return IntakeResult(IntakeState.FAULTY, f"The file is cut: {found.reason}; send it again.")
        if known_only and found.state is not FileState.WHOLE:
            return IntakeResult(
                IntakeState.REFUSED,
                f"Whether the file is whole cannot be seen ({found.reason}): send it under a temporary name, then "
                "rename it; or send JPEG, PNG, TIFF or PDF.",
            )
        return None


def _unreadable(error: OSError) -> IntakeResult:
    return IntakeResult(IntakeState.FAULTY, f"The server cannot read the file: {error.strerror}; send it again.")


def _busy(busy: Busy) -> str:
    if busy.full:
        return "The disk of the server is full; send the file again later."
    return f"The server has no room now; send the file again in {max(1, round(busy.seconds))} s."
