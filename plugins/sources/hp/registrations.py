"""The destinations of this inlet at the panel of its device: one for each, also after a kill at any moment.

What is about to be registered is written into the folder of the inlet first, so that a later process knows what may be
its own. A destination at the device is ours if it has the Name and the Hostname that we give it, or the path that we
were told for them: devices may cut names. Source: escl.md section 8; ESCL-051, ESCL-052, ESCL-058.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from postscan.plugins import Destination
from postscan.plugins.sources.escl.errors import DeviceRefused
from postscan.plugins.sources.hp.client import WalkupClient
from postscan.plugins.sources.hp.documents import RegisteredDestination, WalkupKind, WalkupLimits, is_same

FILE: Final = "registrations.json"
"""File in the folder of the inlet with what it has, or is about to have, at its device."""

TRIES: Final = 3
"""How often a destination is registered at a device that does not list it afterwards."""

_MOST: Final = 64  # records of a file that are read


@dataclass(frozen=True)
class WantedDestination:
    """A destination of the inlet with the two names under which it may stand at the panel.

    The second one is used where another computer has the first.
    """

    destination: Destination
    name: str
    other_name: str
    host: str

    @classmethod
    def of(cls, destination: Destination, host: str) -> WantedDestination:
        """Return what is registered for a destination."""
        return cls(destination, destination.label, f"{destination.label} ({host})", host)

    @property
    def id(self) -> str:
        """The identifier of the destination."""
        return self.destination.id

    def record(
        self, found: RegisteredDestination, recorded: Iterable[RegisteredDestination]
    ) -> RegisteredDestination | None:
        """Return one that a device lists as it was registered; None if it is not for this destination."""
        for name in (self.name, self.other_name):
            if (found.name, found.host) == (name, self.host):
                return found
            known = RegisteredDestination(found.path, name, self.host)
            if known in recorded and _is_cut(found, known):
                return known
        return None


class Registrations:
    """The registrations of one inlet; `notes` are sentences about what the device does not show.

    `check` makes them at a device, and may be repeated as often as one likes.
    """

    def __init__(self, folder: Path, wanted: Iterable[WantedDestination]) -> None:
        self._file = folder / FILE
        self._all = list(wanted)
        self._recorded = _read(self._file)
        self._unlisted: Counter[str] = Counter()
        self._paths: dict[str, Destination] = {}
        self.notes: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """How many are at the device."""
        return len(self._paths)

    def destination(self, path: str) -> Destination | None:
        """Return the destination that is registered under this path; None for that of another computer."""
        return next((one for known, one in self._paths.items() if is_same(known, path)), None)

    def check(self, client: WalkupClient, kind: WalkupKind, limits: WalkupLimits) -> None:
        """Register what is missing, and remove what is there twice or not wanted any more. Raises `ScannerError`."""
        wanted = self._all[: limits.destinations]
        notes = []
        if wanted != self._all:
            notes.append(f"the device takes {limits.destinations} destinations of {len(self._all)}")
        listed = list(client.destinations(kind))
        found = self._found(client, wanted, listed)
        made = []
        for each in wanted:
            if each.id not in found:
                try:
                    found[each.id] = self._register(client, kind, limits, each, listed)
                except DeviceRefused as error:
                    notes.append(str(error))
                else:
                    listed.append(found[each.id])
                    made.append(each)
        if made:
            self._look_for(made, client.destinations(kind), found)
        self._paths = {found[each.id].path: each.destination for each in wanted if each.id in found}
        self._write(found.values())
        self.notes = tuple(notes)

    def remove_all(self, client: WalkupClient) -> None:
        """Remove all of them from the device. Raises `ScannerError`; what was removed is not tried again then."""
        for path in list(self._paths):
            if client.remove(path):
                del self._paths[path]
                self._write([one for one in self._recorded if one.path != path])

    # --- one destination -----------------------------------------------------------------------------------------

    def _found(
        self, client: WalkupClient, wanted: Iterable[WantedDestination], listed: list[RegisteredDestination]
    ) -> dict[str, RegisteredDestination]:
        """Return what the device has of the wanted, by identifier; remove further ones of ours, also from *listed*.

        Of two for one destination that stays whose path we have been told.
        """
        told = {one.path for one in self._recorded}
        found: dict[str, RegisteredDestination] = {}
        for one in sorted(listed, key=lambda one: one.path not in told):
            fitting = ((each.id, each.record(one, self._recorded)) for each in wanted)
            id, record = next(((id, record) for id, record in fitting if record is not None), ("", None))
            if record is not None and id not in found:
                found[id] = record
            elif (record is not None or self._is_left_over(one)) and client.remove(one.path):
                listed.remove(one)
        return found

    def _register(
        self,
        client: WalkupClient,
        kind: WalkupKind,
        limits: WalkupLimits,
        each: WantedDestination,
        listed: list[RegisteredDestination],
    ) -> RegisteredDestination:
        if len(listed) >= limits.destinations:
            raise DeviceRefused(f"the panel has no room for {each.name!r}: other computers fill it")
        if self._unlisted[each.id] >= TRIES:
            raise DeviceRefused(f"the device does not list {each.name!r}, however often it takes it")
        taken = {one.name for one in listed}
        name = each.other_name if each.name in taken else each.name
        if name in taken:
            raise DeviceRefused(f"other computers have {each.name!r} and {each.other_name!r} at the panel")
        self._write([*self._recorded, RegisteredDestination("", name, each.host)])
        made = RegisteredDestination(client.register(kind, name, each.host), name, each.host)
        self._write([*self._recorded, made])
        return made

    def _look_for(
        self,
        made: Iterable[WantedDestination],
        listed: Iterable[RegisteredDestination],
        found: dict[str, RegisteredDestination],
    ) -> None:
        """Take from a list of the device what was registered just now, and count what is not in it.

        A device that took it every time and never listed it would be full of it at last.
        """
        for each in made:
            records = (each.record(one, self._recorded) for one in listed)
            record = next((one for one in records if one is not None), None)
            if record is not None:
                found[each.id] = record
                del self._unlisted[each.id]
            else:
                self._unlisted[each.id] += 1
                if not found[each.id].path:
                    del found[each.id]

    def _is_left_over(self, found: RegisteredDestination) -> bool:
        """Return whether it is one that an earlier process has registered, for a destination that is gone."""
        return any((one.name, one.host) == (found.name, found.host) or _is_cut(found, one) for one in self._recorded)

    # --- the file ------------------------------------------------------------------------------------------------

    def _write(self, recorded: Iterable[RegisteredDestination]) -> None:
        """Store what is, or may be, at the device; return when it is on the disk."""
        new = list(dict.fromkeys(recorded))
        if new == self._recorded and self._file.exists():
            return
        self._recorded = new
        data = json.dumps([{"path": one.path, "name": one.name, "host": one.host} for one in new])
        draft = self._file.with_suffix(".new")
        with draft.open("w") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._file)


def _is_cut(found: RegisteredDestination, recorded: RegisteredDestination) -> bool:
    """Return whether a destination has a recorded path, and names of which each is the begin of the recorded one."""
    is_ours = recorded.name.startswith(found.name) and recorded.host.startswith(found.host)
    return bool(recorded.path) and found.path == recorded.path and bool(found.name) and is_ours


def _read(file: Path) -> list[RegisteredDestination]:
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found: Any = json.loads(file.read_text())
        if isinstance(found, list):
            return [one for one in map(_record, found[:_MOST]) if one is not None]
    return []


def _record(found: object) -> RegisteredDestination | None:
    if isinstance(found, Mapping) and all(isinstance(found.get(one), str) for one in ("path", "name", "host")):
        return RegisteredDestination(found["path"], found["name"], found["host"])
    return None
