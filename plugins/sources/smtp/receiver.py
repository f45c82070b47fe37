"""Make jobs of mails: what a session asks of the inlet.

The event loop does nothing that can take long. Three kinds of threads do it, so that none waits for another: writing
mails, checking passwords, and making jobs. What waits for them is limited by the number of connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from postscan.plugins import Busy, Cancelled, Ended, Refused, SourceContext, Taken
from postscan.plugins.sources.smtp.event_log import EventLog
from postscan.plugins.sources.smtp.incoming import IncomingMail, SpoolSpace
from postscan.plugins.sources.smtp.message.attachments import AttachmentRules, pages
from postscan.plugins.sources.smtp.message.screening import screen
from postscan.plugins.sources.smtp.recipients import Recipients
from postscan.plugins.sources.smtp.replies import BUSY, LATER, NO_ROOM, NOT_WANTED, Rejected
from postscan.plugins.sources.smtp.settings import Settings
from postscan.plugins.sources.smtp.submission import MailSubmission

REMEMBERED: Final = 86_400.0
"""Seconds in which the same mail is the same job."""

_WRITERS: Final = 4
_CHECKERS: Final = 8  # the server lets four of one client wait, nine in all (decision 73), and refuses others at once
_MOST_MAKERS: Final = 4  # a thread may take 72 MiB of the address space


class ClientTurns:
    """At most so many mails of one client are made into jobs at a time: the others have a thread, too."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    async def take(self, client: str) -> None:
        """Wait for a turn."""
        turns = self._turns.setdefault(client, asyncio.Semaphore(self._most))
        self._users[client] += 1
        try:
            await turns.acquire()
        except BaseException:
            self._leave(client)
            raise

    def give_back(self, client: str) -> None:
        """End a turn."""
        self._turns[client].release()
        self._leave(client)

    def _leave(self, client: str) -> None:
        self._users[client] -= 1
        if not self._users[client]:
            del self._users[client], self._turns[client]


class MailReceiver:
    """The receiver of an inlet, with its threads."""

    def __init__(self, inlet: SourceContext) -> None:
        self.settings: Settings = inlet.settings
        self._inlet = inlet
        self._log = EventLog(inlet)
        self._making: set[asyncio.Future[None]] = set()
        self._recipients = Recipients(inlet.destinations, self.settings.recipients, self.settings.domains)
        self._space = SpoolSpace(inlet.workdir, self.settings.spool_bytes)
        self._rules = AttachmentRules(self.settings.ignored_names, self.settings.inline_bytes)
        self._writers = ThreadPoolExecutor(_WRITERS, "mail-write")
        self._checkers = ThreadPoolExecutor(_CHECKERS, "mail-password")
        makers = min(inlet.started.open_jobs, _MOST_MAKERS)
        self._makers = ThreadPoolExecutor(makers, "mail-job")
        self._turns = ClientTurns(max(1, makers - 1))

    async def close(self, seconds: float) -> None:
        """Take no more work, and wait so long for the jobs that are being made; the clients may have left."""
        for pool in (self._writers, self._checkers, self._makers):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._making:
            await asyncio.wait(list(self._making), timeout=seconds)
        self._log.close()

    def log(self, text: str, level: str = "info", **fields: object) -> None:
        """Write an event into the server's log, without waiting."""
        self._log.write(text, level, **fields)

    def destination(self, recipient: str) -> str:
        """Return the id of the destination of a recipient; raise `Rejected`."""
        return self._recipients.destination(recipient)

    def check_room(self, client: str, size: int) -> None:
        """Raise `Rejected` if there is no room for a mail of this size."""
        self._space.check(client, size)

    def new_mail(self, client: str) -> IncomingMail:
        """Return an empty mail; raise `Rejected` if the disk cannot hold one."""
        return IncomingMail(self._inlet.workdir, self._space, client)

    async def write(self, mail: IncomingMail, content: bytes) -> None:
        """Append to a mail; raise `Rejected` if there is no room."""
        await asyncio.wrap_future(self._writers.submit(mail.write, content))

    async def has_password(self, account: str, password: str, address: str) -> bool:
        """Ask the server for this password; raise `Rejected` if it does not answer now."""
        check = functools.partial(self._inlet.password, account, password, address=address)
        try:
            return await asyncio.wrap_future(self._checkers.submit(check))
        except Refused:  # a name that cannot be one
            return False
        except Exception as error:
            raise Rejected("454 4.7.0", "passwords cannot be checked now; try again later") from error

    async def store(self, mail: IncomingMail, submission: MailSubmission, free: Callable[[], None]) -> None:
        """Make the jobs of a mail; raise `Rejected` unless all of them are stored.

        They are made also if the client leaves: it sends the mail again, and gets what it has missed.
        """
        loop = asyncio.get_running_loop()
        client = submission.sender.address
        try:
            await self._turns.take(client)
        except BaseException:  # the client has left before
            mail.close()
            free()
            raise

        def end() -> None:
            self._turns.give_back(client)
            free()

        def made(_: Future[None]) -> None:
            mail.close()
            with contextlib.suppress(RuntimeError):  # the source has stopped meanwhile
                loop.call_soon_threadsafe(end)

        try:
            making = self._makers.submit(self._make, mail, submission)
        except RuntimeError as error:
            mail.close()
            end()
            raise Rejected(LATER, "the server stops; try again later") from error
        making.add_done_callback(made)
        made_here = asyncio.wrap_future(making)
        self._making.add(made_here)
        made_here.add_done_callback(self._made)
        await asyncio.shield(made_here)

    def _made(self, making: asyncio.Future[None]) -> None:
        self._making.discard(making)
        if not making.cancelled():
            making.exception()  # for nobody, if the client has left

    def _make(self, mail: IncomingMail, submission: MailSubmission) -> None:
        """Make the jobs; raise `Rejected`, and nothing else: what is not stored may come again."""
        try:
            self._make_jobs(mail, submission)
        except Rejected:
            raise
        except (Exception, Cancelled) as error:
            reason = f"{type(error).__name__}: {error}"
            self.log("mail not stored", "error", source=submission.sender.address, reason=reason)
            raise Rejected(LATER, "the mail cannot be stored now; try again later") from error

    def _make_jobs(self, mail: IncomingMail, submission: MailSubmission) -> None:
        subject = screen(mail.content).subject
        files = pages(mail.content, mail, self._rules)
        stored: list[str] = []
        for destination, recipient in submission.destinations.items():
            try:
                self._make_job(mail, submission, destination, subject, files)
            except Rejected as rejected:
                raise _with_stored(rejected, recipient, stored) from rejected
            stored.append(recipient)

    def _make_job(
        self, mail: IncomingMail, submission: MailSubmission, destination: str, subject: str, files: Sequence[Path]
    ) -> None:
        """Make one job; return when it is stored, now or earlier. Raise `Rejected` if it is not."""
        sender = submission.sender
        try:
            with self._inlet.job(
                key=submission.key(destination, mail.sha256),
                destination=destination,
                proof=sender.proof,
                subject=sender.subject,
                account=sender.account,
                name=subject,
                remember_seconds=REMEMBERED,
            ) as job:
                for file in files:
                    job.page_from(file, whole=True)
        except Taken as taken:
            self.log("mail came again", job=taken.token, source=sender.address)
        except Busy as busy:
            raise Rejected(NO_ROOM if busy.full else BUSY, f"{busy}; try again later") from busy
        except Refused as refused:
            raise Rejected(NOT_WANTED, str(refused)) from refused
        except Ended as ended:
            with contextlib.suppress(Busy, Refused):
                job.told("stopped")  # a client that is rejected for good sends nothing more
            raise Rejected(NOT_WANTED, f"the job was cancelled: {ended}") from ended


def _with_stored(rejected: Rejected, recipient: str, stored: Sequence[str]) -> Rejected:
    """Return the rejection of a mail that has several recipients, some of which have their jobs.

    A client that comes again finds those taken, so that they are no second job.
    """
    if not stored:
        return rejected
    return Rejected(rejected.code, f"stored for {', '.join(stored)}, not for {recipient}: {rejected.text}")
