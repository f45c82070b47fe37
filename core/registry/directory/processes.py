"""Scan processes for a user: those of the folder come first, and no directory is asked about them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from postscan.core.filters.directory.messages import ProcessAnswer, RefusedAnswer
from postscan.core.model.process import ScanProcess
from postscan.core.registry.directory.directory import Directories
from postscan.core.registry.directory.users import KnownUser

FOLDER = "folder"
"""Stands for the plugin of a process of the folder."""


class StoredProcesses(Protocol):
    """What reads scan processes."""

    def find(self, identifier: str) -> ScanProcess | None:
        """Return the process of the folder with this GUID or None; raise `StoredProcessInvalid` if it is broken."""

    def read(self, identifier: str, display_name: str, xml: str) -> ScanProcess | None:
        """Return the process of a document of a directory; None if it is that of another server.

        Raises `StoredProcessInvalid`.
        """


class ProcessForUser(NamedTuple):
    """A scan process, or why the user may not use it; `why` is why the user may, `plugin` who has it."""

    process: ScanProcess | None
    refused: str = ""
    why: str = ""
    note: str = ""
    plugin: str = FOLDER


class ProcessLookup:
    """Finds scan processes. `find` may block for `directory.answer_seconds`."""

    def __init__(self, processes: StoredProcesses, directory: Directories) -> None:
        self._processes = processes
        self._directory = directory

    def find(self, caller: str, identifier: str, known: KnownUser) -> ProcessForUser | None:
        """Return the process with this GUID as far as *known* may use it; None if there is none.

        Raises `StoredProcessInvalid`, `Unavailable`.
        """
        process = self._processes.find(identifier)
        if process is not None:
            if process.open_to(known.user, known.groups):
                return ProcessForUser(process, why=_why(process, known))
            return ProcessForUser(None, "the process does not list this user")
        found = self._directory.process(caller, identifier, known.question)
        if found is None:
            return None
        if isinstance(found.answer, RefusedAnswer):
            return ProcessForUser(None, found.answer.reason or "the directory refuses it", plugin=found.plugin)
        if not isinstance(found.answer, ProcessAnswer) or found.answer.process is None:
            return None
        stored = found.answer.process
        process = self._processes.read(stored.identifier, stored.display_name, stored.xml)
        if process is None:
            return ProcessForUser(None, "its ScanRepository names another server", plugin=found.plugin)
        return ProcessForUser(process, why=stored.why or "its directory says so", note=found.note, plugin=found.plugin)


def _why(process: ScanProcess, known: KnownUser) -> str:
    if not process.users:
        return "it is for all users"
    named = sorted(process.users & {known.user.sid, known.user.name, *known.groups})
    return f"it lists {', '.join(named)}"
