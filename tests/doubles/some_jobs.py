"""Jobs in memory, for tests of the model."""

from __future__ import annotations

from datetime import UTC, datetime

from postscan.core.model.job import Job, JobDocument, JobToken
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.process import FilterInstructions, Instructions, ScanProcess

AT = datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)
ANNA = User("S-1-5-21-1-2-3-1001", "anna@fabrikam.example")
PAGE = JobDocument(1, "png", 4, "aa", "blob-1")


def new_job(filters=2, continue_on_error=False):
    """Make a job in state Creating with that many filters."""
    steps = tuple(FilterInstructions(f"urn:filter:{n}", b"<a/>") for n in range(filters))
    instructions = Instructions("Invoice", steps, continue_on_error)
    process = ScanProcess("{ID}", "Invoices", "scan01", instructions)
    return Job.create(JobToken("token"), Principal("device", Proof.ADDRESS), ANNA, process, instructions, AT)


def outcome(job):
    """Return what the outcome table of ws-dsp.md section 8 speaks of."""
    return job.state, job.reasons, [step.state for step in job.steps]
