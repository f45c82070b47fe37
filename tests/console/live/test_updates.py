"""The streams of all pages: how many there may be, what each begins with, and when they end."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator

import pytest
from live_regions import ANN, Announced, ShownTexts, key
from works import until

from postscan.console.live import stream as streams
from postscan.console.live import updates as live
from postscan.console.live.regions import SERVER
from postscan.console.live.stream import LiveStream
from postscan.console.live.updates import LiveUpdates
from postscan.core.errors import StoreBusy

PATIENCE = 30.0


@pytest.fixture
def shown() -> ShownTexts:
    """The regions, which may be rendered at any time."""
    return ShownTexts()


@pytest.fixture
def watch() -> Announced:
    """The watch of the thread."""
    return Announced()


@pytest.fixture
def signed_in() -> set[str]:
    """The sessions that have not ended."""
    return {f"session {number}" for number in range(9)}


@pytest.fixture
def updates(shown: ShownTexts, watch: Announced, signed_in: set[str]) -> Iterator[LiveUpdates]:
    """Live updates, closed behind the test."""
    updates = LiveUpdates(shown.renderer, lambda: watch, lambda session: session in signed_in)
    yield updates
    updates.close()


def opened(updates: LiveUpdates, *regions: str, session: str = "session 0") -> LiveStream:
    """Open a stream that shows these regions."""
    stream = updates.open(ANN, session, [key(name) for name in regions or ("running",)])
    assert stream is not None
    return stream


def received(
    stream: LiveStream, wanted: Callable[[dict[str, str]], bool], act: Callable[[], None] = lambda: None
) -> dict[str, str]:
    """Read a stream until *wanted* is true for what its regions show; call *act* in a thread when it has begun."""

    async def read() -> dict[str, str]:
        found: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE):
            async for part in stream.events():
                if part == streams.RETRY:
                    await asyncio.to_thread(act)
                for line in part.decode().splitlines():
                    if line.startswith("data: "):
                        html = json.loads(line.removeprefix("data: "))
                        found[html.removeprefix("<p>").split("<")[0].split()[0]] = html
                if wanted(found):
                    return found
        return found

    return asyncio.run(read())


def test_a_stream_begins_with_all_its_regions(updates: LiveUpdates) -> None:
    """So nothing has to be resumed, whatever a browser has missed."""
    found = received(opened(updates, SERVER, "running", "rows"), lambda found: len(found) == 3)

    assert found == {"server": "<p>server</p>", "running": "<p>running</p>", "rows": "<p>rows</p>"}


def test_a_change_is_sent_to_the_streams_that_show_it(
    updates: LiveUpdates, shown: ShownTexts, watch: Announced
) -> None:
    """The thread notices it without being called."""
    stream = opened(updates, "running", "rows")
    received(stream, lambda found: len(found) == 2)

    def change() -> None:
        shown.texts["running"] = "another"
        watch.announce()

    assert received(stream, lambda found: "another" in found, change)["another"] == "<p>another</p>"


def test_a_session_has_few_streams(updates: LiveUpdates) -> None:
    """A browser opens six connections to a host: with more streams, a tab more would never load."""
    for _ in range(live.STREAMS_OF_A_SESSION):
        opened(updates)

    assert updates.open(ANN, "session 0", [key("running")]) is None
    assert updates.open(ANN, "session 1", [key("running")]) is not None


def test_the_streams_of_all_sessions_are_limited(updates: LiveUpdates, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that was closed makes room for another."""
    monkeypatch.setattr(live, "STREAMS", 2)
    first, _ = opened(updates), opened(updates, session="session 1")
    refused = updates.open(ANN, "session 2", [key("running")])
    first.close()

    assert refused is None
    assert updates.open(ANN, "session 2", [key("running")]) is not None


def test_a_stream_that_nobody_begins_to_read_gives_its_place_back(
    updates: LiveUpdates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser may be gone before the response begins."""
    monkeypatch.setattr(streams, "BEGIN_SECONDS", 0.0)
    opened(updates)

    until(lambda: len(updates) == 0)


def test_the_streams_of_a_session_end_with_it(
    updates: LiveUpdates, signed_in: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A logout elsewhere, or a new role, must not leave a page that shows on."""
    monkeypatch.setattr(live, "SESSION_SECONDS", 0.0)
    stream, other = opened(updates), opened(updates, session="session 1")
    signed_in.discard("session 0")

    received(stream, lambda _found: False)  # returns when the stream has ended
    found = received(other, lambda found: bool(found))

    assert found == {"running": "<p>running</p>"}


def test_all_streams_end_with_the_console(updates: LiveUpdates) -> None:
    """Else the stop of the server would wait for them; and none begins afterwards."""
    stream = opened(updates)

    received(stream, lambda _found: False, updates.close)

    assert updates.open(ANN, "session 0", [key("running")]) is None


def test_without_streams_nothing_looks_at_the_database(updates: LiveUpdates, watch: Announced) -> None:
    """A console that nobody looks at costs nothing; the next stream begins to look again."""
    opened(updates).close()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "postscan-live"])
    looks = watch.looks
    opened(updates)

    until(lambda: watch.looks > looks)


def test_in_an_outage_the_server_is_shown_and_the_rest_stays(
    updates: LiveUpdates, shown: ShownTexts, watch: Announced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the first answer of the database ends it."""
    monkeypatch.setattr(live, "OUTAGE_SECONDS", 0.01)
    shown.texts["running"] = StoreBusy("the database does not answer")
    stream = opened(updates, "running", SERVER)
    during = received(stream, lambda found: bool(found))

    def answers() -> None:
        shown.texts["running"] = "running"

    behind = received(stream, lambda found: bool(found), answers)

    assert during == {"server": "<p>server</p>"}
    assert behind == {"running": "<p>running</p>"}


def test_a_look_that_fails_does_not_end_the_updates(
    updates: LiveUpdates, shown: ShownTexts, watch: Announced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an outage nor a defect."""
    monkeypatch.setattr(live, "OUTAGE_SECONDS", 0.01)
    stream = opened(updates)
    received(stream, lambda found: bool(found))

    def change() -> None:
        watch.announce(StoreBusy("the database does not answer"))
        watch.announce(ZeroDivisionError())
        shown.texts["running"] = "another"
        watch.announce()

    assert "another" in received(stream, lambda found: "another" in found, change)
