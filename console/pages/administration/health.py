"""The health of the installation: what `postscan doctor` finds, with what mends it; and as text for a request."""

from __future__ import annotations

import importlib.metadata
import platform
import sqlite3
from collections.abc import Iterable, Iterator

from starlette.responses import PlainTextResponse, Response

from postscan.console.rendering import moment, render, see_other
from postscan.console.request import ConsoleRequest
from postscan.doctor.findings import Finding, Severity

PATH = "/health"

_ORDER = (Severity.PROBLEM, Severity.WARNING, Severity.OK)


def show(request: ConsoleRequest) -> Response:
    """Return the page with the findings, problems first."""
    examinations = request.console.examinations
    findings = examinations.current()
    groups = [(severity, [one for one in findings if one.severity is severity]) for severity in _ORDER]
    return render(
        request,
        "administration/health.html",
        groups=groups,
        count={severity: len(found) for severity, found in groups},
        last=examinations.last,
        running=examinations.running,
    )


def check(request: ConsoleRequest) -> Response:
    """Begin an examination, unless one runs; show the page again."""
    begun = request.console.examinations.begin()
    return see_other(PATH, "The checks have begun." if begun else "The checks run already.")


def support(request: ConsoleRequest) -> Response:
    """Return the findings as plain text, with the versions of what is installed; no secret is in it."""
    examinations = request.console.examinations
    last = examinations.last
    checked = "only this machine" if last is None or last.ended is None else f"all, at {moment(last.ended)}"
    head = [
        f"postscan {importlib.metadata.version('postscan')}",
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.platform()}",
        f"time {moment(request.console.clock.now())}",
        f"checked {checked}",
        "",
    ]
    text = "\n".join([*head, *_lines(examinations.current())])
    return PlainTextResponse(f"{text}\n")


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    for one in findings:
        yield _plain(f"{one.severity:<8} {one.check}: {one.sentence}")
        if one.fix:
            yield _plain(f"{'':<8} -> {one.fix}")


def _plain(text: str) -> str:
    """Return a text in one line, with unprintable characters as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
