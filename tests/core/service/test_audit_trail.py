"""Export and drop of the audit trail, on each kind of database: what is dropped is what was exported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from conftest import ANNA
from console_browser import person

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, NotAdministrator
from postscan.core.model.principal import Principal, Proof, Role
from postscan.core.model.records import AuditLine
from postscan.core.service.administration import audit_trail
from postscan.core.service.administration.audit_trail import AuditTrail
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import EXAMPLE_TIME, FakeClock

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
SECOND = timedelta(seconds=1)
LATER = timedelta(days=1)
SOURCE = "/backup/audit.jsonl"


@dataclass
class Trail:
    """A trail, and short words for what tests do with it."""

    store: Store
    trail: AuditTrail
    written: list[datetime] = field(default_factory=list)

    def write(self, *moments: datetime) -> None:
        """Write a line at each of these moments."""
        for at in moments:
            self.store.record(AuditLine.of(ANNA, "cancel", f"job-{len(self.written)}", at))
            self.written.append(at)

    def older_than(self, moment: datetime) -> list[AuditLine]:
        """Export."""
        return list(self.trail.older_than(moment, ADMIN))

    def drop(self, exported: list[AuditLine], by: Principal = ADMIN) -> tuple[int, int]:
        """Drop what was exported."""
        return self.trail.drop(lambda: exported, by, SOURCE)

    def jobs(self) -> list[str]:
        """Return the jobs of the lines that are left."""
        return [line.token for line in self.store.audit(limit=1000)]


@pytest.fixture
def made(store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trail]:
    """A trail that is read and dropped two lines at a time."""
    monkeypatch.setattr(audit_trail, "PAGE", 2)
    return Trail(store, AuditTrail(store, clock))


def test_the_lines_before_a_moment_are_exported_and_not_the_one_of_that_moment(made: Trail) -> None:
    """T-Q4: at DATE it stays, a microsecond before it is exported; in more pages than one."""
    made.write(*(EXAMPLE_TIME + number * SECOND for number in range(5)))
    last = EXAMPLE_TIME + 4 * SECOND

    assert made.older_than(last) == made.store.audit()[:4]
    assert made.older_than(last + timedelta(microseconds=1)) == made.store.audit()
    assert len(made.jobs()) == 5


def test_lines_are_chosen_by_their_time_where_the_clock_was_set_back(made: Trail) -> None:
    """One of a wrong, later time between others neither ends the export nor is part of it."""
    made.write(EXAMPLE_TIME, EXAMPLE_TIME + 900 * LATER, EXAMPLE_TIME, EXAMPLE_TIME + SECOND)
    exported = made.older_than(EXAMPLE_TIME + LATER)
    assert [line.token for line in exported] == ["job-0", "job-2", "job-3"]

    assert made.drop(exported) == (3, 0)
    assert made.jobs() == ["job-1", "audit", "audit"]


def test_exactly_what_was_exported_is_dropped(made: Trail) -> None:
    """Not what is younger, and not what was written after the export, whatever its time."""
    made.write(*(EXAMPLE_TIME for _ in range(3)), EXAMPLE_TIME + LATER)
    exported = made.older_than(EXAMPLE_TIME + LATER)
    made.write(EXAMPLE_TIME)

    assert made.drop(exported) == (3, 0)
    assert made.jobs() == ["job-3", "job-4", "audit", "audit"]


def test_a_drop_leaves_its_lines_in_the_trail(made: Trail) -> None:
    """Who, when, which lines, and where they are; in the transaction that deletes them."""
    made.write(EXAMPLE_TIME, EXAMPLE_TIME, EXAMPLE_TIME)
    made.drop(made.older_than(EXAMPLE_TIME + LATER))

    assert [(line.who, line.verb, line.outcome, line.detail) for line in made.store.audit()] == [
        (ADMIN.name, "drop", "done", f"2 lines, 1 to 2, exported to {SOURCE}"),
        (ADMIN.name, "drop", "done", f"1 lines, 3 to 3, exported to {SOURCE}"),
    ]


def test_a_drop_that_was_interrupted_is_repeated(made: Trail) -> None:
    """What the first one deleted is counted apart, and has no second line."""
    made.write(*(EXAMPLE_TIME for _ in range(5)))
    exported = made.older_than(EXAMPLE_TIME + LATER)
    made.drop(exported[:2])

    assert made.drop(exported) == (3, 2)
    assert made.drop(exported) == (0, 5)
    assert made.jobs() == ["audit"] * 3


@pytest.mark.parametrize("changed", [0, 4])
def test_nothing_is_dropped_if_one_line_differs_from_the_trail(made: Trail, changed: int) -> None:
    """The file is not an export of this trail, or was changed: it would not be a copy of what is deleted."""
    made.write(*(EXAMPLE_TIME for _ in range(5)))
    exported = made.older_than(EXAMPLE_TIME + LATER)
    exported[changed] = exported[changed]._replace(who="device:192.0.2.66")

    with pytest.raises(InvalidArgument, match=f"seq {exported[changed].seq}"):
        made.drop(exported)
    assert len(made.jobs()) == 5


def test_only_administrators_export_and_drop(made: Trail) -> None:
    """For other callers the trail is empty, and stays as it is."""
    made.write(EXAMPLE_TIME)
    exported = made.older_than(EXAMPLE_TIME + LATER)

    assert list(made.trail.older_than(EXAMPLE_TIME + LATER, ANNA)) == []
    assert made.drop(exported, by=ANNA) == (0, 0)
    assert made.jobs() == ["job-0"]


def test_the_database_lets_no_other_line_go(made: Trail) -> None:
    """Append-only: a line goes while its number is listed, and no line is listed outside of a drop."""
    made.write(EXAMPLE_TIME, EXAMPLE_TIME, EXAMPLE_TIME)
    made.drop(made.older_than(EXAMPLE_TIME + LATER)[:1])

    for statement in ("delete from audit", "insert into audit_exported values (2); delete from audit"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), made.store.writing() as db:
            for part in statement.split("; "):
                db.exec_driver_sql(part)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), made.store.writing() as db:
        db.exec_driver_sql("update audit set who = 'root' where seq = 3")
    assert made.jobs() == ["job-1", "job-2", "audit"]
    with made.store.reading() as db:
        assert db.exec_driver_sql("select count(*) from audit_exported").scalar() == 0


def test_a_number_is_not_used_again(made: Trail) -> None:
    """An exported file never names a later line."""
    made.write(EXAMPLE_TIME, EXAMPLE_TIME)
    exported = made.older_than(EXAMPLE_TIME + LATER)
    made.drop(exported)
    made.write(EXAMPLE_TIME)

    assert made.store.audit()[-1].seq == 4
    assert made.drop(exported) == (0, 2)


# --- changes that are not in the database ----------------------------------------------------------------------------


def test_a_change_of_files_has_its_line_before_it_is_made(core: Engine) -> None:
    """One that fails has a second line; who may not administer makes none, and changes nothing."""
    done: list[str] = []
    with core.audit_trail.recorded(ADMIN, "stored", "process", "revision 1"):
        done.append("first")
    with pytest.raises(OSError, match="full"), core.audit_trail.recorded(ADMIN, "stored", "process"):
        raise OSError("full")
    with pytest.raises(NotAdministrator), core.audit_trail.recorded(person(Role.OPERATOR), "stored", "process"):
        done.append("second")
    lines = list(core.audit_trail.older_than(core.clock.now() + timedelta(days=1), ADMIN))

    assert done == ["first"]
    assert [(line.verb, line.token, line.outcome, line.detail) for line in lines if line.verb == "stored"] == [
        ("stored", "process", "done", "revision 1"),
        ("stored", "process", "done", ""),
        ("stored", "process", "failed", "full"),
    ]
