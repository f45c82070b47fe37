"""What an onlooker sees of the data at one moment: rows and files, read past the server's own code."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from model.engine import Engine
from model.world import Filter, Job

from postscan.core.model.principal import Principal, Proof


@dataclass(frozen=True, slots=True)
class Happening:
    """One stored event."""

    seq: int
    kind: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """One job: its row with its filters, the blobs of its documents by id, and what happened to it."""

    job: Job
    created: datetime
    completed: datetime | None
    blobs: dict[int, str]
    events: tuple[Happening, ...]
    rest: tuple[Any, ...]
    """Everything else of an ended job that must never change."""
    kept: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """All jobs by token, all spool files with their hashes, all granted outputs, and all visible ones.

    `answers` holds the results of named requests by owner and name; `audit` who did what to which token. `usage` holds
    the stored sums of each owner, and `counted` the same computed from the rows: all bytes, and those that may go.
    """

    jobs: dict[str, Seen]
    files: dict[str, str]
    granted: frozenset[tuple[Any, ...]]
    shown: frozenset[tuple[Any, ...]]
    answers: dict[tuple[str, str], str]
    audit: frozenset[tuple[str, str, str, str]]
    usage: frozenset[tuple[str, int, int]]
    counted: frozenset[tuple[str, int, int]]


CONTENTS: Final = {
    hashlib.sha256(content).hexdigest(): content for content in (b"page one", b"page two", b"other page")
}
"""Every image that the model sends, by its hash."""

COUNT: Final = """
SELECT owner, SUM(size), SUM(CASE WHEN state IN ('Completed', 'Canceled') THEN size ELSE 0 END) FROM (
    SELECT owner, state, blob, size FROM document JOIN job USING (token) WHERE images_kept
    UNION
    SELECT owner, state, blob, size FROM made JOIN job USING (token)
    WHERE state NOT IN ('Completed', 'Canceled', 'Aborted')
) GROUP BY owner"""
"""What the spool must keep: images that are not removed, and what filters have made for open jobs."""


def look(engine: Engine) -> Sight:
    """Read everything."""
    db = engine.watcher
    steps, documents, events = defaultdict(list), defaultdict(list), defaultdict(list)
    for token, *row in db.execute("SELECT token, dialect, state, attempt, crashes FROM step ORDER BY position"):
        steps[token].append(row)
    for token, *row in db.execute("SELECT token, id, sha256, blob FROM document ORDER BY id"):
        documents[token].append(row)
    for token, seq, kind, fields in db.execute("SELECT token, seq, kind, fields FROM event ORDER BY seq"):
        events[token].append(Happening(seq, kind, json.loads(fields)))
    query = (
        "SELECT token, owner, owner_proof, continue_on_error, state, reasons, created, completed, images_kept FROM job"
    )
    jobs = {row[0]: _seen(row, steps[row[0]], documents[row[0]], tuple(events[row[0]])) for row in db.execute(query)}
    granted = frozenset(db.execute("SELECT token, position, document, name, published FROM delivery"))
    files = {name: hashlib.sha256(content).hexdigest() for name, content in engine.files().items()}
    answers = {
        (owner, name): result for owner, name, result in db.execute("SELECT owner, message_id, result FROM request")
    }
    lines = "SELECT who, proof, verb, token FROM audit WHERE seq > ? AND outcome = 'done'"
    audit = frozenset(db.execute(lines, (engine.audit_from,)))
    usage, counted = (frozenset(db.execute(query)) for query in ("SELECT * FROM usage", COUNT))
    return Sight(jobs, files, granted, frozenset(engine.shown.items()), answers, audit, usage, counted)


def _seen(row: Any, steps: list[Any], documents: list[Any], events: tuple[Happening, ...]) -> Seen:
    _token, owner, proof, go_on, state, reasons, created, completed, kept = row
    job = Job(
        owner=Principal(owner, Proof(proof)),
        filters=tuple(Filter(*step) for step in steps),
        go_on=bool(go_on),
        state=state,
        reasons=tuple(json.loads(reasons)),
        images=tuple((id, CONTENTS[sha256]) for id, sha256, _blob in documents),
    )
    return Seen(
        job=job,
        created=datetime.fromisoformat(created),
        completed=datetime.fromisoformat(completed) if completed else None,
        blobs={id: blob for id, _sha256, blob in documents},
        events=events,
        rest=(completed, *(tuple(step) for step in steps), *(tuple(document) for document in documents)),
        kept=bool(kept),
    )
