"""A directory in a JSON file, which is read at each question, and the faults that a test writes into the same file.

`users` are tables by login name, `processes` tables by GUID; `members` of a process are the SIDs that may use it.
`fault` is what happens at each question: see `_fail`.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postscan.plugins import (
    AccessRefused,
    DirectoryAway,
    DirectoryProcess,
    DirectoryUser,
    Hooks,
    HooksContext,
    hookimpl,
    setting,
)


@dataclass(frozen=True)
class Settings:
    """Where the directory is."""

    file: str
    trace: str = ""
    password: str = setting(default="", secret=True)

    def __post_init__(self) -> None:
        if not self.file.endswith(".json"):
            raise ValueError("file: expected a JSON file")


class Staff(Hooks):
    """Users and scan processes of a JSON file."""

    title = "Staff"
    at_once = 4
    Settings = Settings

    def __init__(self, context: HooksContext) -> None:
        super().__init__(context)
        self._file = Path(context.settings.file)

    def diagnose(self) -> Iterator[str]:
        """Say that the file is away."""
        if self._read().get("fault") == "away":
            yield "the directory does not answer: it is away"

    @hookimpl
    def postscan_find_user(self, sid: str = "", upn: str = "", login: str = "") -> DirectoryUser | None:
        """Look into the file."""
        found = self._asked("user", sid or upn or login)
        if found.get("fault") == "lie":
            return DirectoryUser(sid=found["lie"], name="eve@fabrikam.example")
        for name, user in found.get("users", {}).items():
            if sid == user["sid"] or (upn and upn == user.get("upn")) or (login and login == name):
                return _user(name, user)
        return None

    @hookimpl
    def postscan_find_process(self, identifier: str, user: DirectoryUser) -> DirectoryProcess | None:
        """Look into the file."""
        found = self._asked("process", identifier).get("processes", {}).get(identifier)
        if found is None:
            return None
        names = sorted({user.sid, *user.groups} & set(found["members"]))
        if not names:
            raise AccessRefused(f"none of its members is {user.name}")
        process = _process(identifier, found)
        return dataclasses.replace(process, why=f"{names[0]} is a member")

    @hookimpl
    def postscan_processes(self, user: DirectoryUser) -> list[DirectoryProcess]:
        """Look into the file."""
        found = self._asked("processes", user.sid).get("processes", {})
        return [_process(id, one) for id, one in found.items() if {user.sid, *user.groups} & set(one["members"])]

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._file.read_text())
        return found

    def _asked(self, kind: str, what: str) -> dict[str, Any]:
        """Trace the question, do what a fault says, and return the file."""
        if self.context.settings.trace:
            with Path(self.context.settings.trace).open("a") as trace:
                trace.write(f"{kind} {what}\n")
        found = self._read()
        self._fail(found.get("fault", ""), found)
        return found

    def _fail(self, fault: str, found: dict[str, Any]) -> None:
        match fault:
            case "away":
                raise DirectoryAway("no connection")
            case "hang":
                time.sleep(3600)
            case "wait":  # until the test has written another fault
                while self._read().get("fault") == "wait":
                    time.sleep(0.02)
                raise DirectoryAway("it took too long")
            case "die":
                os._exit(7)
            case "raise":
                raise RuntimeError("a bug")
            case "slow":
                time.sleep(0.2)
            case "flood":
                _send(b'{"type": "log", "level": "info", "message": "' + b"x" * (10 << 20))
            case "malformed":
                _send(b"no message\n")
            case "unasked":
                _send(b'{"type": "user-is", "id": 4000000, "user": null}\n')


class Second(Staff):
    """The same again, asked behind the first."""

    title = "Second"


def _user(login: str, user: dict[str, Any]) -> DirectoryUser:
    known = {"name": f"{login}@fabrikam.example", "login": login} | user
    return DirectoryUser(**known | {"groups": tuple(known.get("groups", ()))})


def _process(identifier: str, found: dict[str, Any]) -> DirectoryProcess:
    kept = {key: value for key, value in found.items() if key != "members"}
    return DirectoryProcess(**{"identifier": identifier} | kept)


def _send(data: bytes) -> None:
    """Write to the socket of the server, past everything that keeps an honest plugin from it."""
    from postscan.core.workers.orders.hooks import HooksConnection

    for one in gc.get_objects():
        if isinstance(one, HooksConnection):
            one._channel.sendall(data)  # the test's plugin is hostile
