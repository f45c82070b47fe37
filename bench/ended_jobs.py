"""Make a data folder with many ended jobs: a few real ones of each kind, and copies of their rows and files.

The real jobs go through the service and the store, so the copies have whatever rows a job leaves: steps, documents,
deliveries, events, responses, and lines of the audit trail. A copy has a token, an owner and times of its own.
"""

from __future__ import annotations

import contextlib
import json
import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from bench import servers
from postscan import migrations
from postscan.core.engine import Engine
from postscan.core.model.job import JobTurn
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.core.model.records import Delivery, RequestKey
from postscan.core.model.states import FilterVerb, JobReason
from postscan.core.settings import Settings
from postscan.core.store.schema import AUDIT, DELIVERY, DOCUMENT, EVENT, JOB, METADATA, REQUEST, STEP
from postscan.soap.processes.folder import ProcessFolder

BUSY: Final = Principal("device:192.0.2.1", Proof.ADDRESS)
"""The owner of half of the jobs, each with two documents that are kept."""

OTHERS: Final = [Principal(f"device:192.0.2.{number}", Proof.ADDRESS) for number in range(2, 22)]
USER: Final = "S-1-5-21-1-2-3-1001"
IMAGE: Final = b"\x89PNG" * 16
KINDS: Final = {"kept": 0.50, "removed": 0.38, "canceled": 0.06, "silent": 0.03, "failed": 0.03}
"""The kinds of jobs, and the share of each: completed ones with their images and without, canceled and timed out ones
without an image, and failed ones with theirs."""

_SPAN: Final = 30 * 24 * 3600.0  # seconds over which the jobs are spread
_CHUNK: Final = 2000  # jobs whose rows are inserted at once
INSTRUCTIONS: Final = Instructions(
    "Bench", (FilterInstructions("urn:bench:one", b"<do/>"), FilterInstructions("urn:bench:two", b"<do/>"))
)
Row = dict[str, Any]


def settings(folder: Path, database: str = "") -> dict[str, dict[str, Any]]:
    """Return the settings, by table, of a server by which nothing of such a folder is due to be removed."""
    year = 8760
    return {
        "server": {"port": 0},
        "console": {"enabled": False},
        "storage": {"data_dir": str(folder), "database": database},
        "processes": {"lenient": True},
        "limits": {"open_jobs": 100_000},
        "plugins": {"disabled": ["fileshare"]},
        "retention": {"image_hours": year, "timed_out_hours": year, "job_hours": year, "request_hours": year},
    }


def as_toml(settings: dict[str, dict[str, Any]]) -> str:
    """Return settings as a file for `postscan --config`."""
    lines = []
    for name, table in settings.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines)


@contextlib.contextmanager
def engine(table: dict[str, dict[str, Any]]) -> Iterator[Engine]:
    """Open an engine that does not run, and migrate its database."""
    settings = Settings.model_validate(table)
    migrations.upgrade(settings.storage.url)
    processes = ProcessFolder(settings.processes_dir, lenient=True)
    with contextlib.closing(Engine(settings, processes)) as opened:
        yield opened


def fill(settings: dict[str, dict[str, Any]], number: int) -> None:
    """Make *number* ended jobs."""
    with engine(settings) as opened:
        patterns = {kind: _Pattern(opened, _end(opened, kind)) for kind in KINDS}
        chosen = random.Random(0).choices(list(KINDS), weights=list(KINDS.values()), k=number - len(KINDS))
        for start in range(0, len(chosen), _CHUNK):
            copies = [
                patterns[kind].copy(BUSY if kind == "kept" else OTHERS[place % len(OTHERS)], 1 - place / number)
                for place, kind in enumerate(chosen[start : start + _CHUNK], start)
            ]
            with opened.store.writing() as db:
                for table in (JOB, STEP, DOCUMENT, DELIVERY, EVENT, AUDIT, REQUEST):
                    rows = [row for copy in copies for row in copy[table.name]]
                    db.execute(sa.insert(table), rows)
        recount = getattr(opened.store, "recount", None)  # not there in versions without sums
        if recount is not None:
            recount()


def _end(engine: Engine, kind: str) -> str:
    """Make one job of this kind; return its token."""
    service, store, now = engine.service, engine.store, engine.clock.now()
    token = service.create(BUSY, USER, servers.PROCESS, INSTRUCTIONS, _request())
    if kind == "canceled":
        service.cancel(token, BUSY, _request())
        return token
    if kind == "silent":
        with store.change(token) as job:
            job.expire(now)
        return token
    for id in range(1, 3 if kind == "kept" else 2):
        with service.open_image(token, BUSY, id, "png", _request()) as sink:
            sink.write(IMAGE)
    service.end(token, BUSY, _request())
    store.claim(now, "a holder")
    for position in range(len(INSTRUCTIONS.filters)):
        with store.change(token) as job:
            job.start(position, now)
        if kind == "failed":
            break
        for document in job.documents:
            about = Delivery(position, document.id, "/srv/scans/invoices", f"Bench-{document.id}.png", published=True)
            store.grant(JobTurn(token, 1), position, 1, about, now)
            store.confirm(JobTurn(token, 1), position, about)
        with store.change(token) as job:
            job.report(position, FilterVerb.SUCCEED, now, progress="done")
    with store.change(token) as job:
        if kind == "failed":
            job.fail(JobReason.PROCESSING_FAILED, now)
        else:
            job.finish(now)
    if kind == "removed":
        engine.retention.remove_images(store.load(token))
    return token


class _Pattern:
    """The rows and files of one real job, to be copied."""

    def __init__(self, engine: Engine, token: str) -> None:
        self._token = token
        self._spool = engine.settings.storage.spool_dir
        self._now = engine.clock.ticks()
        engine.store.record_ended(self._now)
        with engine.store.reading() as db:
            self._rows = {
                table.name: [row._asdict() for row in db.execute(query)]
                for table in METADATA.tables.values()
                if (query := self._query(table)) is not None
            }

    def copy(self, owner: Principal, age: float) -> dict[str, list[Row]]:
        """Return the rows of a copy by table, and write its files; *age* is from 0 to 1."""
        token = str(uuid.uuid4())
        return {
            name: [self._changed(name, row, token, owner, age * _SPAN) for row in rows]
            for name, rows in self._rows.items()
        }

    def _query(self, table: sa.Table) -> sa.Select[Any] | None:
        columns = [column for column in table.c if column.name != "seq"]
        query = sa.select(*columns)
        if table is REQUEST:  # its rows do not name their job: those of the owner are alike
            return query.where(table.c.owner == _sender(BUSY)).limit(4)
        if table is EVENT:  # and those of the repository meanwhile
            numbers = sa.select(sa.func.min(EVENT.c.seq), sa.func.max(EVENT.c.seq)).where(EVENT.c.token == self._token)
            first, last = (numbers.with_only_columns(one).scalar_subquery() for one in numbers.selected_columns)
            return query.where(EVENT.c.seq.between(first, last)).order_by(EVENT.c.seq)
        return query.where(table.c.token == self._token) if "token" in table.c else None

    def _changed(self, name: str, row: Row, token: str, owner: Principal, seconds: float) -> Row:
        changed = {
            key: value - timedelta(seconds=seconds) if isinstance(value, datetime) else value
            for key, value in row.items()
        }
        changed |= {"token": token} if row.get("token") else {}
        if name == "job":
            changed |= {"owner": owner.name, "ended_ticks": self._now - seconds}
        elif name == "audit":
            changed |= {"who": owner.name}
        elif name == "request":
            changed |= {"owner": _sender(owner), "message_id": f"urn:uuid:{uuid.uuid4()}"}
        elif name == "document":
            changed["blob"] = blob = f"{token}/{row['blob'].rpartition('/')[2]}"
            if (self._spool / row["blob"]).exists():
                (self._spool / token).mkdir(mode=0o700, exist_ok=True)
                (self._spool / blob).write_bytes(IMAGE)
        return changed


def _sender(owner: Principal) -> str:
    """Return the owner as the rows of stored responses name it."""
    return f"{owner.proof}:{owner.name}"


def _request() -> RequestKey:
    return RequestKey(f"urn:uuid:{uuid.uuid4()}", "0" * 64)
