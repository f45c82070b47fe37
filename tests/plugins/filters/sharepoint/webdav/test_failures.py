"""What can go wrong at a library on premises: what is refused, what is tried again, and that no second file appears."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import webdav
from free_ports import free_port
from webdav_runs import FOLDER, NAMES, run, settings, stored

from postscan.core.model.states import FilterState


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("PROPFIND", "401 Unauthorized", "SharePointAccessDenied"),
        ("MKCOL", "403 Forbidden", "SharePointAccessDenied"),
        ("PUT", "403 Forbidden", "SharePointAccessDenied"),
        ("MOVE", "403 Forbidden", "SharePointAccessDenied"),
        ("PUT", "507 Insufficient Storage", "SharePointOutOfDiskSpace"),
        ("MOVE", "507 Insufficient Storage", "SharePointOutOfDiskSpace"),
        ("PUT", "413 Content Too Large", "UnknownError"),
        ("PROPFIND", "500 Internal Server Error", "UnknownError"),
        ("PUT", "404 Not Found", "UnknownError"),
    ],
)
def test_a_refusal_becomes_the_reason_of_the_protocol(dav, pages, method, status, reason):
    """PSP-030 and F-R17; with the status in the sentence, and nothing left behind."""
    dav.faults[method].append(webdav.answers(status))
    result = run(dav, pages[:1])

    assert result.reasons == (reason,)
    assert f"answered {method} with {status[:3]}" in result.detail
    assert stored(dav) == {}


def test_a_quota_is_a_lack_of_room(dav, pages):
    """RFC 4331: what the body says decides what 413 means."""
    body = b"<D:error xmlns:D='DAV:'><D:quota-not-exceeded/></D:error>"
    dav.faults["PUT"].append(webdav.answers("413 Too Large", body=body))

    assert run(dav, pages[:1]).reasons == ("SharePointOutOfDiskSpace",)


def test_a_library_that_may_only_be_read_denies_access(dav, pages):
    """And the other one is served (PSP-029)."""
    result = run(dav, pages, f"{dav.url}/readonly", dav.library)

    assert result.reasons == ("SharePointAccessDenied",)
    assert result.detail.startswith(f"{dav.url}/readonly: the site answered MKCOL with 403")
    assert len(dav.files()) == 2


def test_a_wrong_password_denies_access_and_is_in_no_sentence(dav, pages):
    """Neither in the detail nor in the log."""
    result = run(dav, pages[:1], table=settings(dav, password="wr0ng-but-secret"))

    assert result.reasons == ("SharePointAccessDenied",)
    assert "refuses the user and password" in result.detail
    assert "wr0ng" not in repr(result)


def test_a_library_that_failed_is_not_tried_for_the_next_document(dav, pages):
    """One refusal is enough."""
    dav.faults["PUT"].append(webdav.answers("507 Full"))
    run(dav, pages)

    assert dav.methods().count("PUT") == 1


def test_a_server_that_is_gone_is_given_up_after_its_time(dav, pages):
    """And the sentence says for how long it was tried."""
    url = f"http://127.0.0.1:{free_port()}"
    table = {"sites": {url: {"kind": "webdav", "seconds": 0.5}}}
    result = run(dav, pages, f"{url}/docs", table=table)

    assert result.reasons == ("UnknownError",)
    assert result.detail.startswith(f"{url}/docs: {url} does not answer (ConnectError); given up: the limit is 0.5 s")
    assert len(result.log) >= 1


@pytest.mark.parametrize("method", ["PROPFIND", "MKCOL", "PUT", "HEAD", "MOVE"])
def test_a_server_that_is_busy_is_asked_again(dav, pages, pauses, method):
    """After the time that it wants, and with one whole file in the end (F-R17)."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    dav.faults[method] += [
        webdav.answers("503 Busy", ("Retry-After", "0")),
        webdav.answers("429 Too Many", ("Retry-After", soon)),
        webdav.answers("423 Locked"),
    ]
    result = run(dav, pages[:1])

    assert result.outcome is FilterState.SUCCEEDED
    assert dav.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}
    assert len(result.log) == 3
    assert pauses == [0, pytest.approx(0.5, abs=0.5), 0.8]


def test_a_server_that_wants_more_time_than_it_gets_is_not_waited_for(dav, pages):
    """The sentence names both times."""
    dav.faults["PUT"].append(webdav.answers("503 Busy", ("Retry-After", "3600")))
    result = run(dav, pages[:1])

    assert result.reasons == ("UnknownError",)
    assert result.detail.endswith("answered PUT with 503; it asks for a pause of 3600 s; given up: the limit is 60 s")
    assert stored(dav) == {}


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_connection_that_breaks_in_the_middle_is_made_again(dav, pages, size):
    """One whole file in the end, and nothing beside it (F-R17)."""
    dav.faults["PUT"].append(webdav.cuts_after(size))
    result = run(dav, pages[:1])

    assert result.outcome is FilterState.SUCCEEDED
    assert stored(dav) == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}


def test_a_file_that_arrived_in_part_is_sent_again(dav, pages):
    """A server may say that all is well."""

    def keeps_a_part(_, app, environ, start):
        piece = environ["wsgi.input"].read(100_000)
        while environ["wsgi.input"].read(1 << 16):
            """Lose the rest."""
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = webdav.Piece(piece), str(len(piece))
        return app(environ, start)

    dav.faults["PUT"].append(keeps_a_part)
    result = run(dav, pages[:1])

    assert dav.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}
    assert "has stored 100000 of 600000 bytes" in result.log[0][1]


@pytest.mark.parametrize("method", ["PROPFIND", "MKCOL", "PUT", "HEAD", "MOVE"])
def test_an_answer_that_is_lost_makes_no_second_file(dav, pages, method):
    """It is looked whether what was asked for was done (F-R17: dup)."""
    dav.faults[method].append(webdav.loses_the_answer)
    result = run(dav, pages[:1])

    assert result.outcome is FilterState.SUCCEEDED
    assert dav.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}
    assert result.published == [(1, dav.library, NAMES[0])]


def test_a_lost_answer_about_a_name_that_somebody_has_is_not_mistaken(dav, pages):
    """An equal file of somebody else is not ours (ruling 6)."""
    (dav.root / FOLDER).mkdir()
    (dav.root / FOLDER / NAMES[0]).write_bytes(pages[0].read_bytes())
    dav.faults["MOVE"].append(webdav.loses_the_answer)
    result = run(dav, pages[:1])

    assert result.published == [(1, dav.library, NAMES[0].replace(".png", "-2.png"))]
    assert len(dav.files()) == 2
