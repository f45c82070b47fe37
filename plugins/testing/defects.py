"""The defects of a plugin, found in the records of its runs.

The functions only read records; `postscan.plugins.testing.sandbox` and `.monitor` list the facts in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from postscan.core.model.states import FilterState
from postscan.core.registry import redaction
from postscan.plugins.testing.runner import Published
from postscan.plugins.testing.sandbox import RunRecord


class DefectKind(StrEnum):
    """The kinds of defects of a plugin."""

    IMPORT = "import error"
    API = "wrong API version"
    NO_TOKEN = "run without token"  # noqa: S105  (no password)
    NEVER_CHECKS = "never checks the token"
    SWALLOWS = "swallows the cancel"
    AFTER = "publishes after the cancel"
    OUTSIDE = "writes outside its workdir"
    LEAVES = "leaves temporary files or child processes"
    TWICE = "not harmless when run twice"
    SCHEMA = "missing or invalid instruction schema"
    SECRET = "secret in the log"  # noqa: S105  (no password)
    GLOBAL = "changes global state"


class SourceDefectKind(StrEnum):
    """The kinds of defects of a source."""

    IMPORT = "import error"
    API = "wrong API version"
    NO_TOKEN = "run without token"  # noqa: S105  (no password)
    ENDS = "ends by itself"
    STOP = "does not stop in time"
    PROOF = "uses a proof that it does not declare"
    EARLY = "acknowledges before the job is stored"
    HALF = "makes a job of a half"
    TWICE = "makes two jobs of one origin"
    LOSES = "loses an origin"
    CANCEL = "goes on after a cancel"
    SECRET = "secret in the log"  # noqa: S105  (no password)


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect; the sentence names what was observed, and how to mend it."""

    kind: DefectKind
    sentence: str


@dataclass(frozen=True, slots=True)
class SourceDefect:
    """One defect of a source, as of a filter."""

    kind: SourceDefectKind
    sentence: str


NO_SCHEMA: Final = Defect(DefectKind.SCHEMA, "declare a dataclass Instructions; an empty one if the filter takes none")

_REFUSALS: Final = {
    "this postscan offers version": DefectKind.API,
    "cannot be told to stop": DefectKind.NO_TOKEN,
    ".run would never run": DefectKind.NO_TOKEN,
    ".Instructions cannot be used": DefectKind.SCHEMA,
}
_UNFINISHED: Final = (".part", ".partial", ".tmp", ".temp", "~")


def refused(reason: str) -> Defect:
    """Return the defect of a plugin that `core.filters.loader` refused, by the text of its error."""
    kinds = (kind for part, kind in _REFUSALS.items() if part in reason)
    return Defect(next(kinds, DefectKind.IMPORT), reason)


def refused_source(reason: str) -> SourceDefect:
    """Return the defect of a source that `core.filters.loader` refused, by the text of its error."""
    name = refused(reason).kind.name
    return SourceDefect(SourceDefectKind.__members__.get(name, SourceDefectKind.IMPORT), reason)


def of_checks(whole: RunRecord) -> Iterator[Defect]:
    """Yield the defect of a complete run that never checked its token."""
    if whole.first("began") and not whole.first("checked"):
        yield Defect(
            DefectKind.NEVER_CHECKS,
            "it never checked its token: iterate job.documents, or call token.check() before each document and "
            "around each slow call",
        )


def of_actions(record: RunRecord, secrets: frozenset[str]) -> Iterator[Defect]:
    """Yield the defects of any run: files, processes, global state and secrets."""
    if outside := record.all("outside"):
        yield Defect(
            DefectKind.OUTSIDE,
            f"it wrote {_some(outside)}: write into job.workdir, and publish by job.deliver or job.publish",
        )
    if left := [*record.all("left"), *record.all("leftover"), *_unfinished(record)]:
        yield Defect(
            DefectKind.LEAVES,
            f"these were left after its end: {_some(left)}; start programs by job.run_tool, and keep temporary "
            "files in job.workdir",
        )
    if changed := record.all("changed"):
        yield Defect(DefectKind.GLOBAL, f"it left changed: {_some(changed)}; restore it in a finally")
    texts = [str(text) for key in ("text", "warned", "failed") for text in record.all(key)]
    if redaction.contains_secret(secrets, texts):
        yield Defect(DefectKind.SECRET, "a secret of its settings is in a log line, a warning or an error")
    elif redaction.contains_secret(secrets, [record.printed]):
        yield Defect(DefectKind.SECRET, "it prints a secret of its settings, and its output goes to the log")


def of_cancel(number: int, record: RunRecord, whole: RunRecord) -> Iterator[Defect]:
    """Yield the defects of a run that was cancelled at one check; *whole* is a complete run."""
    if not record.first("cancelled"):
        return
    if problem := _not_stopped(record):
        yield Defect(
            DefectKind.SWALLOWS,
            f"cancelled at check {number}, {problem}: let Cancelled through, and clean up in a finally",
        )
    outside = [] if whole.all("outside") else [f"wrote {path}" for path in record.all("outside_after_cancel")]
    if actions := [*record.all("after"), *outside]:
        yield Defect(
            DefectKind.AFTER,
            f"cancelled at check {number}, it {_some(actions)}: make outputs visible inside job.publish only, and "
            "begin nothing after the cancel",
        )


def of_second(first: RunRecord, second: RunRecord) -> Iterator[Defect]:
    """Yield the defects of a run that got the outputs of the first one as `earlier`: it must not publish them twice."""
    if reason := no_success(second):
        yield _twice(f"a second run failed: {reason}")
    yield from _repeated(first.published, second)
    made = first.all("made")
    if more := [path for path in second.all("made") if path not in made]:
        yield _twice(f"a second run made {_some(more)} as well")
    if longer := [path for path in second.all("appended") if path in (*made, *first.all("appended"))]:
        yield _twice(f"a second run appended to {_some(longer)} again")


def of_rest(whole: RunRecord, partly: RunRecord, rest: RunRecord) -> Iterator[Defect]:
    """Yield the defects of a run after a cancelled one: together they must publish what one complete run does."""
    if reason := no_success(rest):
        yield _twice(f"after a cancelled run the next one failed: {reason}")
        return
    yield from _repeated(partly.published, rest)
    there = _outputs((*partly.published, *rest.published))
    if missing := [f"document {one[0] or 'all'} at {one[1]}" for one in _outputs(whole.published) - there]:
        yield _twice(f"after a cancelled run the next one did not publish {_some(sorted(missing))}")
    if len({*partly.all("made"), *rest.all("made")}) > len(whole.all("made")):
        yield _twice("a cancelled run and the next one made more files together than one complete run")


def no_success(record: RunRecord) -> str:
    """Return why a run did not succeed; empty if it did."""
    if died := record.first("died"):
        return f"its process ended by itself ({died})"
    if record.succeeded:
        return ""
    if seconds := record.first("killed"):
        return f"it had not ended after {seconds:g} seconds"
    if record.first("outcome") == FilterState.CANCELED:
        return "it raised Cancelled, and the job was not cancelled"
    return str(record.first("lacks") or record.first("failed") or "nothing was recorded of its run")


def _not_stopped(record: RunRecord) -> str:
    """Return how a cancelled run failed to stop; empty if it stopped."""
    if seconds := record.first("killed"):
        return f"it had not ended when its run had lasted {seconds:.0f} seconds, and was killed"
    if died := record.first("died"):
        return f"its process ended by itself ({died})"
    if record.first("raised") and record.first("outcome") != FilterState.CANCELED:
        return f"it ended with {record.first('outcome') or record.first('failed')}"
    if late := record.first("late"):
        return f"it ended {late:g} seconds after its grace period"
    return ""


def _repeated(before: Sequence[Published], again: RunRecord) -> Iterator[Defect]:
    names = {(document, destination): name for document, destination, name in before}
    for document, destination, name in again.published:
        if names.get((document, destination), name) != name:
            yield _twice(f"{names[document, destination]} was published again as {name} at {destination}")


def _twice(problem: str) -> Defect:
    remedy = "deliver by job.deliver, or recognise in job.earlier what an earlier run published"
    return Defect(DefectKind.TWICE, f"{problem}; {remedy}")


def _outputs(published: Sequence[Published]) -> set[tuple[int | None, str]]:
    return {(document, destination) for document, destination, _ in published}


def _unfinished(record: RunRecord) -> list[str]:
    """Return the unpublished files that a run left at a destination: hidden, or with a name for unfinished files."""
    names = {Path(name).name for _, _, name in record.published}
    return [
        path
        for path in record.all("made")
        if (name := Path(path).name) not in names and (name.startswith(".") or name.endswith(_UNFINISHED))
    ]


def _some(items: Sequence[str], most: int = 3) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more
