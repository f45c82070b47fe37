"""What can be wrong with a plugin, and how it shows in what was seen of its runs.

Everything here only reads accounts (`postscan.plugins.testing.sandbox`); what their words mean is said there.
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
    """What can be wrong with a plugin."""

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


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is wrong; the sentence says what was seen, and what the author should do."""

    kind: DefectKind
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
    """Return the defect of a plugin that could not be loaded, by the sentence that `core.filters.loader` had."""
    kinds = (kind for part, kind in _REFUSALS.items() if part in reason)
    return Defect(next(kinds, DefectKind.IMPORT), reason)


def of_looks(whole: RunRecord) -> Iterator[Defect]:
    """Judge a whole run by how it looked at its token."""
    if whole.first("began") and not whole.first("looked"):
        yield Defect(
            DefectKind.NEVER_CHECKS,
            "it did not look at its token once: iterate job.documents, or call token.check() before each document and "
            "around each slow call",
        )


def of_actions(account: RunRecord, secrets: frozenset[str]) -> Iterator[Defect]:
    """Judge any run by what it did to the world, and by what it gave away."""
    if outside := account.all("outside"):
        yield Defect(
            DefectKind.OUTSIDE,
            f"it wrote {_some(outside)}: write into job.workdir, and show it by job.deliver or job.publish",
        )
    if left := [*account.all("left"), *account.all("lies"), *_unfinished(account)]:
        yield Defect(
            DefectKind.LEAVES,
            f"this was there when it had ended: {_some(left)}; start programs by job.run_tool, and keep temporary "
            "files in job.workdir",
        )
    if changed := account.all("changed"):
        yield Defect(DefectKind.GLOBAL, f"it left changed: {_some(changed)}; put it back in a finally")
    said = [str(text) for word in ("said", "warned", "failed") for text in account.all(word)]
    if redaction.betrayed(secrets, said):
        yield Defect(DefectKind.SECRET, "a secret of its settings is in a line for the log, a warning or an error")
    elif redaction.betrayed(secrets, [account.printed]):
        yield Defect(DefectKind.SECRET, "it prints a secret of its settings, and what it prints goes to the log")


def of_cancel(number: int, account: RunRecord, whole: RunRecord) -> Iterator[Defect]:
    """Judge a run that was cancelled at one look; *whole* is one that was not."""
    if not account.first("cancelled"):
        return
    if seen := _not_stopped(account):
        yield Defect(
            DefectKind.SWALLOWS,
            f"cancelled at look {number}, {seen}: let Cancelled through, and clean up in a finally",
        )
    astray = [] if whole.all("outside") else [f"wrote {path}" for path in account.all("astray")]
    if deeds := [*account.all("after"), *astray]:
        yield Defect(
            DefectKind.AFTER,
            f"cancelled at look {number}, it {_some(deeds)}: show outputs inside job.publish only, and begin nothing "
            "once the cancel has come",
        )


def of_second(first: RunRecord, second: RunRecord) -> Iterator[Defect]:
    """Judge a run that knew what the first one had published: it must not be there twice."""
    if reason := no_success(second):
        yield _twice(f"a second run failed: {reason}")
    yield from _repeated(first.published, second)
    made = first.all("made")
    if more := [path for path in second.all("made") if path not in made]:
        yield _twice(f"a second run made {_some(more)} as well")
    if longer := [path for path in second.all("appended") if path in (*made, *first.all("appended"))]:
        yield _twice(f"a second run appended to {_some(longer)} again")


def of_rest(whole: RunRecord, partly: RunRecord, rest: RunRecord) -> Iterator[Defect]:
    """Judge a run that followed on one that had been cancelled: together they must make one whole run."""
    if reason := no_success(rest):
        yield _twice(f"after a cancelled run the next one failed: {reason}")
        return
    yield from _repeated(partly.published, rest)
    there = _outputs((*partly.published, *rest.published))
    if missing := [f"document {one[0] or 'all'} at {one[1]}" for one in _outputs(whole.published) - there]:
        yield _twice(f"after a cancelled run the next one did not publish {_some(sorted(missing))}")
    if len({*partly.all("made"), *rest.all("made")}) > len(whole.all("made")):
        yield _twice("a cancelled run and the next one made more files together than one whole run")


def no_success(account: RunRecord) -> str:
    """Return why a run did not come to a good end; empty if it did."""
    if died := account.first("died"):
        return f"its process ended by itself ({died})"
    if account.succeeded:
        return ""
    if seconds := account.first("killed"):
        return f"it had not ended after {seconds:g} seconds"
    if account.first("outcome") == FilterState.CANCELED:
        return "it raised Cancelled, and nobody had cancelled it"
    return str(account.first("lacks") or account.first("failed") or "nothing is known of its run")


def _not_stopped(account: RunRecord) -> str:
    """Return how a cancelled run did not stop as it should have; empty if it did."""
    if seconds := account.first("killed"):
        return f"it had not ended when its run had lasted {seconds:.0f} seconds, and was killed"
    if died := account.first("died"):
        return f"its process ended by itself ({died})"
    if account.first("told") and account.first("outcome") != FilterState.CANCELED:
        return f"it ended with {account.first('outcome') or account.first('failed')}"
    if late := account.first("late"):
        return f"it ended {late:g} seconds after its grace time"
    return ""


def _repeated(before: Sequence[Published], again: RunRecord) -> Iterator[Defect]:
    names = {(document, destination): name for document, destination, name in before}
    for document, destination, name in again.published:
        if names.get((document, destination), name) != name:
            yield _twice(f"{names[document, destination]} was published again as {name} at {destination}")


def _twice(seen: str) -> Defect:
    remedy = "deliver by job.deliver, or recognise in job.earlier what an earlier run published"
    return Defect(DefectKind.TWICE, f"{seen}; {remedy}")


def _outputs(published: Sequence[Published]) -> set[tuple[int | None, str]]:
    return {(document, destination) for document, destination, _ in published}


def _unfinished(account: RunRecord) -> list[str]:
    """Return what a run made at a destination that nobody asked for: hidden files, and those named like a draft."""
    names = {Path(name).name for _, _, name in account.published}
    return [
        path
        for path in account.all("made")
        if (name := Path(path).name) not in names and (name.startswith(".") or name.endswith(_UNFINISHED))
    ]


def _some(seen: Sequence[str], most: int = 3) -> str:
    more = f" and {len(seen) - most} more" if len(seen) > most else ""
    return ", ".join(map(str, seen[:most])) + more
