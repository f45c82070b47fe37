"""The two jobs that the example messages of the digests are about."""

from __future__ import annotations

from datetime import UTC, datetime

from postscan.core.model.job import FilterStep, Job, JobDocument, JobToken
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.process import FilterInstructions
from postscan.core.model.states import FilterState, JobState
from postscan.soap.xml import namespaces

TOKEN = JobToken("5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935")
PROCESS_ID = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
OTHER_TOKEN = JobToken("8b1d1c0e-5a2f-4c57-9c3e-2a6f0d4e7b11")

OWNER = Principal("device:1", Proof.ADDRESS)


def a_job(
    first: FilterState = FilterState.SUCCEEDED,
    second: FilterState = FilterState.PROCESSING,
    reasons: tuple[str, ...] = (),
) -> Job:
    """Return the job of WS-DSP's examples, with one image; *reasons* are those of its first filter."""
    steps = [
        FilterStep(0, FilterInstructions(namespaces.FILESHARE, b"<a/>"), first, reasons),
        FilterStep(1, FilterInstructions(namespaces.EMAIL, b"<a/>"), second),
    ]
    return Job(
        token=TOKEN,
        owner=OWNER,
        user=User("S-1-5-21-2402718811-3310478420-1187263055-1613", "mlopez@fabrikam.example"),
        process_id=PROCESS_ID,
        process_name="Invoices to accounting",
        document_root="Invoice",
        continue_on_error=True,
        created=datetime(2026, 3, 2, 9, 41, 7, 125_000, tzinfo=UTC),
        steps=steps,
        state=JobState.PROCESSING,
        documents=[JobDocument(1, "pdf-a", 9, "0" * 64, "blob")],
    )


def another_job(dialect: str, filter_state: FilterState, state: JobState, reason: str = "", images: int = 3) -> Job:
    """Return the job of WS-DSC's examples, with one filter."""
    return Job(
        token=OTHER_TOKEN,
        owner=OWNER,
        user=User("S-1-5-21-1-2-3-1001", "alice@example.com"),
        process_id="3F2C9A10-7B64-4E55-8D0A-6C1E2B7F9D34",
        process_name="Invoices",
        document_root="Invoice",
        continue_on_error=False,
        created=datetime(2025, 3, 4, 9, 15, 30, 250_000, tzinfo=UTC),
        steps=[FilterStep(0, FilterInstructions(dialect, b"<a/>"), filter_state)],
        state=state,
        reasons=(reason,) if reason else (),
        documents=[JobDocument(number, "png", 9, "0" * 64, "blob") for number in range(1, images + 1)],
    )
