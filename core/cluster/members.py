"""A process as a member of a cluster: how it joins, which jobs it may run, and when it stops its own filters."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from postscan.core.clock import Clock
from postscan.core.cluster.job_locks import ENDED_SECONDS, BeatWatch, is_left
from postscan.core.cluster.listener import MemberListener
from postscan.core.cluster.wakeups import MemberWakeups
from postscan.core.errors import SettingsError
from postscan.core.model.job import JobToken
from postscan.core.settings import Settings
from postscan.core.store.cluster.members import Member
from postscan.core.store.cluster.session import MemberSession
from postscan.core.store.cluster.turns import JobInProgress
from postscan.core.store.database.file_lock import LockHeld
from postscan.core.store.database.session_lock import LOCK_SECONDS, session_name
from postscan.core.store.store import Store

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
"""Seconds between two looks at the age of the own beat."""

STOP_MARGIN: Final = 2.0
"""Seconds before the end of its lease, beside those that filters take to stop, at which a member suspends its jobs."""

FORGET_SECONDS: Final = 86_400.0
"""A member that has not been seen for so long, and holds no job, is removed."""

_FOLDER_ID: Final = "member-id"
_RETRY: Final = 0.1  # seconds


class Membership:
    """The membership of one process, from `joined` to the end of its body: an adapter of the port `JobLocks`.

    *taken* is called with the name of a server that has taken the database for itself meanwhile.
    """

    def __init__(self, settings: Settings, store: Store, clock: Clock, taken: Callable[[str], None]) -> None:
        running, cluster = settings.running, settings.cluster
        self.member = Member(
            id=str(uuid.uuid4()),
            name=cluster.name or socket.gethostname(),
            role="",
            version=metadata.version("postscan"),
            folder="",
            settings=settings_hash(settings),
        )
        self._store = store
        self._data_dir = settings.storage.data_dir
        self._lease = cluster.lease_seconds
        self._held_seconds = self._lease - running.grace_seconds - running.term_seconds - STOP_MARGIN
        self._beats = BeatWatch(clock)
        self._session_name = session_name()
        self._listener = MemberListener(self._open_session, self._receive, taken, clock)
        self.wakeups = MemberWakeups(store, self._listener)

    @contextlib.contextmanager
    def joined(self, role: str, suspend: Callable[[], None]) -> Iterator[None]:
        """Be a member while the body runs, which ends behind its last filter; *role* is what the process does.

        *suspend* is called, in another thread, when the filters that run here must be stopped: the others will soon
        resume their jobs. Raises `StoreBusy`; `SettingsError` if a server uses the database alone.
        """
        self.member = self.member._replace(role=role, folder=_folder_id(self._data_dir))
        self._start()
        stopped = threading.Event()
        watch = threading.Thread(target=self._watch, args=(suspend, stopped), name="postscan-lease", daemon=True)
        watch.start()
        try:
            self._compare_settings()
            yield
        finally:
            stopped.set()
            watch.join()
            self._listener.stop()

    def are_others_alive(self) -> bool:
        """Return whether another member is alive, or may be: its session is open, or it was seen within its lease.

        An earlier process on the same data folder has ended. Raises `StoreBusy`.
        """
        beats = [one for one in self._store.members() if one.member.id != self.member.id]
        locked = self._store.locked_members([one.member for one in beats]) if beats else set()
        return any(
            one.member.id in locked or (one.age <= self._lease and not self._is_before(one.member)) for one in beats
        )

    def forget(self) -> None:
        """Remove the rows of members that ended long ago. Raises `StoreBusy`."""
        self._store.forget_members(FORGET_SECONDS)

    # --- the jobs ------------------------------------------------------------------------------------------------

    @property
    def holder(self) -> str:
        """The identifier of this member."""
        return self.member.id

    @property
    def is_held(self) -> bool:
        """Whether the filters that run here can still be stopped before the others resume their jobs."""
        return self._listener.beat_age < self._held_seconds

    def left(self, jobs: Sequence[JobInProgress]) -> Collection[JobToken]:
        """Return those of the jobs whose holders have ended, or have not been seen for their lease."""
        connected = self._listener.connected_for
        found = self._store.members()
        silence = self._beats.silence(found, connected)
        before = {one.member.id for one in found if self._is_before(one.member)}
        quiet = [one.member for one in found if silence[one.member.id] > ENDED_SECONDS or one.member.id in before]
        locked = self._store.locked_members(quiet) if quiet else set()

        def may_resume(job: JobInProgress) -> bool:
            holder = job.holder
            if holder not in silence or (holder in before and holder not in locked):
                return True  # it has left in order, or was here before, and its processes were ended
            is_locked = holder in locked
            return is_left(job, silence[holder], is_locked=is_locked, connected=connected, lease=self._lease)

        return [job.token for job in jobs if may_resume(job)]

    def _is_before(self, other: Member) -> bool:
        """Return whether a member is an earlier process on the data folder of this one, which one process can lock."""
        return other.folder == self.member.folder and other.id != self.member.id

    # --- threads -------------------------------------------------------------------------------------------------

    def _watch(self, suspend: Callable[[], None], stopped: threading.Event) -> None:
        """Suspend the jobs once each time that the others have not seen this member for too long."""
        was_held = True
        while not stopped.wait(LOOK_SECONDS):
            is_held = self.is_held
            if was_held and not is_held:
                about = {"seconds": round(self._listener.beat_age, 1), "lease_seconds": self._lease}
                log.error("member cut off from the database: its filters are stopped", extra=about)
                suspend()
            was_held = is_held

    def _start(self) -> None:
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self._listener.start()
            except LockHeld as error:
                if time.monotonic() > until:
                    reason = f"a postscan server uses this database alone: {error.holder}"
                    raise SettingsError(f"{self._store.name}: {reason}; expected cluster.members = several") from None
            else:
                return
            time.sleep(_RETRY)

    def _compare_settings(self) -> None:
        """Log which living members have other settings, of those that must be the same."""
        for one in self._store.members():
            if one.age <= self._lease and one.member.settings != self.member.settings:
                about = {
                    "member": one.member.name,
                    "reason": "administrators, limits, lease or disabled plugins differ",
                }
                log.warning("member has other settings", extra=about)

    def _open_session(self) -> MemberSession:
        return self._store.open_session(self.member, self._session_name)

    def _receive(self, text: str) -> None:
        self.wakeups.receive(text)


def settings_hash(settings: Settings) -> str:
    """Return a hash of the settings that must be the same in all members."""
    same = (
        sorted(settings.identity.administrators),
        settings.limits.model_dump(mode="json"),
        settings.cluster.lease_seconds,
        sorted(settings.plugins.disabled),
    )
    return hashlib.sha256(repr(same).encode()).hexdigest()


def _folder_id(data_dir: Path) -> str:
    """Return the random identifier of a data folder, which is stored in it at the first call."""
    file, part = data_dir / _FOLDER_ID, data_dir / f"{_FOLDER_ID}.part"
    with contextlib.suppress(FileNotFoundError, ValueError):
        return str(uuid.UUID(file.read_text().strip()))
    identifier = str(uuid.uuid4())
    with part.open("w") as opened:
        opened.write(identifier)
        opened.flush()
        os.fsync(opened.fileno())
    part.rename(file)
    return identifier
