"""How long answers of a directory are used, who waits, and what counts when it does not answer. T-L22, T-L23."""

from __future__ import annotations

from concurrent import futures
from dataclasses import replace
from typing import Any

import pytest
from works import until

from postscan.core.errors import Unavailable
from postscan.core.filters.directory.messages import Answer, AwayAnswer, UserAnswer, UserQuestion
from postscan.core.filters.directory.values import DirectoryUser
from postscan.core.registry.directory import directory
from postscan.core.registry.directory.cache import AnswerCache
from postscan.core.registry.directory.directory import Directories, DirectoryAnswer
from postscan.core.registry.directory.hooks_thread import HooksCondition, HooksState
from postscan.core.registry.directory.questions import AskedQuestion
from postscan.core.settings.directory import DirectorySettings

ANN, BOB = "S-1-5-21-7-7-7-1001", "S-1-5-21-7-7-7-1002"


class Scripted:
    """A plugin that answers when the test lets it: `users` by SID, or `away`, or nothing while it is `held`."""

    condition = HooksCondition(HooksState.READY)

    def __init__(self, name: str = "staff") -> None:
        self.name = name
        self.users: dict[str, DirectoryUser] = {}
        self.away = ""
        self.held = False
        self.asked: list[AskedQuestion] = []

    def ask(self, asked: AskedQuestion) -> None:
        """Answer now, unless it is held."""
        self.asked.append(asked)
        if not self.held:
            asked.reply(self.answer(asked))

    def answer(self, asked: AskedQuestion) -> Answer:
        """Return the answer."""
        assert isinstance(asked.question, UserQuestion)
        if self.away:
            return AwayAnswer(id=asked.question.id, reason=self.away)
        return UserAnswer(id=asked.question.id, user=self.users.get(asked.question.sid))

    def go_on(self) -> None:
        """Answer all that was asked."""
        self.held = False
        for asked in self.asked:
            asked.reply(self.answer(asked))


class Scene:
    """A directory with one user, and a clock that the test turns."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        self.plugin = Scripted()
        self.plugin.users[ANN] = DirectoryUser(ANN, "ann@fabrikam.example")
        self.directory = Directories(DirectorySettings(**settings), [self.plugin], lambda: self.now)

    def find(self, sid: str = ANN, caller: str = "test") -> DirectoryAnswer | None:
        """Ask for a user."""
        return self.directory.user(caller, sid=sid)


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that was away is asked again at once."""
    monkeypatch.setattr(directory, "AGAIN_SECONDS", 0.0)


def enabled(found: DirectoryAnswer | None) -> bool:
    """Return whether the user is enabled, as the answer says."""
    assert found is not None
    assert isinstance(found.answer, UserAnswer)
    assert found.answer.user is not None
    return found.answer.user.enabled


def test_a_fresh_answer_is_used_and_an_old_one_is_asked_for() -> None:
    """A user who is disabled meanwhile is so after `fresh_seconds`."""
    scene = Scene(fresh_seconds=60)
    assert enabled(scene.find())
    scene.plugin.users[ANN] = replace(scene.plugin.users[ANN], enabled=False)
    scene.now += 59.9
    before = enabled(scene.find())
    scene.now += 0.2
    after = enabled(scene.find())

    assert (before, after, len(scene.plugin.asked)) == (True, False, 2)


def test_a_user_whom_the_directory_does_not_have_is_remembered_for_a_short_time() -> None:
    """So that a device with a false SID does not ask at each request; and a new user works soon."""
    scene = Scene(unknown_seconds=10, fresh_seconds=60)
    assert scene.find(BOB) is None
    scene.plugin.users[BOB] = DirectoryUser(BOB, "bob@fabrikam.example")
    scene.now += 9
    before = scene.find(BOB)
    scene.now += 2

    assert before is None
    assert enabled(scene.find(BOB))


@pytest.mark.usefixtures("again")
def test_while_the_directory_is_away_an_old_answer_is_used_for_a_time(caplog: pytest.LogCaptureFixture) -> None:
    """With a note for the audit trail, and one line of the log at the begin and at the end."""
    scene = Scene(fresh_seconds=60, stale_seconds=3600)
    scene.find()
    scene.plugin.away = "no connection"
    scene.now += 61
    stale = scene.find()
    scene.now += 3598
    last = scene.find()
    scene.now += 2
    with pytest.raises(Unavailable, match="no connection"):
        scene.find()
    scene.plugin.away = ""
    back = scene.find()

    assert stale is not None
    assert (stale.is_stale, stale.note) == (True, "directory away, read 61 s ago")
    assert last is not None
    assert last.is_stale
    assert back is not None
    assert (back.is_stale, back.note) == (False, "")
    messages = [record.message for record in caplog.records if record.message.startswith("directory")]
    assert messages == ["directory away"]


@pytest.mark.usefixtures("again")
def test_what_was_unknown_is_not_stale() -> None:
    """A directory that is away must not refuse a user for an hour who was entered a minute ago."""
    scene = Scene(unknown_seconds=10, stale_seconds=3600)
    assert scene.find(BOB) is None
    scene.plugin.away = "no connection"
    scene.now += 11

    with pytest.raises(Unavailable):
        scene.find(BOB)


def test_a_directory_that_was_away_just_now_is_not_waited_for() -> None:
    """Callers get the old answer at once, and the question goes on beside them."""
    scene = Scene(fresh_seconds=60, stale_seconds=3600, answer_seconds=60)
    scene.plugin.users[BOB] = DirectoryUser(BOB, "bob@fabrikam.example")
    scene.find()
    scene.find(BOB)
    scene.now += 61
    scene.plugin.away = "no connection"
    scene.find()
    scene.plugin.away, scene.plugin.held = "", True
    stale = scene.find(BOB)  # would wait a minute
    scene.plugin.go_on()
    back = scene.find(BOB)

    assert stale is not None
    assert stale.is_stale
    assert back is not None
    assert not back.is_stale


def test_one_question_for_a_key_is_under_way_however_many_wait() -> None:
    """All of them get its answer."""
    scene = Scene(waiting=16, waiting_per_caller=16)
    scene.plugin.held = True
    with futures.ThreadPoolExecutor(10) as threads:
        found = [threads.submit(scene.find) for _ in range(10)]
        until(lambda: scene.directory.waiting == 10)
        scene.plugin.go_on()

    assert all(enabled(one.result()) for one in found)
    assert len(scene.plugin.asked) == 1


@pytest.mark.parametrize(
    ("settings", "callers"),
    [({"waiting": 3}, ("a", "b", "c", "d")), ({"waiting_per_caller": 3}, ("a", "a", "a", "a"))],
    ids=["in all", "of one caller"],
)
def test_so_many_callers_wait_and_a_further_one_comes_again(settings: dict[str, int], callers: tuple[str, ...]) -> None:
    """T-L22: a directory that hangs takes so many threads, and its queue has so many questions."""
    scene = Scene(**settings)
    scene.plugin.held = True
    with futures.ThreadPoolExecutor(3) as threads:
        waiting = [
            threads.submit(scene.find, f"S-1-5-21-7-7-7-{number}", caller) for number, caller in enumerate(callers[:3])
        ]
        until(lambda: scene.directory.waiting == 3)
        with pytest.raises(Unavailable, match="3 c"):
            scene.find(ANN, callers[3])
        asked = len(scene.plugin.asked)
        other = "somebody else" if "waiting_per_caller" in settings else None
        scene.plugin.go_on()

    assert [one.result() for one in waiting] == [None, None, None]
    assert asked == 3
    assert other is None or enabled(scene.find(ANN, other))


def test_an_answer_that_takes_too_long_is_none() -> None:
    """And the caller comes again; when it has come, it is used."""
    scene = Scene(answer_seconds=0.05)
    scene.plugin.held = True
    with pytest.raises(Unavailable, match=r"no answer within 0\.05 s"):
        scene.find()
    scene.plugin.go_on()

    assert enabled(scene.find())


def test_old_answers_make_room_for_new_ones() -> None:
    """So many entries, and so many bytes."""
    few = AnswerCache(DirectorySettings(entries=2), lambda: 0.0)
    small = AnswerCache(DirectorySettings(entry_bytes=1500), lambda: 0.0)
    for kept in (few, small):
        for number in range(3):
            kept.put(("user", str(number)), UserAnswer(id=number, user=None), "staff")

        assert [kept.fresh(("user", str(number))) is not None for number in range(3)] == [False, True, True]


def test_the_plugin_that_was_asked_first_wins_and_one_that_is_away_is_not_passed_over() -> None:
    """Else a user would be another one, or none, whenever the first directory is away."""
    first, second = Scripted("first"), Scripted("second")
    second.users[ANN] = DirectoryUser(ANN, "other@contoso.example")
    asked = Directories(DirectorySettings(), [first, second], lambda: 0.0)
    found = asked.user("test", sid=ANN)
    first.away = "no connection"

    assert found is not None
    assert found.plugin == "second"
    with pytest.raises(Unavailable):
        asked.user("test", sid=BOB)


def test_the_size_of_an_entry_counts_its_groups() -> None:
    """A user with 2,000 groups takes some 200 kB."""
    groups = ("S-1-5-32-544",) * 2000
    kept = AnswerCache(DirectorySettings(), lambda: 0.0)
    entry = kept.put(("user", ANN), UserAnswer(id=1, user=DirectoryUser(ANN, "ann@x", groups=groups)), "staff")

    assert entry.size > 100_000
