"""The hooks: who users are, and which scan processes there are, as a directory says."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from postscan.plugins import (
    AccessRefused,
    DirectoryAway,
    DirectoryProcess,
    DirectoryUser,
    Hooks,
    HooksContext,
    hookimpl,
)
from postscan.plugins.directory.settings import Settings

if TYPE_CHECKING:
    from postscan.plugins.directory.directory import DirectoryReader

MARGIN: Final = 0.8  # the part of the time for an answer that the directory has; the rest brings it to the server
MOST_PROCESSES: Final = 500  # in one answer
DIAGNOSIS_SECONDS: Final = 8.0


class LdapDirectory(Hooks):
    """Users and scan processes of Active Directory, or of OpenLDAP with the schema of docs/directory.md."""

    title = "Directory (LDAP)"
    at_once = 4
    Settings = Settings

    def __init__(self, context: HooksContext) -> None:
        super().__init__(context)
        self._lock = threading.Lock()
        self._opened: DirectoryReader | None = None

    def requires(self) -> Iterable[str]:
        """Name the package that is missing."""
        if importlib.util.find_spec("sansldap") is None:
            yield "sansldap is not installed; pip install 'postscan[ldap]'"

    def diagnose(self) -> Iterable[str]:
        """Ask each server for itself: connect, log in, read the container of scan processes."""
        yield from self._directory.diagnose(DIAGNOSIS_SECONDS)

    def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            self._opened.close()

    @hookimpl
    def postscan_find_user(self, sid: str = "", upn: str = "", login: str = "") -> DirectoryUser | None:
        """Return the user with this SID, user principal name or login name."""
        return self._directory.find_user(self._seconds, sid=sid, upn=upn, login=login)

    @hookimpl
    def postscan_find_process(self, identifier: str, user: DirectoryUser) -> DirectoryProcess | None:
        """Return the scan process if the user may read it, by the groups that the user has in the directory now."""
        found = self._directory.find_process(self._seconds, identifier, user.sid)
        if found is not None and not found.permission.granted:
            raise AccessRefused(found.permission.why)
        return None if found is None else found.process

    @hookimpl
    def postscan_processes(self, user: DirectoryUser) -> Iterable[DirectoryProcess] | None:
        """Return the scan processes that the user may read, without their XML."""
        found = [one.process for one in self._directory.processes(self._seconds, user.sid) if one.permission.granted]
        if len(found) > MOST_PROCESSES:
            raise DirectoryAway(f"{user.name} may use {len(found)} scan processes; expected at most {MOST_PROCESSES}")
        return found

    @property
    def _seconds(self) -> float:
        return self.context.seconds * MARGIN

    @property
    def _directory(self) -> DirectoryReader:
        """The directory of the settings, made at the first question: its package may be missing."""
        with self._lock:
            if self._opened is None:
                from postscan.plugins.directory.directory import DirectoryReader

                self._opened = DirectoryReader(self.context.settings)
            return self._opened
