"""An inlet acknowledges what is durable, and leaves to its sender what has no room: by FTP, by mail and by HTTP."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from acceptance.server import Server

from campaigns import promises, tracing
from campaigns.senders import Outcome, Reply
from campaigns.source_job import PAGE_BYTES, SourceJob, with_inlets
from campaigns.tracing import Span
from postscan.core.model.principal import Principal, Proof

KINDS = ("by-ftp", "by-mail", "by-web")
ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
PATIENT = {"storage": {"busy_seconds": 60}}

DELAY = 3.0
"""Seconds by which each sync of the disk is delayed."""

ACKNOWLEDGEMENTS = {
    "by-ftp": (226, '"226 Stored as job '),
    "by-mail": (250, '"250 2.0.0 The scan is stored'),
    "by-web": (201, '"HTTP/1.1 201 '),
}
"""The code of each, and how it begins in a log of strace."""


@dataclass(frozen=True)
class SlowlyStored:
    """A page whose syncs were delayed: the reply after *seconds*, its job, and the syncs and what was sent."""

    reply: Reply
    seconds: float
    token: str
    spans: Sequence[Span]


@pytest.fixture(scope="module")
def slowly_stored(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, SlowlyStored]:
    """A page of each kind, each at a server of its own; all wait at the same time."""
    if not tracing.available():
        pytest.skip(tracing.NOT_HERE)
    with contextlib.ExitStack() as running:
        homes = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
        servers = [running.enter_context(with_inlets(homes[kind], PATIENT, kind)) for kind in KINDS]
        threads = running.enter_context(ThreadPoolExecutor(len(KINDS)))
        return dict(zip(KINDS, threads.map(store_slowly, servers, KINDS), strict=True))


def store_slowly(server: Server, kind: str) -> SlowlyStored:
    """Send a page to a server whose syncs are delayed, and to which one has come before."""
    SourceJob(server, kind).go_on()
    job = SourceJob(server, kind)
    log = server.home / "calls.log"
    begun = time.monotonic()
    with tracing.delayed([server.pid, server.source(kind)], ("fsync", "fdatasync"), DELAY, log, "sendto"):
        reply = job.send()
        seconds = time.monotonic() - begun
    job.go_on()
    return SlowlyStored(reply, seconds, job.token, tracing.spans(log))


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_acknowledged_after_the_syncs_of_its_file_its_folder_its_row_and_its_end(
    slowly_stored: Mapping[str, SlowlyStored], kind: str
) -> None:
    """T-S5, F-R2, I1: each of the four begins after the one before has returned, and takes its time."""
    page = slowly_stored[kind]
    code, beginning = ACKNOWLEDGEMENTS[kind]
    [sent] = [one for one in page.spans if one.call.name == "sendto" and beginning in one.call.rest]
    synced = [one for one in page.spans if f"/spool/{page.token}" in one.call.rest]
    named = max(one.ended for one in synced)
    committed = [
        one
        for one in page.spans
        if one.call.name == "fdatasync" and "/postscan.sqlite" in one.call.rest and named < one.begun
    ]

    assert (page.reply.outcome, page.reply.code) == (Outcome.TAKEN, code)
    assert [one.call.name for one in synced] == ["fsync", "fsync"]
    assert named < sent.begun
    assert sum(one.ended < sent.begun for one in committed) >= 2
    assert page.seconds >= 4 * DELAY


@pytest.fixture(scope="module")
def cramped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has room for one page of a sender, and not for two."""
    settings = {**PATIENT, "limits": {"caller_bytes": PAGE_BYTES * 3 // 2}}
    with with_inlets(tmp_path_factory.mktemp("cramped"), settings, *KINDS) as server:
        yield server


@pytest.mark.parametrize(("kind", "code"), [("by-ftp", 452), ("by-mail", 452), ("by-web", 507)])
def test_a_page_without_room_is_not_stored_until_it_comes_again_and_there_is(
    cramped: Server, kind: str, code: int
) -> None:
    """T-S5, F-R10, I4: no file and no document of it is left, and its sender may send it again."""
    first, second = SourceJob(cramped, kind), SourceJob(cramped, kind)
    first.go_on()
    before = stored(cramped)
    reply = second.send()
    after = stored(cramped)
    cramped.works.service.discard(first.token, ADMIN)
    second.go_on()

    assert (reply.outcome, reply.code) == (Outcome.LATER, code)
    assert after == before
    assert promises.ended(second) == []


def stored(server: Server) -> tuple[list[str], list[object]]:
    """Return the files of the spool, and the documents of all jobs."""
    with contextlib.closing(sqlite3.connect(server.settings.storage.data_dir / "postscan.sqlite")) as database:
        return server.spool(), database.execute("select token, id, sha256 from document order by token, id").fetchall()
