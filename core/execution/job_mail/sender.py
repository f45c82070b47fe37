"""Find the jobs that have failed or are held, and send a mail to their users: a thread beside the jobs.

The database is the queue. What happened is found behind a cursor, and stored with the cursor as mails to be sent; a
mail is deleted when the server has taken it. So a stop loses none and repeats none. A killed server may repeat the one
that it was sending, and so may a connection that broke at the end of a mail; the second copy has the same Message-ID.
While the mail server is away all mails wait, and one line of the log says so. A mail about a job that is not there any
more is not sent.
"""

from __future__ import annotations

import logging
import threading
from email.message import EmailMessage
from typing import Final, Protocol

from postscan.core.clock import Clock
from postscan.core.cluster.leadership import AlwaysLeader, Leadership
from postscan.core.errors import JobNotFound, StoreBusy
from postscan.core.execution.job_mail import texts
from postscan.core.execution.job_mail.smtp import JobMailServer, MailPostponed, MailRefused, MailServerAway
from postscan.core.model.rate_limit import RateLimit
from postscan.core.settings import Settings
from postscan.core.store.callers import job_mail
from postscan.core.store.callers.job_mail import JobMail
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 2.0
"""Seconds between two looks at the events."""

MOST_WAITING: Final = 1000
"""Mails that are stored; while there are so many, no further events are looked at."""

MOST_TRIES: Final = 14
"""How often the server may refuse one mail for now; the pauses between the tries are a day in all."""

STOP_SECONDS: Final = 1.0
"""How long a stop waits for a mail that is being sent; then its connection is shut down, and it waits once more."""

_AT_ONCE: Final = 20  # mails of one round
_FIRST_PAUSE: Final = 60.0  # seconds; each is twice the one before
_LONGEST_PAUSE: Final = 4 * 3600.0
_AWAY_PAUSE: Final = 10.0
_LONGEST_AWAY_PAUSE: Final = 300.0
_CURSOR_SECONDS: Final = 60.0  # between two writes of a cursor behind which nothing was found


class MailTransport(Protocol):
    """Sends mails."""

    def send(self, mail: EmailMessage) -> None:
        """Send a mail. Raises `MailRefused`, `MailPostponed`, `MailServerAway`."""

    def abort(self) -> None:
        """Let a mail that is being sent fail; from any thread."""


class JobMailSender:
    """Sends from `start` to `stop`, while this process leads. Stop it before the store.

    Without a mail server in the settings it does nothing.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        server: MailTransport | None = None,
        leadership: Leadership | None = None,
    ) -> None:
        self._leadership = leadership or AlwaysLeader()
        self._settings = settings
        self._store = store
        self._clock = clock
        self._server = server or JobMailServer(settings.job_mail)
        self._sent_to = RateLimit(settings.job_mail.per_hour, 3600.0, clock.ticks)
        self._told = RateLimit(1, 3600.0, clock.ticks)  # users about whom the log has a line
        self._cursor: int | None = None
        self._stored_at = 0.0
        self._sent: set[int] = set()  # mails that are sent, and are still in the database
        self._failures = 0
        self._not_before = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="postscan-job-mail", daemon=True)

    def use(self, settings: Settings) -> None:
        """Work with the users of these settings from now on."""
        self._settings = settings

    def start(self) -> None:
        """Begin behind the event to which the last server has come; behind the newest if it has sent no mails."""
        if self._settings.job_mail.host:
            self._thread.start()
        else:
            self._forget()

    def stop(self) -> None:
        """Send no further mail; wait for the one that is being sent."""
        self._stopped.set()
        if not self._thread.is_alive():
            return
        self._thread.join(STOP_SECONDS)
        self._server.abort()
        self._thread.join(STOP_SECONDS)

    def work(self) -> None:
        """Find what happened, and send what is due. Raises `StoreBusy`."""
        if not self._leadership.is_leader:
            self._cursor = None  # another process stores it now
            return
        self._find()
        if self._clock.ticks() >= self._not_before:
            self._send()

    def _loop(self) -> None:
        while True:
            try:
                self.work()
            except StoreBusy:
                pass  # the store has logged it
            except Exception:  # an unknown error must not end all mails
                log.exception("mails about jobs delayed")
            if self._stopped.wait(POLL_SECONDS):
                return

    def _forget(self) -> None:
        """Delete the cursor, so that mails that are wanted later begin with what happens then."""
        try:
            with self._store.reading() as db:
                is_known = job_mail.cursor(db) is not None
            if is_known:
                with self._store.writing() as db:
                    job_mail.forget(db)
        except StoreBusy as error:
            log.warning("mails about jobs not forgotten", extra={"reason": str(error)})

    # --- what happened -------------------------------------------------------------------------------------------

    def _find(self) -> None:
        """Store the mails about what happened since the last look, with the cursor behind it."""
        cursor = self._cursor if self._cursor is not None else self._begin()
        with self._store.reading() as db:
            found = job_mail.find(db, cursor)
            waiting = job_mail.count(db) if found.mails else 0
        wanted = [mail for mail in found.mails if self._is_wanted(mail)]
        if wanted and waiting >= MOST_WAITING:
            return
        now = self._clock.ticks()
        if wanted or (found.cursor > cursor and now >= self._stored_at + _CURSOR_SECONDS):
            with self._store.writing() as db:
                job_mail.add(db, wanted, found.cursor)
            self._stored_at = now
        self._cursor = found.cursor

    def _begin(self) -> int:
        with self._store.writing() as db:
            cursor = job_mail.cursor(db)
            if cursor is None:
                cursor = job_mail.newest(db)
                job_mail.write_cursor(db, cursor)
        return cursor

    def _is_wanted(self, mail: JobMail) -> bool:
        user = self._settings.users.get(mail.sid)
        return user is not None and user.job_mail and mail.kind in self._settings.job_mail.when

    # --- what is due ---------------------------------------------------------------------------------------------

    def _send(self) -> None:
        with self._store.reading() as db:
            due = job_mail.due(db, self._clock.ticks(), _AT_ONCE)
        for mail in due:
            if self._stopped.is_set():
                return
            try:
                self._handle(mail)
            except MailServerAway as error:
                self._pause(str(error))
                return

    def _handle(self, mail: JobMail) -> None:
        """Send a mail that is due, or find that it is not to be sent; then delete it. Raises `MailServerAway`."""
        message = None if mail.seq in self._sent else self._message(mail)
        if message is not None:
            try:
                self._server.send(message)
            except MailServerAway as error:
                if error.in_mail:
                    self._postpone(mail)  # else it would be the first one for ever
                raise
            except MailPostponed as error:
                if mail.tries + 1 < MOST_TRIES:
                    self._postpone(mail)
                    return
                log.warning("mail about a job given up", extra={"job": mail.token, "reason": str(error)})
            except MailRefused as error:
                log.warning("mail about a job refused", extra={"job": mail.token, "reason": str(error)})
            else:
                self._sent_to.take(mail.sid)
            self._resume()
        self._sent.add(mail.seq)  # if it cannot be deleted now, it is not sent again
        with self._store.writing() as db:
            job_mail.remove(db, mail)
        self._sent.discard(mail.seq)

    def _message(self, mail: JobMail) -> EmailMessage | None:
        """Return a mail; None if it is not to be sent any more."""
        if not self._is_wanted(mail):
            return None
        try:
            job = self._store.load(mail.token)
        except JobNotFound:
            return None
        if not texts.is_due(mail, job):
            return None
        if self._sent_to.wait(mail.sid):
            if not self._told.take(mail.sid):
                log.warning("too many mails about jobs of a user", extra={"user": mail.sid, "job": mail.token})
            return None
        recipient = self._settings.users[mail.sid].mail
        return texts.message(mail, job, self._settings.job_mail.sender, recipient, self._settings.console.public_url)

    def _postpone(self, mail: JobMail) -> None:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(mail.tries, 10))
        with self._store.writing() as db:
            job_mail.postpone(db, mail, self._clock.ticks() + pause)

    def _pause(self, reason: str) -> None:
        """Wait before the next mail; the first time in an outage, log why."""
        if not self._failures:
            log.warning("mail server away: mails about jobs wait", extra={"reason": reason})
        pause = min(_LONGEST_AWAY_PAUSE, _AWAY_PAUSE * 2 ** min(self._failures, 10))
        self._failures += 1
        self._not_before = self._clock.ticks() + pause

    def _resume(self) -> None:
        if self._failures:
            log.info("mail server back", extra={"failures": self._failures})
        self._failures = 0
        self._not_before = 0.0
