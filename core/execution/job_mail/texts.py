"""The text of a mail about a job: what happened, and what to do. Pure.

Names come from devices and processes, so each is one line of printable characters. The sentence of a filter is not in
the mail: it may have what an unknown error said, and a mail is read on its way. The page of the job has it.
"""

from __future__ import annotations

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from postscan.core.model.job import FilterStep, Job
from postscan.core.model.states import FilterState, JobReason, JobState
from postscan.core.store.callers.job_mail import JobMail

_LONGEST: Final = 100  # characters of a name in a text

_REASONS: Final = {
    JobReason.NO_VALID_INSTRUCTIONS: "The scan process names no filter that this server has.",
    JobReason.SEND_IMAGE_FAILED: "The pages did not come to their end.",
    JobReason.PROCESSING_FAILED: "The pages could not be processed.",
    JobReason.TIMED_OUT: "The device sent nothing for too long.",
    JobReason.ERRORS: "A step failed, so that something may not be delivered.",
}
_HELD: Final = "It is held, and waits until an administrator or an operator releases it."
_TO_DO: Final = {
    JobReason.NO_VALID_INSTRUCTIONS: "An administrator can mend the scan process. Then scan the pages again.",
    JobReason.SEND_IMAGE_FAILED: "Scan the pages again, or ask an administrator to release those that came.",
    JobReason.PROCESSING_FAILED: "Ask an administrator to look at it; the pages are kept until then.",
    JobReason.TIMED_OUT: "Scan the pages again, or ask an administrator to release those that came.",
    JobReason.ERRORS: "Ask an administrator to retry it while its pages are kept.",
}


def is_due(about: JobMail, job: Job) -> bool:
    """Return whether the mail is true still: a held job may have been released, or cancelled."""
    if about.kind == "held":
        return job.state is JobState.HELD
    return bool(set(job.reasons) & set(_REASONS))


def message(about: JobMail, job: Job, sender: str, recipient: str, console: str) -> EmailMessage:
    """Return the mail; *console* is the URL of the console, "" if people cannot open it.

    A mail has the same Message-ID however often it is sent, so that a mailbox can recognise a second copy.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = _address(sender)
    mail["To"] = _address(recipient)
    name = one_line(job.document_root, 60).replace("=?", "= ?")  # an encoded word would be decoded
    mail["Subject"] = f'Your scan "{name}" {"is held" if about.kind == "held" else "failed"}'
    mail["Date"] = format_datetime(about.at)
    mail["Message-ID"] = f"<{job.token}.{about.kind}.{about.seq}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no reply about absence
    mail.set_content(_text(about, job, console), cte="quoted-printable")
    return mail


def one_line(text: str, most: int = _LONGEST) -> str:
    """Return a text as one line of at most *most* printable characters."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= most else f"{line[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def _address(text: str) -> Address:
    return Address(addr_spec=text)


def _text(about: JobMail, job: Job, console: str) -> str:
    name, at = one_line(job.document_root), f"{job.created:%Y-%m-%d %H:%M} UTC"
    reason = next((JobReason(one) for one in job.reasons if one in _REASONS), None)
    failed = about.kind != "held" and reason is not None
    what = _REASONS[reason] if failed and reason else _HELD
    to_do = _TO_DO[reason] if failed and reason else "Ask an administrator or an operator, or cancel the job."
    lines = [
        f'Your scan "{name}" of {at} {"failed" if failed else "is held"}. {what}',
        "",
        f"What to do: {to_do}",
        "",
        f"Process: {one_line(job.process_name)}",
        f"Pages:   {job.images_received}",
        *(f"Step {step.position + 1}:  {_filter(step)}" for step in job.steps[:20]),
        f"Job:     {job.token}",
    ]
    if console:
        lines += ["", f"{console.rstrip('/')}/jobs/{job.token}"]
    return "\n".join([*lines, "", "This mail was sent by postscan, since you have chosen to be told.", ""])


def _filter(step: FilterStep) -> str:
    """Return the name of a filter and its state, in words."""
    name = one_line(re.split(r"[:/]", step.dialect)[-1]) or "filter"
    states = {
        FilterState.PENDING: "not begun",
        FilterState.PROCESSING: "at work",
        FilterState.CANCELED: "not done",
        FilterState.SUCCEEDED: "done",
        FilterState.WARNINGS: "done, with warnings",
        FilterState.ERRORS: "failed",
    }
    reasons = ", ".join(one_line(reason) for reason in step.reasons[:3])
    return f"{name}: {states[step.state]}{f' ({reasons})' if reasons else ''}"
