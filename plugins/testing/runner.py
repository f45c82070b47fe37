"""Runs a filter without a server, and a clock that a test sets: for our tests and for those of plugin authors.

There are no mocks: the token is the real one, files are delivered, and the parent grants outputs like the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from postscan.core.filters import parameters
from postscan.core.filters.cancellation import CancellationToken, Cancelled, CancelSource, Checks
from postscan.core.filters.context import FilterContext
from postscan.core.filters.delivery import changes
from postscan.core.filters.facts import Document, JobFacts
from postscan.core.filters.filter import Filter
from postscan.core.filters.results import FilterFailed
from postscan.core.model import file_names, formats
from postscan.core.model.principal import User
from postscan.core.model.states import FilterState

Published = tuple[int | None, str, str]
"""One output: the document's id (None: the whole job), the destination, and the name there."""

EXAMPLE_USER: Final = User("S-1-5-21-1-2-3-1001", "anna@fabrikam.example", "anna@fabrikam.example")
EXAMPLE_TIME: Final = datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)

_BY_SUFFIX_ALONE: Final = {"pdf-a": "pdf", "tiff": "tiff-single-uncompressed"}
"""The keywords of files whose suffix does not decide between several, since their content is not read here."""

_FORMATS: Final = {suffix: _BY_SUFFIX_ALONE.get(keyword, keyword) for suffix, keyword in formats.SUFFIXES.items()}


class FakeClock:
    """A `postscan.core.clock.Clock` that stands still until a test advances it."""

    def __init__(self, now: datetime = EXAMPLE_TIME, ticks: float = 1000.0) -> None:
        self._now = now
        self._ticks = ticks

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""
        return self._now

    def ticks(self) -> float:
        """Return monotonic seconds."""
        return self._ticks

    def advance(self, seconds: float) -> None:
        """Advance both times by *seconds*."""
        self._now += timedelta(seconds=seconds)
        self._ticks += seconds


@dataclass(frozen=True)
class Made:
    """One document as the later filters would get it; `id` is None for a new one."""

    id: int | None
    format: str
    content: bytes


@dataclass(frozen=True)
class RunResult:
    """The end of a run, and all that the server would have received from it.

    `outcome` is the state that the filter would get. `published` are the outputs that became visible, in their order;
    pass them to the next `run_filter` as `earlier` to test a second run. `progress` has (done, total, unit), `log` has
    (level, text). `documents` are those that the later filters would get; None if they are unchanged.
    """

    outcome: FilterState
    warnings: tuple[str, ...]
    reasons: tuple[str, ...]
    detail: str
    published: list[Published]
    progress: list[tuple[int, int, str]]
    checks: Checks
    log: list[tuple[str, str]]
    documents: list[Made] | None = None


def run_filter(
    filter: Filter,
    files: Iterable[Path],
    *,
    instructions: Any = b"",
    settings: Mapping[str, Any] | None = None,
    cancel_at: int | None = None,
    user: User = EXAMPLE_USER,
    earlier: Iterable[Published] = (),
) -> RunResult:
    """Run *filter* in this process for a job of *files*, and return the result.

    The suffix of a file determines its format. `instructions` is an instance of the filter's `Instructions`, or the XML
    of a scan process; by default, an empty element. `settings` is the table `[filters.<plugin>]`. With `cancel_at=n`
    the job is cancelled at the n-th check of the token (1 is the first). An exception of the filter other than
    `FilterFailed` and `Cancelled` is a defect of the filter and passes through.
    """
    with _context_of(filter, files, instructions, settings, user, earlier, cancel_at) as (job, parent, source):
        outcome, warnings, reasons, detail = _outcome(filter, job)
        return RunResult(
            outcome=outcome,
            warnings=warnings,
            reasons=reasons,
            detail=detail,
            published=parent.outputs,
            progress=parent.steps,
            checks=source.checks,
            log=parent.lines,
            documents=_resulting_documents(job) if outcome in (FilterState.SUCCEEDED, FilterState.WARNINGS) else None,
        )


@contextlib.contextmanager
def job_for(
    filter: Filter,
    files: Iterable[Path],
    *,
    instructions: Any = b"",
    settings: Mapping[str, Any] | None = None,
    user: User = EXAMPLE_USER,
    earlier: Iterable[Published] = (),
) -> Iterator[FilterContext]:
    """Yield the context for `run` of *filter*, to test a part of it; the arguments are those of `run_filter`.

    Deliveries are real. The `workdir` is deleted afterwards.
    """
    with _context_of(filter, files, instructions, settings, user, earlier) as (job, _parent, _source):
        yield job


@contextlib.contextmanager
def _context_of(
    filter: Filter,
    files: Iterable[Path],
    instructions: Any,
    settings: Mapping[str, Any] | None,
    user: User,
    earlier: Iterable[Published],
    cancel_at: int | None = None,
) -> Iterator[tuple[FilterContext, _RecordingParent, CancelSource]]:
    documents = tuple(_document(id, path, user) for id, path in enumerate(files, start=1))
    table = dict(settings or {})
    with CancelSource(patience=filter.grace) as source, tempfile.TemporaryDirectory(prefix="postscan-") as workdir:
        parent = _RecordingParent(source)
        job = FilterContext(
            job=JobFacts("5a0c3c5e-6d3c-4f0e-9d59-0b8f2f7c1a10", "Test process", EXAMPLE_TIME),
            user=user,
            instructions=_instructions(filter, instructions),
            settings=filter.Settings(**table) if filter.Settings else table,
            workdir=Path(workdir),
            token=_CancelAt.open(source.page).arm(source, cancel_at),
            parent=parent,
            all_documents=documents,
            earlier={(document, destination): name for document, destination, name in earlier},
        )
        yield job, parent, source


def _instructions(filter: Filter, given: Any) -> Any:
    """Return the instructions as the filter's process would parse them."""
    made = given
    if filter.Instructions is not None and isinstance(given, bytes):
        made = parameters.read(filter.Instructions, given or b"<Instructions xmlns='urn:x'/>", filter.dialect)
    filter.check(made)
    return made


def _resulting_documents(job: FilterContext) -> list[Made] | None:
    entries = job.changes.entries
    if entries is None:
        return None
    given = {document.id: document.path for document in job.all_documents}
    files = job.workdir / changes.FOLDER
    return [
        Made(one.id, one.format, (given[one.id or 0] if one.made is None else files / str(one.made)).read_bytes())
        for one in entries
    ]


def _outcome(filter: Filter, job: FilterContext) -> tuple[FilterState, tuple[str, ...], tuple[str, ...], str]:
    try:
        result = filter.run(job, job.token)
    except Cancelled:
        return FilterState.CANCELED, (), (), ""
    except FilterFailed as failure:
        return FilterState.ERRORS, (), tuple(str(reason) for reason in failure.reasons), failure.detail
    warnings = result.warnings if result else ()
    return FilterState.WARNINGS if warnings else FilterState.SUCCEEDED, warnings, (), ""


def _document(id: int, path: Path, user: User) -> Document:
    format = _FORMATS.get(path.suffix.lower())
    if format is None:
        raise ValueError(f"{path.name}: no format has this suffix; expected one of {', '.join(sorted(_FORMATS))}")
    content = path.read_bytes()
    name = file_names.document_name("Scan", user.name, EXAMPLE_TIME, id, format)
    return Document(id, format, len(content), hashlib.sha256(content).hexdigest(), path, name)


class _CancelAt(CancellationToken):
    """The real token, with a cancel exactly at one of its checks."""

    def arm(self, source: CancelSource, number: int | None) -> _CancelAt:
        self._source, self._number = source, number
        return self

    @property
    def cancelled(self) -> bool:
        if self._source.checks.number + 1 == self._number:
            self._source.cancel("cancelled by the test")
        return super().cancelled

    def wait(self, seconds: float) -> bool:
        """Check once and sleep: no cancel can happen meanwhile, and a pause of any length counts as one check."""
        if not self.cancelled:
            time.sleep(seconds)
        return self._source.cancelled


@dataclass
class _RecordingParent:
    """Grants outputs like the server, until the cancel, and records all calls."""

    source: CancelSource
    outputs: list[Published] = field(default_factory=list)
    steps: list[tuple[int, int, str]] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)

    def grant(self, document: int | None, destination: str, name: str) -> bool:
        return not self.source.cancelled

    def published(self, document: int | None, destination: str, name: str) -> None:
        self.outputs.append((document, destination, name))

    def withdrawn(self, document: int | None, destination: str, name: str) -> None:
        """Do nothing: a granted name that did not become visible is not an output."""

    def progress(self, done: int, total: int, unit: str) -> None:
        self.steps.append((done, total, unit))

    def log(self, level: str, text: str) -> None:
        self.lines.append((level, text))
