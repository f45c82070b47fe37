"""The test kit for plugins of hooks: what it accepts, and each defect that it finds."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
from documents import blocks

from postscan.core.errors import PluginError
from postscan.plugins import AccessRefused, DirectoryAway, DirectoryProcess, DirectoryUser, Hooks, hookimpl
from postscan.plugins.testing import assert_hooks_contract, run_hooks

ANN = DirectoryUser("S-1-5-21-7-7-7-1001", "ann@fabrikam.example", login="ann")
GUID = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"


class Good(Hooks):
    """One user, and one process that is not for her."""

    title = "Good"
    at_once = 3

    @hookimpl
    def postscan_find_user(self, sid: str = "", upn: str = "", login: str = "") -> DirectoryUser | None:
        """Return Ann."""
        return ANN if sid == ANN.sid or login == ANN.login else None

    @hookimpl
    def postscan_find_process(self, identifier: str, user: DirectoryUser) -> DirectoryProcess | None:
        """Refuse it."""
        if identifier != GUID:
            return None
        raise AccessRefused("it is for others")

    @hookimpl
    def postscan_processes(self, user: DirectoryUser) -> list[DirectoryProcess]:
        """Return a process with a long name."""
        return [DirectoryProcess(GUID, "x" * 256, xml="<x/>")]


def test_a_good_plugin_passes() -> None:
    """And its answers are those of the server: names are cut, documents are left out of a list."""
    assert_hooks_contract(Good, known=ANN)
    with run_hooks(Good) as asked:
        (listed,) = asked.processes(ANN)
        missing = asked.find_process("7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7", ANN)
        with pytest.raises(AccessRefused, match="it is for others"):
            asked.find_process(GUID, ANN)

    assert (len(listed.display_name), listed.xml, missing) == (255, "", None)


def away(*_: object) -> None:
    """Fail as a directory that does not answer."""
    raise DirectoryAway("no connection")


def always(*_: object) -> DirectoryUser:
    """Answer with the same user, whoever was asked for."""
    return ANN


def forged(*_: object) -> DirectoryUser:
    """Answer with a group that is no SID."""
    return DirectoryUser(ANN.sid, ANN.name, login="ann", groups=("S-1-)(objectSid=*",))


def broken(*_: object) -> None:
    """Fail."""
    raise KeyError("mail")


@pytest.mark.parametrize(
    ("find", "error", "reason"),
    [
        (away, DirectoryAway, "no connection"),
        (always, AssertionError, "asked for the UPN"),
        (forged, AssertionError, "expected a SID"),
        (broken, AssertionError, "KeyError: 'mail'"),
    ],
)
def test_a_defect_is_found_with_its_reason(find: Callable[..., Any], error: type[Exception], reason: str) -> None:
    """The reason is that of the server's log."""

    class Bad(Good):
        @hookimpl
        def postscan_find_user(self, sid: str = "", upn: str = "", login: str = "") -> DirectoryUser | None:
            found: DirectoryUser | None = find(sid, upn, login)
            return found

    with pytest.raises(error, match=reason):
        assert_hooks_contract(Bad, known=ANN)


class NoHook(Hooks):
    """It has none."""

    title = "None"


class Misspelled(Hooks):
    """It has a hook of another name."""

    title = "Misspelled"

    @hookimpl
    def postscan_find_person(self) -> None:
        """Do nothing."""


class OtherVersion(Good):
    """It is for another postscan."""

    api = 2


class Endless(Good):
    """It takes no question."""

    at_once = 0


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (NoHook, "it has none of the hooks"),
        (Misspelled, "unknown hook 'postscan_find_person'"),
        (OtherVersion, "this postscan offers version 1"),
        (Endless, "expected a number from 1 on"),
    ],
)
def test_a_class_that_the_server_would_not_load_is_refused(kind: type[Hooks], reason: str) -> None:
    """By the same words."""
    with pytest.raises(PluginError, match=reason), run_hooks(kind):
        pass


def test_the_sample_of_the_page_passes_its_own_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/hooks.md: an author begins with both."""
    plugin, tests = blocks("docs/hooks.md", "python")
    module = types.ModuleType("acme_staff")
    monkeypatch.setitem(sys.modules, "acme_staff", module)
    exec(compile(plugin, "acme_staff.py", "exec"), module.__dict__)
    names: dict[str, Any] = {}
    exec(compile(tests, "test_acme_staff.py", "exec"), names)
    found = [name for name in names if name.startswith("test_")]
    for name in found:
        names[name]()

    assert len(found) == 2
