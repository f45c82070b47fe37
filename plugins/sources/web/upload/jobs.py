"""Files that have arrived, into jobs; and the state of those jobs for who sent them.

The address of a job is its token with a code that only this inlet can make for the sender. So it needs no memory, holds
after a restart, and shows nothing to others.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import math
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from postscan.plugins import Busy, Destination, Ended, FileState, JobStatus, Refused, SourceContext, Taken, examine
from postscan.plugins.sources.web.access import Caller
from postscan.plugins.sources.web.body import HttpRefused
from postscan.plugins.sources.web.upload.incoming import ReceivedFile

REMEMBERED: Final = 600.0
"""Seconds in which the same file under the same name is the same job: who did not get the response sends it again."""

REMEMBERED_WITH_KEY: Final = 30 * 86_400.0
"""The same for requests with an Idempotency-Key."""

LONGEST_KEY: Final = 255
"""Most characters of an Idempotency-Key."""

EXPECTED: Final = "a PDF, JPEG, PNG, TIFF, BMP, JPEG 2000 or XPS file"

_CODE_BYTES: Final = 16
_SECRET_FILE: Final = "job-addresses.key"  # noqa: S105  (a name)
_SECRET_BYTES: Final = 32


class Delivered(NamedTuple):
    """The job of a request: its token, its path on this server, and whether an earlier request made it."""

    token: str
    address: str
    is_repeated: bool


class Jobs:
    """The jobs of one inlet. All methods wait for the server, and are called in threads."""

    def __init__(self, inlet: SourceContext) -> None:
        self.at_once = inlet.started.open_jobs
        """How many jobs the server opens at the same time; what is more would only be asked to come again."""
        self._inlet = inlet
        self._secret = _secret(inlet.folder)

    def deliver(
        self,
        caller: Caller,
        destination: Destination,
        names: Sequence[str],
        files: Sequence[ReceivedFile],
        idempotency_key: str = "",
    ) -> Delivered:
        """Make one job of complete files, and return when it is stored.

        *names* are those of the path below the destination. Raises `HttpRefused`: for a file that is cut or of unknown
        kind, for what the server refuses, and if it has no room now.
        """
        for file in files:
            _check(file)
        key, seconds = _key(caller, destination, names, files, idempotency_key)
        name = names[-1] if names else files[0].name
        try:
            with self._inlet.job(
                key,
                destination,
                caller.proof,
                caller.subject,
                name,
                account=caller.account,
                remember_seconds=seconds,
            ) as job:
                for file in files:
                    job.page_from(file.path, whole=True, give=True, sha256=file.sha256)
        except Taken as taken:
            return Delivered(taken.token, self.address(caller, taken.token), is_repeated=True)
        except Ended as ended:
            with contextlib.suppress(Busy, Refused):
                job.told("stopped")  # the client has sent everything, and reads the response
            raise HttpRefused(409, f"the job was cancelled: {ended.reason}") from None
        except Refused as refused:
            raise HttpRefused(403, str(refused)) from None
        except Busy as busy:
            raise busy_response(busy) from None
        return Delivered(job.id, self.address(caller, job.id), is_repeated=False)

    def address(self, caller: Caller, token: str) -> str:
        """Return the path at which a caller sees the state of its job."""
        return f"/jobs/{token}.{self._code(caller, token)}"

    def status(self, caller: Caller, name: str) -> tuple[str, JobStatus]:
        """Return token and state of the job whose address ends with *name*; raise `HttpRefused` (404)."""
        token, _, code = name.partition(".")
        if not hmac.compare_digest(code.encode(), self._code(caller, token).encode()):
            raise HttpRefused(404, "there is no such job of yours")
        try:
            return token, self._inlet.state(token)
        except Refused:
            raise HttpRefused(404, "the job is no longer remembered") from None
        except Busy as busy:
            raise busy_response(busy) from None

    def _code(self, caller: Caller, token: str) -> str:
        digest = hmac.digest(self._secret, f"{caller.key}\0{token}".encode("utf-8", "replace"), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:_CODE_BYTES]).decode().rstrip("=")


def busy_response(busy: Busy) -> HttpRefused:
    """Return the response for a server without room: 507 if the disk is full, else 503, with the seconds to wait."""
    again = {"retry-after": str(max(1, math.ceil(busy.seconds)))}
    return HttpRefused(507 if busy.full else 503, f"{busy}; try again", again)


def _check(file: ReceivedFile) -> None:
    """Raise `HttpRefused` if a file is cut (422), or not a scan (415).

    The end of the body was seen, so a file counts as whole if its own structure does not say.
    """
    try:
        with file.path.open("rb") as content:
            found = examine(content)
    except FileNotFoundError:
        raise HttpRefused(404, "the file was removed meanwhile") from None
    if found.state is FileState.CUT:
        raise HttpRefused(422, f"not complete: {file.name or 'the file'}: {found.reason}")
    if not found.kind:
        raise HttpRefused(415, f"not a scan: {file.name or 'the file'}; expected {EXPECTED}")


def _key(
    caller: Caller, destination: Destination, names: Sequence[str], files: Sequence[ReceivedFile], idempotency_key: str
) -> tuple[str, float]:
    """Return the key of a request, and for how many seconds it is remembered.

    The content is always part of it: a client that uses one Idempotency-Key for all its files loses none of them.
    """
    content = [(file.name, file.sha256) for file in files]
    origin: list[object] = [caller.key, destination.id]
    if idempotency_key:
        return _digest("key", [*origin, idempotency_key, [sha256 for _, sha256 in content]]), REMEMBERED_WITH_KEY
    return _digest("file", [*origin, list(names), content]), REMEMBERED


def _digest(kind: str, parts: list[object]) -> str:
    return f"{kind}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


def _secret(folder: Path) -> bytes:
    """Return the secret of this inlet, which is made at its first start."""
    path = folder / _SECRET_FILE
    with contextlib.suppress(FileNotFoundError):
        found = path.read_bytes()
        if len(found) == _SECRET_BYTES:
            return found
    made = secrets.token_bytes(_SECRET_BYTES)
    new = path.with_suffix(".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    with open(new, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return made
