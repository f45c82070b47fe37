"""Notes of a source about a job: who sees them, how many there are, and what they may consist of."""

from __future__ import annotations

import json

import pytest
from asked_inlet import Inlet
from sourced import ADMIN, ANNA, OWNER

from postscan.core.errors import JobNotFound
from postscan.core.filters.source import messages
from postscan.core.filters.source.messages import NOTES, EndRequest, NoteRequest, RequestDone, RequestLate
from postscan.core.model.json_lines import BadMessage
from postscan.core.model.principal import Principal, Proof


def test_a_note_is_kept_with_the_job_for_all_who_see_it(inlet: Inlet) -> None:
    """Also for the user of the job, and also after its end; to others the job is unknown."""
    job = inlet.opened()
    assert isinstance(inlet.ask(NoteRequest, job=job, text="150 dpi in place of 200 dpi"), RequestDone)
    inlet.page(job)
    inlet.ask(EndRequest, job=job)
    service = inlet.sources.core.service

    for by in (ADMIN, OWNER, Principal(f"user:{ANNA}", Proof.CERTIFICATE, sid=ANNA)):
        assert service.notes(job, by) == ("150 dpi in place of 200 dpi",)
    with pytest.raises(JobNotFound):
        service.notes(job, Principal("device:10.0.0.8", Proof.ADDRESS))


def test_notes_of_a_job_are_few_and_each_is_there_once(inlet: Inlet) -> None:
    """T-S5: a source that sends a thousand costs twenty-one writes, and the last line says that there were more."""
    job, written = inlet.opened(), []
    store = inlet.intake._parts.origins.note
    inlet.intake._parts.origins.note = lambda *about: (written.append(about), store(*about))  # type: ignore[assignment]
    for number in range(1000):
        for _ in range(2):
            inlet.ask(NoteRequest, job=job, text=f"note {number}")

    kept = inlet.sources.core.service.notes(job, ADMIN)
    assert kept == (*(f"note {number}" for number in range(NOTES)), "further notes are left out")
    assert len(written) == NOTES + 1


def test_a_note_is_one_line(inlet: Inlet) -> None:
    """T-C2: no line of a log or a page can be forged by it."""
    job = inlet.opened()
    inlet.ask(NoteRequest, job=job, text="one\ntwo\x1b[31m\u2028three\0")

    assert inlet.sources.core.service.notes(job, ADMIN) == ("one?two?[31m?three?",)


@pytest.mark.parametrize("text", ["", "x" * 301, "\ud800" * 301])
def test_a_note_that_is_no_line_is_no_message(text: str) -> None:
    """The source is ended for it, as for all that is no message."""
    with pytest.raises(BadMessage):
        messages.read_source(json.dumps({"type": "note", "id": 1, "job": "x", "text": text}).encode())


def test_a_note_about_a_job_that_was_cancelled_is_late(inlet: Inlet) -> None:
    """The source hears of the cancel by it."""
    job = inlet.opened()
    inlet.sources.core.service.cancel(job, ADMIN)
    inlet.notices()

    assert isinstance(inlet.ask(NoteRequest, job=job, text="no colour"), RequestLate)
    assert inlet.sources.core.service.notes(job, ADMIN) == ()
