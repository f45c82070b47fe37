"""SharePoint Online through Graph: what is delivered, under which name, and what a cancel leaves."""

from __future__ import annotations

import itertools
import os
import time

import graph
import pytest
from cancelled import run_until
from graph import HOST, UNIT
from graph_runs import FOLDER, LIBRARY, NAMES, SITE, USER, passes, run, settings

from postscan.core.model.states import FilterState
from postscan.plugins.filters.sharepoint import Instructions, Settings, SharePoint


def test_every_document_goes_to_every_library_into_the_users_folder(online, papers, pages):
    """PSP-024; and its bytes stay as they are (PSP-026)."""
    result = run(online, papers, pages, LIBRARY, f"{SITE}/documents")
    contents = [page.read_bytes() for page in pages]

    assert result.outcome is FilterState.SUCCEEDED
    assert online.files() == {
        f"{library}/{USER}/{name}": content
        for library in ("Shared-Documents", "Documents")
        for name, content in zip(NAMES, contents, strict=True)
    }
    assert result.published == [
        (id, url, name) for id, name in enumerate(NAMES, start=1) for url in (LIBRARY, f"{SITE}/documents")
    ]
    assert online.sessions == {}


def test_token_site_and_folder_are_asked_for_once(online, papers, pages):
    """The second document goes straight to its upload."""
    run(online, papers, pages)

    assert online.requests == [
        *("discovery", "token", "site", "drives", "drives", "item", "children"),
        *("session", "chunk", "chunk"),
        *("session", "chunk"),
    ]


def test_a_large_document_goes_in_large_pieces(online, papers, tmp_path):
    """All but the last in multiples of 320 KiB, at most 10 MiB each; the last, which waits for leave, is small."""
    big = tmp_path / "big.png"
    big.write_bytes(os.urandom(64 * UNIT))
    run(online, papers, [big], table=settings(online, papers, seconds=60))

    assert online.requests.count("chunk") == 3
    assert list(online.files().values()) == [big.read_bytes()]


def test_a_folder_in_the_library_may_be_named(online, papers, pages):
    """If it is there; it is not made."""
    online.put("Shared-Documents", "Invoices")
    result = run(online, papers, pages[:1], f"{LIBRARY}/Invoices", f"{LIBRARY}/Missing")

    assert list(online.files()) == [f"Shared-Documents/Invoices/{USER}/{NAMES[0]}"]
    assert result.reasons == ("UnknownError",)
    assert result.detail.startswith(f"{LIBRARY}/Missing: Microsoft Graph answered 404 (itemNotFound)")
    assert "Shared-Documents/Missing" not in online.folders()


@pytest.mark.parametrize(
    ("site", "url"),
    [("", "Shared%20Documents"), ("sites/hr", "sites/hr/Shared%20Documents"), ("personal/anna", "personal/anna/Docs")],
)
def test_a_host_stands_for_all_its_sites(online, papers, pages, site, url):
    """A prefix without a path: the root site, and those below /sites, /teams and /personal."""
    online.sites = {site: ["Shared Documents", "Docs"]}
    result = run(online, papers, pages[:1], f"https://{HOST}/{url}", table=settings(online, papers, f"https://{HOST}"))

    assert result.outcome is FilterState.SUCCEEDED
    assert len(online.files()) == 1


def test_a_library_or_a_site_that_is_not_there_is_a_failure(online, papers, pages):
    """With a sentence for each, and nothing is made."""
    table = settings(online, papers, f"https://{HOST}")
    result = run(online, papers, pages, f"{SITE}/Nothing", f"https://{HOST}/sites/x/Documents", table=table)

    assert result.reasons == ("UnknownError",)
    assert f"the site {SITE} has no such library" in result.detail
    assert "Microsoft Graph answered 404 (itemNotFound), asked for the site" in result.detail
    assert online.folders() == []


def test_a_name_that_somebody_has_is_left_alone(online, papers, pages):
    """The next free one is taken (D9)."""
    folder = online.put("Shared-Documents", USER)
    online.put(folder.id, NAMES[0].upper(), b"theirs")
    result = run(online, papers, pages[:1])

    assert result.published == [(1, LIBRARY, NAMES[0].replace(".png", "-2.png"))]
    assert sorted(online.files().values(), key=len) == [b"theirs", pages[0].read_bytes()]


def test_a_name_that_somebody_takes_meanwhile_is_left_alone(online, papers, pages):
    """Graph says so at the last piece; the upload is given back, and made again under the next name."""

    async def somebody_is_faster(running, request):
        session = running.sessions[request.path_params["id"]]
        running.put(session.folder, session.name, b"theirs")

    online.faults["chunk"] += [passes, somebody_is_faster]
    result = run(online, papers, pages[:1])

    assert result.published == [(1, LIBRARY, NAMES[0].replace(".png", "-2.png"))]
    assert sorted(online.files().values(), key=len) == [b"theirs", pages[0].read_bytes()]
    assert online.sessions == {}


def test_the_users_folder_may_be_made_by_somebody_else_meanwhile(online, papers, pages):
    """Two jobs of one user."""

    async def somebody_is_faster(running, _):
        running.put("Shared-Documents", USER)

    online.faults["children"].append(somebody_is_faster)
    run(online, papers, pages[:1])

    assert list(online.files()) == [f"{FOLDER}/{NAMES[0]}"]


def test_running_twice_after_a_crash_does_no_harm(online, papers, pages):
    """What was published is recognised by name and hash, and not even sent again (I20)."""
    first = run(online, papers, pages)
    before = len(online.requests)
    second = run(online, papers, pages, earlier=first.published)

    assert (second.outcome, second.published) == (FilterState.SUCCEEDED, [])
    assert len(online.files()) == 2
    assert "session" not in online.requests[before:]


@pytest.mark.parametrize("content", [b"theirs", bytes(2 * UNIT + 5000), None])
def test_what_was_granted_but_never_appeared_is_delivered(online, papers, pages, content):
    """Another file of the name is not ours, even one of the same size."""
    if content is not None:
        online.put(online.put("Shared-Documents", USER).id, NAMES[0], content)
    result = run(online, papers, pages[:1], earlier=[(1, LIBRARY, NAMES[0])])

    assert len(result.published) == 1
    assert online.files()[f"{FOLDER}/{result.published[0][2]}"] == pages[0].read_bytes()


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_a_cancel_at_any_check_leaves_whole_files_and_nothing_else(online, papers, pages):
    """Delivered stays, half is never visible, and no upload is left open (promises 3 and 6)."""
    seen = set()
    for number in itertools.count(1):
        result = run(online, papers, pages, cancel_at=number)
        files = online.files()
        seen.add(len(files))

        assert set(files.values()) <= {page.read_bytes() for page in pages}
        assert len(files) == len(result.published)
        assert online.sessions == {}
        if result.outcome is not FilterState.CANCELED:
            break
        online.items.clear()

    assert seen == {0, 1, 2}


@pytest.mark.parametrize(
    ("kind", "before"),
    [("discovery", 0), ("token", 0), ("site", 0), ("children", 0), ("session", 0), ("chunk", 0), ("chunk", 1)],
)
def test_a_cancel_ends_a_call_to_a_silent_service(online, papers, pages, tmp_path, kind, before):
    """The run does not wait for the service's time to be over; nothing appears, and the upload is given back."""
    online.faults[kind] += [passes] * before + [graph.hangs]
    table = Settings(**settings(online, papers, seconds=60))
    began = time.monotonic()
    published = run_until(online.hanging, SharePoint(), pages, Instructions(False, (LIBRARY,)), table, tmp_path)

    assert time.monotonic() - began < 30
    assert published == []
    assert (online.files(), online.sessions) == ({}, {})
