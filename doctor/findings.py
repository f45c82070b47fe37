"""The findings of the checks: a severity, a sentence, and the command that corrects the problem."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """A problem prevents scans now; a warning may do so later, or is a risk."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a check. `fix` is a command, a setting or a page of the documents; "" if all is in order."""

    check: str
    severity: Severity
    sentence: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the fields of `postscan doctor --json`."""
        return {"check": self.check, "verdict": self.severity, "sentence": self.sentence, "fix": self.fix}


def ok(check: str, sentence: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(check, Severity.OK, sentence)


def warning(check: str, sentence: str, fix: str) -> Finding:
    """Return a finding that an administrator should look at."""
    return Finding(check, Severity.WARNING, sentence, fix)


def problem(check: str, sentence: str, fix: str) -> Finding:
    """Return a finding that has to be corrected."""
    return Finding(check, Severity.PROBLEM, sentence, fix)
