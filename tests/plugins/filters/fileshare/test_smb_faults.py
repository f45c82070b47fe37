"""The file share filter on an SMB server when something breaks: a run, a line, the server, or the user's patience."""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
import time

import pytest
from cancelled import run_until
from destinations import open_folder
from free_ports import free_port
from relay import Relay, silent
from samba import samba
from smb_runs import NAMES, ONE, TWO, USER, calls, empty, run, stored

from postscan.core.model.states import FilterState
from postscan.plugins.filters.fileshare import FileShare, Instructions, Settings, smb
from postscan.plugins.testing.runner import _RecordingParent


def test_running_it_again_delivers_nothing_twice(server, two_pages):
    """The first run's end was lost: what it published is recognised (I20)."""
    first = run(server, two_pages, ONE, TWO)
    second = run(server, two_pages, ONE, TWO, earlier=first.published)

    assert (second.outcome, second.published) == (FilterState.SUCCEEDED, [])
    assert len(stored(server)) == 4


def test_an_earlier_file_that_is_another_one_by_now_is_not_taken_for_ours(server, two_pages):
    """The name says nothing; the SHA-256 does."""
    first = run(server, two_pages[:1])
    (server.shares["one"] / USER / NAMES[0]).write_bytes(bytes(5000))
    run(server, two_pages[:1], earlier=first.published)

    assert (server.shares["one"] / USER / NAMES[0].replace(".png", "-2.png")).read_bytes() == two_pages[0].read_bytes()


@pytest.mark.parametrize("size", [0, 5000])
def test_an_earlier_file_that_is_gone_is_delivered_again(server, tmp_path, size):
    """Nothing is not an empty page."""
    page = tmp_path / "page.png"
    page.write_bytes(os.urandom(size))
    run(server, [page], earlier=[(1, ONE, NAMES[0])])

    assert stored(server) == {f"one/{USER}/{NAMES[0]}": page.read_bytes()}


@pytest.mark.parametrize("step", ["write", "flush", "unmark", "close", "published"])
def test_a_run_that_is_killed_at_any_step_leaves_one_file_after_the_next(server, tmp_path, two_pages, step):
    """F-R1, I20: before the rename or after it, and what it left over is removed."""
    pid = os.fork()
    if pid == 0:
        tempfile.tempdir = str(tmp_path)  # nobody tidies up after a killed process
        _kill_at(step)
        run(server, two_pages[:1])
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    run(server, two_pages[:1], earlier=[(1, ONE, NAMES[0])])

    assert os.waitstatus_to_exitcode(status) == -9
    assert stored(server) == {f"one/{USER}/{NAMES[0]}": two_pages[0].read_bytes()}


def _kill_at(step):
    """Let this process die where the step would begin."""
    from smbprotocol.open import Open

    from postscan.plugins.filters.fileshare.connection import Connection

    owner = {"unmark": Connection, "published": _RecordingParent}.get(step, Open)
    usual = getattr(owner, step)

    def killing(*args, **kwargs):
        if step != "close" or args[0].file_name.endswith(".part"):
            os.kill(os.getpid(), 9)
        return usual(*args, **kwargs)

    setattr(owner, step, killing)


def test_what_a_killed_run_left_over_is_removed(server, two_pages, monkeypatch):
    """Its hidden name is the same in the next run."""
    hidden = []
    usual = smb._hidden
    monkeypatch.setattr(smb, "_hidden", lambda *of: hidden.append(usual(*of)) or hidden[-1])
    run(server, two_pages[:1])
    left = server.shares["one"] / USER / hidden[0]
    left.write_bytes(b"half")
    run(server, two_pages[:1])

    assert hidden[0].startswith(".")
    assert not left.exists()


def test_a_server_that_is_gone_is_called_a_few_times(server, two_pages):
    """And a second share of it costs nothing more; the local folder gets its copy."""
    with calls() as seen:
        result = run(server, two_pages, ONE, TWO, line={"port": free_port()})

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("UnknownError",))
    assert result.detail.count("Connection refused (127.0.0.1:") == 2
    assert len([1 for _, port in seen if port]) >= 5
    assert len(set(seen)) == 1


def test_a_server_that_comes_back_gets_the_document(server, two_pages, monkeypatch):
    """Within the tries (F-R16)."""
    monkeypatch.setattr(smb, "PAUSES", (0.2,) * 500)  # a busy machine takes a minute to start one
    with open_folder() as home, samba(home, {"one": {}}) as other:
        other.stop()
        starting = threading.Timer(0.3, other.start)
        starting.start()
        result = run(other, two_pages)
        starting.join()

        assert result.outcome is FilterState.SUCCEEDED
        assert len(stored(other)) == 2


def test_a_name_that_nobody_knows_is_no_host(server, two_pages):
    """The sentence says which."""
    result = run(server, two_pages, line={"host": "nowhere.invalid"})

    assert result.reasons == ("UnknownError",)
    assert "nowhere.invalid cannot be resolved" in result.detail or "nowhere.invalid:" in result.detail


def test_a_server_that_never_answers_costs_its_seconds_once(server, two_pages):
    """Whoever listens and says nothing (F-R16); two shares wait no longer than one."""
    began = time.monotonic()
    with silent() as port:
        result = run(server, two_pages, ONE, TWO, line={"port": port, "seconds": 1})

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("UnknownError",))
    assert f"127.0.0.1:{port} did not answer within 1 s" in result.detail
    assert time.monotonic() - began < 30


def messages(server, page):
    """Return how many messages one delivery takes."""
    with Relay(server.port) as relay:
        assert run(server, [page], line={"port": relay.port}).outcome is FilterState.SUCCEEDED
    empty(server.shares["one"])
    return relay.count


@pytest.mark.parametrize(
    "how",
    [{}, {"delivered": True}, {"delivered": True, "late": 0.15}],
    ids=["before", "after", "late"],
)
def test_a_connection_cut_at_any_message_delivers_one_whole_file(server, two_pages, how):
    """Whether the server gets the message, or gets it when we have called again: never none, never two (F-R16, I20)."""
    again = 0
    for number in range(1, messages(server, two_pages[0]) + 1):
        with Relay(server.port, cut=number, **how) as relay:
            result = run(server, two_pages[:1], line={"port": relay.port})
        again += relay.calls > 1

        assert (result.outcome, result.detail) == (FilterState.SUCCEEDED, "")
        assert stored(server) == {f"one/{USER}/{NAMES[0]}": two_pages[0].read_bytes()}
        assert result.published == [(1, ONE, NAMES[0])]
        empty(server.shares["one"])

    assert again > 10


def test_a_server_that_falls_silent_at_any_message_keeps_no_half_file(server, two_pages):
    """The run ends, what is there is whole, and what cannot be known is said."""
    sentences = []
    for number in range(1, messages(server, two_pages[0]) + 1):
        result = run_until_silence(server, two_pages[0], number)
        found = list(stored(server).values())

        assert result.outcome is FilterState.ERRORS or result.published == [(1, ONE, NAMES[0])]
        assert found in ([], [two_pages[0].read_bytes()])
        sentences.append(result.detail)
        empty(server.shares["one"])

    assert len([one for one in sentences if "did not answer within 1 s" in one]) > 10
    assert len([one for one in sentences if f"while {NAMES[0]} got its name: the file may be there" in one]) == 1


def run_until_silence(server, page, number):
    """Return the result of a run whose server falls silent at this message.

    Run again if the filter has given up before: a busy server took longer than the second that an answer may take.
    """
    for _ in range(50):
        with Relay(server.port, cut=number, silent=True) as relay:
            result = run(server, [page], line={"port": relay.port, "seconds": 1})
        if relay.fell_silent.is_set():
            return result
        stored(server)
        empty(server.shares["one"])
    raise AssertionError(f"message {number} was never sent")


def test_a_cancel_at_any_check_leaves_whole_files_and_nothing_else(server, two_pages):
    """Delivered stays, half is never visible, and nothing is beside (promises 3 and 6)."""
    seen = set()
    for number in itertools.count(1):
        result = run(server, two_pages, ONE, TWO, cancel_at=number)
        found = stored(server)
        seen.add(len(found))

        assert not [name for name in found if name.endswith(".part")]
        assert all(content in (two_pages[0].read_bytes(), two_pages[1].read_bytes()) for content in found.values())
        assert len(found) == len(result.published)
        if result.outcome is not FilterState.CANCELED:
            break
        for share in ("one", "two"):
            empty(server.shares[share])

    assert seen == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("part", [0.0, 0.3, 0.7])
def test_a_cancel_while_the_server_is_silent_ends_the_run_at_once(server, tmp_path, two_pages, part):
    """At the first word, at the log-on, and in the middle of the file (promise 9)."""
    number = 1 + int(part * messages(server, two_pages[0]))
    with Relay(server.port, cut=number, silent=True) as relay:
        settings = Settings(servers=server.settings(port=relay.port, seconds=60))
        began = time.monotonic()
        published = run_until(relay.fell_silent, FileShare(), two_pages, Instructions((ONE,)), settings, tmp_path)

        assert published == []
        assert time.monotonic() - began < 30
    assert stored(server) == {}


def test_it_looks_at_its_token_for_each_mebibyte(server, tmp_path):
    """A cancel does not wait for the end of a large file (promise 9)."""
    big = tmp_path / "big.png"
    big.write_bytes(bytes(32 << 20))

    assert run(server, [big]).checks.number > 32
