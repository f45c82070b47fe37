"""Lines of the audit trail as CSV (RFC 4180), in parts, and harmless in a spreadsheet.

A spreadsheet takes a cell that begins with one of `= + - @`, a tab or a line end for a formula, and names of callers
and details come from devices: such a cell gets an apostrophe in front, as OWASP has it for CSV injection.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from postscan.console.rendering import stamp
from postscan.core.model.records import AuditLine

MOST: Final = 100_000
"""Most lines of a file."""

LINES: Final = 500
"""Lines of a part."""

COLUMNS: Final = ("number", "time", "who", "proof", "action", "about", "outcome", "detail")

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def parts(lines: Iterable[AuditLine]) -> Iterator[str]:
    """Yield the head, then the lines; a last row says so if they are more than `MOST`."""
    yield _csv([COLUMNS])
    left = iter(lines)
    wanted = itertools.islice(left, MOST)
    while part := list(itertools.islice(wanted, LINES)):
        yield _csv(_cells(line) for line in part)
    if next(left, None) is not None:
        yield _csv([[f"more than {MOST} lines: this file is not complete; give a shorter time"]])


def _cells(line: AuditLine) -> list[str]:
    texts = (line.who, line.proof, line.verb, line.token, line.outcome, line.detail)
    return [str(line.seq), stamp(line.at), *map(_harmless, texts)]


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(rows: Iterable[Iterable[str]]) -> str:
    target = io.StringIO()
    csv.writer(target).writerows(rows)
    return target.getvalue()
