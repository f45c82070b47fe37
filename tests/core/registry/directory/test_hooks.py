"""A plugin of hooks in its process: answers, faults, and what the server does about them. T-L20, T-L21."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import databases
import pytest
import staff
from conftest import AnyProcess
from staff import ANN, BOB, INVOICES, SCANNERS, Staff
from works import until

from postscan.core.engine import Engine
from postscan.core.errors import Unavailable
from postscan.core.filters.directory.messages import ProcessAnswer, RefusedAnswer, UserAnswer
from postscan.core.filters.directory.values import DirectoryUser
from postscan.core.registry.directory.hooks_thread import HooksState
from postscan.core.settings import Settings

Answering = Callable[..., contextlib.AbstractContextManager[Engine]]


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Staff:
    """A directory with Ann, who may scan invoices by a group."""
    monkeypatch.syspath_prepend(str(staff.OUTSIDE))
    found = Staff(tmp_path)
    found.add("ann", ANN, mail="ann@fabrikam.example", upn="ann@fabrikam.example", groups=[SCANNERS])
    found.add("bob", BOB)
    found.process(INVOICES, members=(SCANNERS,), xml="<x/>")
    return found


@pytest.fixture
def answering(people: Staff, settings: Settings) -> Answering:
    """Run the plugin, and no jobs."""

    @contextlib.contextmanager
    def run(*names: str, **directory: Any) -> Iterator[Engine]:
        databases.migrated(settings.storage.url)
        core = Engine(people.settings(settings, *names, **directory), AnyProcess())
        with contextlib.closing(core), core.answering():
            staff.ready(core)
            yield core

    return run


def user_of(core: Engine, **who: str) -> DirectoryUser | None:
    """Return the answer about a user."""
    found = core.directory.user("test", **who)
    assert found is None or isinstance(found.answer, UserAnswer)
    return found.answer.user if found else None


def test_users_and_processes_are_answered(answering: Answering, people: Staff) -> None:
    """By SID, UPN and login name; a process with the reason, or the reason of its refusal."""
    with answering() as core:
        ann = user_of(core, sid=ANN)
        assert ann is not None
        bob = user_of(core, login="bob")
        assert bob is not None
        by_upn = user_of(core, upn="ann@fabrikam.example")
        unknown = user_of(core, sid="S-1-5-21-7-7-7-9999")
        process = core.directory.process("test", INVOICES, ann)
        refused = core.directory.process("test", INVOICES, bob)
        missing = core.directory.process("test", "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7", ann)
        listed = [one.identifier for one in core.directory.processes("test", ann)]

    assert (ann.name, ann.mail, ann.groups) == ("ann@fabrikam.example", "ann@fabrikam.example", (SCANNERS,))
    assert (by_upn, bob.sid, unknown, missing) == (ann, BOB, None, None)
    assert process is not None
    assert isinstance(process.answer, ProcessAnswer)
    assert process.answer.process is not None
    assert process.answer.process.why == f"{SCANNERS} is a member"
    assert refused is not None
    assert isinstance(refused.answer, RefusedAnswer)
    assert refused.answer.reason == "none of its members is bob@fabrikam.example"
    assert listed == [INVOICES]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("die", "its process ended with exit code 7"),
        ("flood", "it sent a message of more than 4194304 bytes"),
        ("malformed", "it sent an invalid message"),
        ("unasked", "it sent an answer 4000000 to no question"),
        ("hang", "it did not answer within 0.3 s"),
    ],
)
def test_a_process_that_breaks_the_contract_is_ended(
    answering: Answering, people: Staff, caplog: pytest.LogCaptureFixture, fault: str, reason: str
) -> None:
    """T-L20: who asked comes again, and the reason is in the log."""
    with answering(answer_seconds=0.3) as core:
        people.fail(fault)
        with pytest.raises(Unavailable, match="the directory does not answer"):
            core.directory.user("test", sid=ANN)
        until(lambda: core.directory.conditions()["staff"].state is HooksState.WAITING)
        assert reason in core.directory.conditions()["staff"].reason

    (ended,) = (record for record in caplog.records if record.message == "plugin of hooks ended")
    assert reason in ended.__dict__["reason"]


def test_behind_the_end_of_a_process_another_one_answers(answering: Answering, people: Staff) -> None:
    """After a second; until then the directory is away, and who asks does not wait for it."""
    with answering() as core:
        people.fail("die")
        with pytest.raises(Unavailable):
            core.directory.user("test", sid=ANN)
        people.fail("")
        with pytest.raises(Unavailable, match="its process"):
            core.directory.user("test", sid=BOB)
        until(lambda: core.directory.conditions()["staff"].state is HooksState.READY)
        until(lambda: _answers(core))


def _answers(core: Engine) -> bool:
    with contextlib.suppress(Unavailable):
        return user_of(core, sid=ANN) is not None
    return False


@pytest.mark.parametrize(
    "facts",
    [
        {"sid": "S-1-5-21-7-7-7-500"},
        {"groups": ["S-1-)(objectSid=*"]},
        {"groups": ["S-1-5-32-544"] * 2001},
        {"name": "ann\u2028admin@fabrikam.example"},
        {"name": "ann\0@fabrikam.example"},
        {"display_name": "x" * 256},
        {"mail": "ann@fabrikam.example, eve@evil.example"},
        {"enabled": "yes"},
    ],
    ids=["another user", "forged group", "too many groups", "two lines", "NUL", "long", "two mails", "no boolean"],
)
def test_a_wrong_answer_is_none_and_harms_no_other_question(
    answering: Answering, people: Staff, facts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """T-L21: the user is not known, nothing of the answer is used, and the same process answers about others."""
    sid = facts.get("sid", ANN)
    with answering() as core:
        people.add("ann", ANN, **{key: value for key, value in facts.items() if key != "sid"})
        if sid != ANN:
            people.fail("lie")
            people.content["lie"] = sid
            people.write()
        with pytest.raises(Unavailable):
            core.directory.user("test", sid=ANN)
        people.fail("")
        bob = user_of(core, sid=BOB)
        state = core.directory.conditions()["staff"].state

    assert bob is not None
    assert state is HooksState.READY
    assert [record.levelname for record in caplog.records if record.message == "hook failed"] == ["ERROR"]


def test_what_a_hook_raises_is_logged_with_its_traceback(
    answering: Answering, people: Staff, caplog: pytest.LogCaptureFixture
) -> None:
    """And it is no answer: the user is not unknown."""
    with answering() as core:
        people.fail("raise")
        with pytest.raises(Unavailable):
            core.directory.user("test", sid=ANN)

    (record,) = (record for record in caplog.records if record.message == "hook failed")
    assert record.__dict__["reason"] == "RuntimeError: a bug"
    assert "in _fail" in record.__dict__["traceback"]


def test_the_first_plugin_that_has_an_answer_wins(answering: Answering, people: Staff) -> None:
    """In the order of the settings; the second is asked only about what the first does not have."""
    with answering("second", "staff") as core:
        found = core.directory.user("test", sid=ANN)
        asked_for_ann = people.asked("user")
        unknown = core.directory.user("test", sid="S-1-5-21-7-7-7-9999")

    assert found is not None
    assert found.plugin == "second"
    assert len(asked_for_ann) == 1
    assert unknown is None
    assert len(people.asked("user")) == 3


def test_without_a_table_no_plugin_is_loaded(people: Staff, settings: Settings) -> None:
    """T-L20: an installed plugin of hooks costs nothing: no thread, no process, no question."""
    values = people.settings(settings).model_dump()
    values["plugins"].pop("staff")
    databases.migrated(settings.storage.url)
    core = Engine(Settings.model_validate(values), AnyProcess())
    with contextlib.closing(core), core.answering():
        found = core.directory.user("test", sid=ANN)
        is_used = core.directory.is_used

    assert (found, is_used, people.asked()) == (None, False, [])


def test_a_disabled_plugin_is_not_imported(people: Staff, settings: Settings) -> None:
    """Its questions have no answer, so nobody is unknown by it."""
    found = people.settings(settings)
    plugins = found.plugins.model_copy(update={"disabled": (*found.plugins.disabled, "staff")})
    databases.migrated(settings.storage.url)
    core = Engine(found.model_copy(update={"plugins": plugins}), AnyProcess())
    with contextlib.closing(core), core.answering(), pytest.raises(Unavailable, match=r"plugins\.disabled"):
        core.directory.user("test", sid=ANN)

    assert core.directory.conditions()["staff"].state is HooksState.DISABLED
