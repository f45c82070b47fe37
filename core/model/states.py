"""The states of a PostScan job and of its filters, and the verb that leads from one state to another.

Each machine is one table from state and verb to the next state. Everything else reads the table: the verbs of
`postscan.core.model.job`, the tests, and the diagram in the documents (`python -m postscan.core.model.states` prints
it).

A worker does not need to detect that a cancel raced it: it reports that a run finished or failed, and the row of
Terminating turns that report into Canceled. No verb leads from Terminating to Completed.

Source of the names: WS-DSP, the enumerations of JobState, JobStateReason, FilterState and FilterStateReason.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from postscan.core.errors import WrongState


class JobState(StrEnum):
    """The state of a job; the value is the spelling of the protocol."""

    CREATING = "Creating"
    PENDING = "Pending"
    HELD = "Pending-Held"
    STARTED = "Started"
    PROCESSING = "Processing"
    TERMINATING = "Terminating"
    COMPLETED = "Completed"
    ABORTED = "Aborted"
    CANCELED = "Canceled"

    @property
    def ended(self) -> bool:
        """True for the three states without a transition."""
        return not TRANSITIONS[self]

    @property
    def in_progress(self) -> bool:
        """True while an executor has the job."""
        return self in (JobState.STARTED, JobState.PROCESSING, JobState.TERMINATING)


class Verb(StrEnum):
    """An action on a job."""

    RECEIVE = "receive"
    END = "end"
    HOLD = "hold"
    RELEASE = "release"
    CLAIM = "claim"
    RUN = "run"
    FINISH = "finish"
    FAIL = "fail"
    EXPIRE = "expire"
    CANCEL = "cancel"


class JobReason(StrEnum):
    """The reason why a job is in its state."""

    NO_VALID_INSTRUCTIONS = "NoValidPostScanInstructionsFound"
    SEND_IMAGE_FAILED = "SendImageFailed"
    CANCELED = "PostScanJobCanceled"
    PROCESSING_FAILED = "PostScanJobProcessingFailed"
    TIMED_OUT = "PostScanJobTimedOut"
    SUCCEEDED = "PostScanJobCompletedSuccessfully"
    ERRORS = "PostScanJobCompletedWithErrors"
    WARNINGS = "PostScanJobCompletedWithWarnings"


class FilterState(StrEnum):
    """The state of one filter of a job."""

    PENDING = "Pending"
    PROCESSING = "Processing"
    CANCELED = "Canceled"
    SUCCEEDED = "CompletedSuccessfully"
    ERRORS = "CompletedWithErrors"
    WARNINGS = "CompletedWithWarnings"

    @property
    def ended(self) -> bool:
        """True for the four states without a transition."""
        return not FILTER_TRANSITIONS[self]


class FilterVerb(StrEnum):
    """An action on a filter of a job."""

    START = "start"
    SUCCEED = "succeed"
    WARN = "warn"
    FAIL = "fail"
    CANCEL = "cancel"


class FilterReason(StrEnum):
    """The reason why a filter failed; a filter may also give one of its own, written `prefix:name`."""

    INVALID_ARGS = "InvalidArgs"
    OUT_OF_DISK_SPACE = "OutOfDiskSpace"
    SERVER_OUT_OF_MEMORY = "ServerOutOfMemory"
    FILE_SHARE_ACCESS_DENIED = "FileShareAccessDenied"
    FILE_SHARE_OUT_OF_DISK_SPACE = "FileShareOutOfDiskSpace"
    SHAREPOINT_ACCESS_DENIED = "SharePointAccessDenied"
    SHAREPOINT_OUT_OF_DISK_SPACE = "SharePointOutOfDiskSpace"
    INVALID_SMTP_SERVER = "InvalidSMTPServer"
    UNABLE_TO_SEND_EMAIL = "UnableToSendEmail"
    UNKNOWN_ERROR = "UnknownError"


TRANSITIONS: Final = MappingProxyType(
    {
        JobState.CREATING: {
            Verb.RECEIVE: JobState.CREATING,
            Verb.END: JobState.PENDING,
            Verb.CANCEL: JobState.CANCELED,
            Verb.EXPIRE: JobState.ABORTED,
            Verb.FAIL: JobState.ABORTED,
        },
        JobState.PENDING: {
            Verb.CLAIM: JobState.STARTED,
            Verb.HOLD: JobState.HELD,
            Verb.CANCEL: JobState.CANCELED,
            Verb.FAIL: JobState.ABORTED,
        },
        JobState.HELD: {
            Verb.RELEASE: JobState.PENDING,
            Verb.CANCEL: JobState.CANCELED,
            Verb.FAIL: JobState.ABORTED,
        },
        JobState.STARTED: {
            Verb.RUN: JobState.PROCESSING,
            Verb.FAIL: JobState.ABORTED,
            Verb.CANCEL: JobState.TERMINATING,
        },
        JobState.PROCESSING: {
            Verb.RUN: JobState.PROCESSING,
            Verb.FINISH: JobState.COMPLETED,
            Verb.FAIL: JobState.ABORTED,
            Verb.CANCEL: JobState.TERMINATING,
        },
        JobState.TERMINATING: {
            Verb.RUN: JobState.TERMINATING,
            Verb.FINISH: JobState.CANCELED,
            Verb.FAIL: JobState.CANCELED,
            Verb.CANCEL: JobState.TERMINATING,
        },
        JobState.COMPLETED: {},
        JobState.ABORTED: {},
        JobState.CANCELED: {},
    }
)

FILTER_TRANSITIONS: Final = MappingProxyType(
    {
        FilterState.PENDING: {
            FilterVerb.START: FilterState.PROCESSING,
            FilterVerb.WARN: FilterState.WARNINGS,
            FilterVerb.FAIL: FilterState.ERRORS,
            FilterVerb.CANCEL: FilterState.CANCELED,
        },
        FilterState.PROCESSING: {
            FilterVerb.START: FilterState.PROCESSING,
            FilterVerb.SUCCEED: FilterState.SUCCEEDED,
            FilterVerb.WARN: FilterState.WARNINGS,
            FilterVerb.FAIL: FilterState.ERRORS,
            FilterVerb.CANCEL: FilterState.CANCELED,
        },
        FilterState.CANCELED: {},
        FilterState.SUCCEEDED: {},
        FilterState.ERRORS: {},
        FilterState.WARNINGS: {},
    }
)


def after(state: JobState, verb: Verb) -> JobState:
    """Return the state that *verb* leads to from *state*; raise `WrongState` where there is no edge."""
    try:
        return TRANSITIONS[state][verb]
    except KeyError:
        raise WrongState(verb, state) from None


def filter_after(state: FilterState, verb: FilterVerb) -> FilterState:
    """Return the filter state that *verb* leads to from *state*; raise `WrongState` where there is no edge."""
    try:
        return FILTER_TRANSITIONS[state][verb]
    except KeyError:
        raise WrongState(verb, state) from None


def diagram() -> str:
    """Draw the job table as text, one state a line."""
    width = max(len(state) for state in TRANSITIONS)
    lines = []
    for state, edges in TRANSITIONS.items():
        arrows = "  ".join(f"{verb}→{target}" for verb, target in edges.items())
        lines.append(f"{state:<{width}}  {arrows or '(nothing)'}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(diagram())  # noqa: T201  (its whole purpose)
