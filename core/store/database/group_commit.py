"""Group commit: changes that wait for the one writer share a transaction, and so one sync of the disk.

A change runs when it has the turn. If others wait when it has run, it passes on the turn with the open transaction and
waits for the outcome; the last one commits for all. A change that fails is undone to its savepoint, the others stay;
if it cannot be undone, nothing is committed.

Each change gets its own outcome, and none before the group has one: a change that failed may have seen what others of
its group have written, and that is true only when it is committed. An urgent change is committed without waiting for
others that are not.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import sqlalchemy as sa

from postscan.core.errors import OutcomeUnknown, StoreBusy, StoreFull
from postscan.core.store.database.backend import OUTCOME_SECONDS, UNTIL, Backend
from postscan.core.store.database.gate import Turn, Turns, all_entered
from postscan.core.store.database.translation import translated

MOST: Final = 16
"""Most changes of a group: the first one waits for the last, and other processes for all of them."""

Settle = Callable[[None, Exception, float], None]
"""Returns if a COMMIT that failed with this error has committed; else raises the error, or `OutcomeUnknown`."""


class GroupCommit:
    """The transactions of this process that write to a database with one writer."""

    def __init__(self, backend: Backend, settle: Settle) -> None:
        self._backend = backend
        self._settle = settle
        self._turns = Turns()
        self._open: _Group | None = None

    @contextlib.contextmanager
    def change(self, *, urgent: bool, until: float) -> Iterator[sa.Connection]:
        """Yield a transaction for one change, and return when it is committed; an exception inside undoes the change.

        Raises `StoreBusy` if nothing is changed, also if the transaction does not begin before `time.monotonic()` is
        *until*; `OutcomeUnknown` if that is not known.
        """
        turn, failure = self._turns.enter(urgent=urgent), None
        try:
            turn.wait(until)
            with translated():
                group = self._open = self._open or self._begun(turn, until)
                with group.savepoint():
                    yield group.db
        except BaseException as error:
            if turn.withdraw():
                raise
            failure = error
        self._leave(turn, failure, until)

    def _begun(self, turn: Turn, until: float) -> _Group:
        with contextlib.ExitStack() as opened:
            opened.enter_context(all_entered(self._backend.writers, urgent=turn.urgent, until=until))
            db = opened.enter_context(self._backend.writer.connect()).execution_options(**{UNTIL: until})
            return _Group(db, db.begin(), opened.pop_all())

    def _leave(self, turn: Turn, failure: BaseException | None, until: float) -> None:
        """Pass on the turn or end the group, and raise the outcome of this change."""
        group = self._open
        if group is None:  # it could not begin
            self._turns.end()
            assert failure is not None
            raise failure
        goes_on = False
        try:
            group.add(turn, failure)
            goes_on = group.takes_more and self._turns.pass_on(urgent=group.urgent)
        finally:
            if not goes_on:
                self._end(group, until)
        group.wait(failure, until)

    def _end(self, group: _Group, until: float) -> None:
        self._open = None
        try:
            group.end(self._settle, until)
        finally:
            self._turns.end()


class _Group:
    """The changes of one transaction, and their outcome. *opened* holds its connection."""

    def __init__(self, db: sa.Connection, transaction: sa.RootTransaction, opened: contextlib.ExitStack) -> None:
        self.db = db
        self.urgent = False
        self._transaction = transaction
        self._opened = opened
        self._size = self._kept = 0
        self._is_broken = False
        self._error: StoreBusy | None = None
        self._ended = threading.Event()

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the body has done if it raises. The first change needs no savepoint: there is nothing to keep."""
        if not self._size:
            yield
            return
        point = self.db.begin_nested()
        try:
            yield
            point.commit()
        except BaseException:
            self._undo(point)
            raise

    def _undo(self, point: sa.NestedTransaction) -> None:
        """Undo what was done since *point*. If that fails, the group commits nothing; the caller's error stays."""
        can_undo = point.is_active  # after a RELEASE that failed, SQLAlchemy sends no ROLLBACK TO
        self._is_broken = True
        with contextlib.suppress(Exception):
            point.rollback()
            self._is_broken = not can_undo

    @property
    def takes_more(self) -> bool:
        """Whether another change may follow in this transaction."""
        return self._kept > 0 and self._size < MOST and self._error is None

    def add(self, turn: Turn, failure: BaseException | None) -> None:
        """Count a change that has run. The group fails if the transaction has ended, or has what should be undone."""
        self._size += 1
        self._kept += failure is None
        self.urgent = self.urgent or turn.urgent
        if not self._is_sound():
            self._error = _error_of_all(failure)

    def end(self, settle: Settle, until: float) -> None:
        """Commit what is kept, or roll back if there is nothing, and let all changes go on."""
        try:
            with translated(), self._opened:
                if self._kept and self._error is None:
                    self._commit(settle, until)
        except StoreBusy as error:
            self._error = self._error or error
        except BaseException as error:
            self._error = OutcomeUnknown(f"the commit was interrupted: {error!r}")
            raise
        finally:
            self._ended.set()

    def wait(self, failure: BaseException | None, until: float) -> None:
        """Wait for the outcome; raise the *failure* of one change, or the error of the group.

        That is `OutcomeUnknown` if there is no outcome when `time.monotonic()` is *until*.
        """
        error = self._outcome(max(until - time.monotonic(), OUTCOME_SECONDS))
        if failure is None:
            if error is not None:
                raise type(error)(*error.args) from error
        elif error is None or self._kept == 0 or not _may_depend_on_others(failure):
            raise failure
        else:
            kind = StoreFull if isinstance(error, StoreFull) else StoreBusy
            raise kind(f"what this change may depend on is not known to be stored: {error}") from failure

    def _outcome(self, seconds: float) -> StoreBusy | None:
        if self._ended.wait(seconds):
            return self._error
        return OutcomeUnknown("the database does not answer: the commit of this change and others takes too long")

    def _commit(self, settle: Settle, until: float) -> None:
        if not self._is_sound():
            raise StoreBusy("the transaction ended before its commit")
        try:
            with self._transaction:
                pass
        except Exception as error:  # noqa: BLE001  (raised again, unless it has committed)
            settle(None, error, until)

    def _is_sound(self) -> bool:
        """Return whether all that the transaction has may be committed, and it is open: else COMMIT does nothing."""
        return not self._is_broken and self._is_open()

    def _is_open(self) -> bool:
        """Return whether the transaction is open.

        SQLite rolls it back by itself after some errors of the disk, and SQLAlchemy closes the connection when
        `SystemExit` or `KeyboardInterrupt` leaves a statement.
        """
        if not self._transaction.is_valid:
            return False
        sqlite: Any = self.db.connection.dbapi_connection
        return bool(sqlite.in_transaction)


def _error_of_all(failure: BaseException | None) -> StoreBusy:
    """Return the error of a group that this *failure* of one change has ended."""
    if isinstance(failure, StoreBusy):
        return failure
    return StoreBusy("the transaction has ended" if failure is None else f"another change failed: {failure!r}")


def _may_depend_on_others(failure: BaseException) -> bool:
    """Return whether a change may have failed because of what others of its group have written."""
    return isinstance(failure, Exception) and not isinstance(failure, StoreBusy)
