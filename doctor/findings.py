"""What a check of `postscan doctor` has found: a verdict, a sentence, and the line that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is: a problem keeps somebody from scanning now, a warning may do so soon or is a risk."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a check; `fix` is a command or a line of the settings, empty if there is nothing to mend."""

    check: str
    verdict: Severity
    sentence: str
    fix: str = ""


def ok(check: str, sentence: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Severity.OK, sentence)


def warning(check: str, sentence: str, fix: str) -> Finding:
    """Return what somebody should look at."""
    return Finding(check, Severity.WARNING, sentence, fix)


def problem(check: str, sentence: str, fix: str) -> Finding:
    """Return what has to be mended."""
    return Finding(check, Severity.PROBLEM, sentence, fix)
