"""A test of the contract of `core.filters.source`: a source is killed and refused at each step, and cut at many bytes.

    without an origin   it runs until it is stopped, and stops in time; also when the server dies
    a whole origin      it is acknowledged when its job is stored, and not before
    at each step        the process is killed, before the step and when it was carried out; the server dies; the source
                        is stopped; the server is busy, refuses, has cancelled the job. Then the origin comes again:
                        there is one job of it, and not two
    cut at many bytes   no job is made, and the next origin is

A step is a request of a job: `open`, `leave`, `page`, `end`. The source runs in processes of its own; the server's side
is in memory (`postscan.plugins.testing.sources.server`), so what is tested is the source, and not a database.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from postscan.core.errors import PluginError
from postscan.core.filters import loader
from postscan.core.filters.source.source import Source
from postscan.core.registry import redaction
from postscan.plugins.testing import defects
from postscan.plugins.testing.defects import SourceDefect, SourceDefectKind
from postscan.plugins.testing.sources.drive import Drive, NotPossible, SourceBroken
from postscan.plugins.testing.sources.examination import Examination
from postscan.plugins.testing.sources.faults import StepFault
from postscan.plugins.testing.sources.origin import Origin, page

CUTS: Final = 200
"""How often an origin is cut by default."""


@dataclass(frozen=True, slots=True)
class SourceReport:
    """The defects, each kind once, and how many processes and origins there were.

    `untried` is the reason why the source cannot be tested with these settings and this origin, which is not a defect;
    empty if it can.
    """

    defects: tuple[SourceDefect, ...] = ()
    untried: str = ""
    processes: int = 0
    origins: int = 0


def assert_source_contract(
    source: Source,
    origin: Origin | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    accounts: Mapping[str, str] | None = None,
    cuts: int = CUTS,
    seconds: float = 30.0,
    **about: Any,
) -> None:
    """Run *source* with an *origin*, break it off in every way, and raise `AssertionError` for defects.

    *settings* is the table of an inlet without the server's own keys. *accounts* are names and passwords that are
    right. *seconds* is the longest wait for one job. *about* are what else the server would send at the start:
    `destinations`, `devices`, `allow_clear`. The error has one line for each defect, and one if the source cannot be
    tested. Without an origin only starting, stopping and the log are tested.
    """
    found = examine(source, origin, settings=settings, accounts=accounts, cuts=cuts, seconds=seconds, about=about)
    sentences = [f"{one.kind}: {one.sentence}" for one in found.defects]
    if found.untried:
        sentences.append(f"it could not be tested: {found.untried}")
    if sentences:
        raise AssertionError("\n".join([f"{type(source).__name__} does not keep the contract of sources:", *sentences]))


def examine(
    source: Source,
    origin: Origin | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    accounts: Mapping[str, str] | None = None,
    cuts: int = CUTS,
    seconds: float = 30.0,
    about: Mapping[str, Any] | None = None,
    faults: Iterable[StepFault] = StepFault,
) -> SourceReport:
    """Return the defects of *source*; the arguments are those of `assert_source_contract`, and the faults at steps."""
    try:
        loader.check_source(source)
    except PluginError as error:
        return SourceReport((defects.refused_source(str(error)),))
    table = dict(settings or {})
    secrets = redaction.secrets(source.Settings, table)
    untried = ""
    with tempfile.TemporaryDirectory(prefix="postscan-source-", ignore_cleanup_errors=True) as home:
        drive = Drive(source, origin, Path(home), table, accounts or {}, seconds, about or {})
        try:
            _run_all(Examination(drive), drive.has_origin, cuts, faults)
        except SourceBroken:
            pass  # the defect is recorded
        except NotPossible as reason:
            untried = redaction.without(secrets, str(reason))
    return SourceReport(tuple(_defects(drive, secrets)), untried, drive.processes, drive.origins)


def _run_all(examination: Examination, has_origin: bool, cuts: int, faults: Iterable[StepFault]) -> None:
    examination.run_and_stop()
    examination.run_and_lose_the_server()
    if not has_origin:
        return
    steps = examination.bring_whole()
    for fault in faults:
        for step in range(fault.first, steps):
            examination.bring_with(fault, step)
    examination.cut(_sizes(len(page(0)), cuts))
    examination.cancel_at_the_origin()


def _defects(drive: Drive, secrets: frozenset[str]) -> Iterator[SourceDefect]:
    found = dict(drive.found)
    if redaction.contains_secret(secrets, drive.texts):
        sentence = "a secret of its settings is in a log line, a note, its health or an error, or it prints one"
        found[SourceDefectKind.SECRET] = sentence
    for kind in SourceDefectKind:
        if kind in found:
            yield SourceDefect(kind, redaction.without(secrets, found[kind]))


def _sizes(size: int, cuts: int) -> list[int]:
    """Return where to cut a page of *size* bytes: at its begin and its end, and at places that are always the same."""
    ends = [0, 1, size // 2, size - 1][:cuts]
    places = random.Random(size)  # noqa: S311  (no secret)
    return ends + [places.randrange(1, size) for _ in range(cuts - len(ends))]
