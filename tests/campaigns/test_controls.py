"""The table of controls is true, and its campaign can tell; the long form is `python -m campaigns controls`."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from campaigns import controls
from campaigns.controls import Control, NotThere
from campaigns.tree_copy import ROOT, Copy

THREATS = {"T-A1", "T-A2", "T-A3", "T-A4", "T-A5", "T-A6", "T-D1", "T-D2", "T-D3", "T-D4"} | {
    "T-F4",
    "T-O1",
    "T-O4",
    "T-O8",
    "T-P4",
    "T-P6",
    "T-S1",
    "T-S2",
    "T-S3",
    "T-S4",
    "T-S5",
    *(f"T-S{number}" for number in range(60, 67)),
}


@cache  # the table is long, and takes a moment to read
def rows() -> list[Control]:
    """Return the table."""
    return controls.table()


def row(threat: str, what: str) -> Control:
    """Return a row of the table."""
    (found,) = (one for one in rows() if (one.threat, one.what) == (threat, what))
    return found


def test_every_control_of_the_table_stands_in_the_code() -> None:
    """Whoever moves one has to say in the table where it is now."""
    for one in rows():
        assert one.removed_from((ROOT / one.file).read_text())


def test_every_test_of_the_table_is_there() -> None:
    """By its file and its name."""
    named = {test for one in rows() for test in one.tests}
    missing = [
        test
        for test, (file, name) in ((test, test.split("::")) for test in sorted(named))
        if not re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE)
    ]

    assert missing == []


def test_every_threat_of_the_wire_has_its_controls() -> None:
    """T-A1 to T-A6, T-D1 to T-D4, T-F4, T-O1, T-O4, T-O8, T-P4, T-P6, T-S1 to T-S5, and T-S60 to T-S66; faults too."""
    assert {one.threat for one in rows()} >= THREATS


def test_a_control_that_is_gone_is_noticed_and_a_line_that_controls_nothing_is_not(tmp_path: Path) -> None:
    """A campaign that never finds a survivor would prove nothing; nor would a test that fails anyway."""
    real = row("T-D3", "an answer is remembered")
    idle = replace(real, what="a line for the log", lines='log.info("answer too large ', instead='log.info("too large ')
    copies, told = [Copy(tmp_path / "one"), Copy(tmp_path / "two")], []

    totals = controls.campaign(copies, [real, idle], told.append)

    assert (totals.noticed, len(totals.survived)) == (1, 1)
    assert totals.survived[0] == f"T-D3, a line for the log: {real.tests[0]} passed"
    assert told == ["T-D3 noticed  an answer is remembered", "T-D3 SURVIVED a line for the log"]
    for copy in copies:
        assert (copy.root / real.file).read_text() == (ROOT / real.file).read_text()


def test_what_was_skipped_or_broke_around_the_test_has_noticed_nothing() -> None:
    """Only a failure of the very test counts."""
    outcomes = {"a": "failed", "b": "passed", "c": "could not be run"}

    assert controls.other_than("failed", ("a",), outcomes) == []
    assert controls.other_than("failed", ("b", "c", "d"), outcomes) == [
        "b passed",
        "c could not be run",
        "d did not run",
    ]


def test_lines_that_are_not_there_are_an_error() -> None:
    """Nor may they be there twice: nobody could say which of them is the control."""
    real = row("T-D3", "an answer is remembered")
    for lines in ("self._duplicates.forget()", "self._duplicates", ""):
        with pytest.raises(NotThere, match=r"T-D3, an answer is remembered: soap/discovery/responder\.py has"):
            replace(real, lines=lines).removed_from((ROOT / real.file).read_text())


def test_what_is_no_python_without_the_control_is_an_error() -> None:
    """Every test would fail then, and prove nothing."""
    real = row("T-D3", "an answer is remembered")
    with pytest.raises(SyntaxError):
        replace(real, instead="(").removed_from((ROOT / real.file).read_text())


def test_the_page_counts_the_controls_of_each_threat() -> None:
    """As many as the table has."""
    page = (ROOT / "docs" / "campaigns.md").read_text().partition("## The controls")[2]
    counted = {
        threat: int(number) for threat, number in re.findall(r"^\| ([TF]-\w+) \|.*\| (\d+) \|$", page, re.MULTILINE)
    }

    assert counted == Counter(one.threat for one in rows())


def test_a_threat_without_a_control_is_named() -> None:
    """A typing error is no campaign that went well."""
    with pytest.raises(SystemExit, match="no control against T-Z9"):
        controls.table(["T-D1", "T-Z9"])
