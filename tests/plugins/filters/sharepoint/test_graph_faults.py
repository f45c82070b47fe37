"""Faults of Graph: busy services, broken uploads, lost answers and refusals."""

from __future__ import annotations

import graph
import pytest
from graph import UNIT
from graph_runs import FOLDER, LIBRARY, NAMES, passes, run

from postscan.core.model.states import FilterState


@pytest.mark.parametrize("kind", ["discovery", "token", "site", "drives", "item", "children", "session", "chunk"])
def test_a_busy_service_is_asked_again(online, papers, pages, pauses, kind):
    """After the time that it wants, and with one whole file in the end (F-R17)."""
    online.faults[kind] += [
        graph.answers(429, "activityLimitReached", retry_after="0"),
        graph.answers(503, "serviceNotAvailable"),
        graph.answers(500, "generalException"),
    ]
    result = run(online, papers, pages[:1])

    assert result.outcome is FilterState.SUCCEEDED
    assert online.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}
    assert len(result.log) == 3
    assert pauses == [0, 0.4, 0.8]


def test_a_busy_service_at_the_last_piece_is_asked_again(online, papers, pages, pauses):
    """Leave is asked for once more, and given back before."""
    online.faults["chunk"] += [passes, graph.answers(429, retry_after="1"), graph.answers(503)]
    result = run(online, papers, pages[:1])

    assert result.published == [(1, LIBRARY, NAMES[0])]
    assert list(online.files().values()) == [pages[0].read_bytes()]
    assert pauses == [1, 0.4]


@pytest.mark.parametrize("size", [0, 1000, UNIT])
def test_an_upload_that_breaks_goes_on_where_it_was(online, papers, pages, size):
    """As nextExpectedRanges says, and not from its beginning."""
    online.faults["chunk"].append(graph.cuts_after(size))
    result = run(online, papers, pages[:1])

    assert list(online.files().values()) == [pages[0].read_bytes()]
    assert online.requests.count("session") == 1
    assert "state" in online.requests
    assert result.published == [(1, LIBRARY, NAMES[0])]


def test_an_upload_that_was_forgotten_begins_anew(online, papers, pages, pauses):
    """Sessions expire."""
    online.faults["chunk"] += [graph.forgets, passes, graph.forgets]
    result = run(online, papers, pages[:1])

    assert list(online.files().values()) == [pages[0].read_bytes()]
    assert online.requests.count("session") == 3
    assert result.published == [(1, LIBRARY, NAMES[0])]
    assert pauses == [0.2, 0.2, 0.2, 0.4]


@pytest.mark.parametrize("before", [0, 1])
def test_an_answer_that_is_lost_makes_no_second_file(online, papers, pages, before):
    """Of a piece, and of the last piece: it is looked how far the upload is (F-R17: dup)."""
    online.faults["chunk"] += [passes] * before + [graph.loses_the_answer]
    result = run(online, papers, pages[:1])

    assert result.published == [(1, LIBRARY, NAMES[0])]
    assert online.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}


def test_a_lost_answer_and_a_busy_service_make_no_second_file(online, papers, pages, pauses):
    """When it cannot even be looked at once."""
    online.faults["chunk"] += [passes, graph.loses_the_answer]
    online.faults["state"] += [graph.answers(503), graph.answers(503)]
    result = run(online, papers, pages[:1])

    assert pauses == [0.2, 0.2]
    assert result.published == [(1, LIBRARY, NAMES[0])]
    assert online.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}


@pytest.mark.parametrize(
    ("kind", "status", "code", "reason"),
    [
        ("site", 401, "InvalidAuthenticationToken", "SharePointAccessDenied"),
        ("drives", 403, "accessDenied", "SharePointAccessDenied"),
        ("session", 403, "accessDenied", "SharePointAccessDenied"),
        ("chunk", 401, "unauthenticated", "SharePointAccessDenied"),
        ("session", 507, "quotaLimitReached", "SharePointOutOfDiskSpace"),
        ("chunk", 507, "insufficientStorage", "SharePointOutOfDiskSpace"),
        ("chunk", 400, "quotaLimitReached", "SharePointOutOfDiskSpace"),
        ("session", 400, "invalidRequest", "UnknownError"),
        ("site", 302, "", "UnknownError"),
    ],
)
def test_a_refusal_becomes_the_reason_of_the_protocol(online, papers, pages, kind, status, code, reason):
    """PSP-030; with the status and the code in the sentence, and nothing left behind."""
    online.faults[kind].append(graph.answers(status, code))
    result = run(online, papers, pages)

    assert result.reasons == (reason,)
    assert f"Microsoft Graph answered {status}{f' ({code})' if code else ''}" in result.detail
    assert (online.files(), online.sessions) == ({}, {})


def test_a_file_that_did_not_arrive_as_it_was_sent_is_deleted(online, papers, pages):
    """By its hash; it was visible for a moment, and is no delivery."""

    async def spoils(running, request):
        session = running.sessions[request.path_params["id"]]
        session.content = bytes(len(session.content))

    online.faults["chunk"] += [passes, spoils]
    result = run(online, papers, pages[:1])

    assert (result.reasons, result.published) == (("UnknownError",), [])
    assert "differs on the server from what was sent" in result.detail
    assert online.files() == {}


def test_an_empty_document_is_a_failure_with_a_sentence(online, papers, tmp_path):
    """An upload session has no empty piece."""
    empty = tmp_path / "empty.png"
    empty.touch()

    assert "is empty, which SharePoint Online does not accept" in run(online, papers, [empty]).detail
