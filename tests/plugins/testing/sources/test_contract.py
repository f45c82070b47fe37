"""The contract test for sources: what it finds, and what it lets pass."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faulty_sources
import good_sources
import pytest

from postscan.plugins import Source
from postscan.plugins.testing import Origin, assert_source_contract
from postscan.plugins.testing.defects import SourceDefectKind
from postscan.plugins.testing.sources import contract
from postscan.plugins.testing.sources.contract import SourceReport
from postscan.plugins.testing.sources.faults import StepFault

CUTS = 24
FEW = 4
"""Cuts of a source whose defect has nothing to do with them."""


@pytest.fixture
def examined(tmp_path: Path) -> Callable[..., SourceReport]:
    """Examine a source, with the origin of its kind."""

    def examine(source: Source, **changes: Any) -> SourceReport:
        settings: dict[str, Any]
        origin: Origin
        if isinstance(source, good_sources.Desk):
            with socket.socket() as one:
                one.bind(("127.0.0.1", 0))
                port = one.getsockname()[1]
            settings, origin = {"port": port}, good_sources.Client(port)
        else:
            folder = tmp_path / "scans"
            folder.mkdir()
            settings, origin = {"folder": str(folder)}, good_sources.Files(folder)
        return contract.examine(source, origin, settings=settings, **changes)

    return examine


@pytest.mark.parametrize("source", [good_sources.Basket(), good_sources.Desk()], ids=lambda one: one.title)
def test_a_good_source_has_no_defects(examined: Callable[..., SourceReport], source: Source) -> None:
    """One that looks by itself, and one to which clients come; with each fault at each step."""
    found = examined(source, cuts=CUTS)

    assert (found.defects, found.untried) == ((), "")
    assert found.processes > 20
    assert found.origins > CUTS + 20


@pytest.mark.parametrize(
    ("source", "fault", "kind", "seen"),
    [
        (faulty_sources.OtherContract(), None, SourceDefectKind.API, "this postscan offers version 1"),
        (faulty_sources.WithoutToken(), None, SourceDefectKind.NO_TOKEN, "expected run(self, inlet, token)"),
        (faulty_sources.DiesOfARefusal(), StepFault.REFUSE, SourceDefectKind.ENDS, "Refused: refused by the contract"),
        (faulty_sources.NeverStops(), None, SourceDefectKind.STOP, "it was stopped, and it had not ended 5.1 s later"),
        (faulty_sources.ClaimsMore(), None, SourceDefectKind.PROOF, "it used certificate"),
        (faulty_sources.RemovesAtOnce(), StepFault.KILL_BEFORE, SourceDefectKind.EARLY, "before 'end' was carried"),
        (faulty_sources.TakesTheEndOfTheConnection(), None, SourceDefectKind.HALF, "that no origin brought whole"),
        (faulty_sources.KeyOfTheClock(), StepFault.KILL_AFTER, SourceDefectKind.TWICE, "there are 2 jobs of it"),
        (faulty_sources.BusyIsFine(), StepFault.BUSY, SourceDefectKind.LOSES, "the server was busy at 'open'"),
        (faulty_sources.RefusedIsGone(), StepFault.REFUSE, SourceDefectKind.LOSES, "the server refused 'open'"),
        (faulty_sources.GoesOnAfterACancel(), StepFault.CANCEL, SourceDefectKind.CANCEL, "cancelled before 'leave',"),
        (faulty_sources.NotesItsSecret(), None, SourceDefectKind.SECRET, "a secret of its settings is in a log line"),
        (faulty_sources.TellsItsSecret(), None, SourceDefectKind.SECRET, "a secret of its settings is in a log line"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Source) else "",
)
def test_a_faulty_source_is_found_with_exactly_its_defect(
    examined: Callable[..., SourceReport], source: Source, fault: StepFault | None, kind: SourceDefectKind, seen: str
) -> None:
    """Which kind, what was seen, and what to do; of what may happen at a step, what shows the defect does."""
    found = examined(source, cuts=FEW, faults=[fault] if fault else [])

    assert [one.kind for one in found.defects] == [kind], found
    assert seen in found.defects[0].sentence
    assert found.untried == ""


def test_what_is_no_source_is_told() -> None:
    """The twelfth kind: what a plugin brings cannot be used at all."""
    (defect,) = contract.examine(good_sources.Basket).defects  # type: ignore[arg-type]

    assert defect.kind is SourceDefectKind.IMPORT
    assert "is not a source" in defect.sentence


def test_there_is_a_test_for_every_kind() -> None:
    """A kind that no source shows would be a promise that is not kept."""
    marks = test_a_faulty_source_is_found_with_exactly_its_defect.pytestmark  # type: ignore[attr-defined]
    shown = {kind for _, _, kind, _ in marks[0].args[1]} | {SourceDefectKind.IMPORT}

    assert shown == set(SourceDefectKind)


def test_the_error_has_a_line_for_each_defect(tmp_path: Path) -> None:
    """The author reads it in the report of a test; without an origin less can be found."""
    with pytest.raises(AssertionError) as caught:
        assert_source_contract(faulty_sources.TellsItsSecret(), settings={"folder": str(tmp_path)})

    first, *lines = str(caught.value).splitlines()
    assert first == "TellsItsSecret does not keep the contract of sources:"
    assert [line.partition(":")[0] for line in lines] == ["secret in the log"]
    assert "swordfish" not in str(caught.value)


def test_a_good_source_passes_the_assertion_without_an_origin(tmp_path: Path) -> None:
    """Without a word, and nothing is taken meanwhile."""
    (tmp_path / "one.png").write_bytes(b"page")
    assert_source_contract(good_sources.Basket(), settings={"folder": str(tmp_path)})

    assert (tmp_path / "one.png").exists()


class Silent(good_sources.Files):
    """An origin that brings nothing."""

    def bring(self, page: bytes) -> None:
        """Do nothing."""


class Stumbling(good_sources.Files):
    """An origin with an error."""

    def bring(self, page: bytes) -> None:
        """Fail."""
        raise LookupError("no folder")


@pytest.mark.parametrize(
    ("settings", "origin", "reason"),
    [
        ({"folders": "x"}, None, "it did not begin: [sources.under-test] has no setting 'folders'"),
        ({"folder": "."}, Silent, "no job came of the first origin within 2 s"),
        ({"folder": "."}, Stumbling, "bring of the origin raised LookupError('no folder')"),
    ],
)
def test_a_source_that_cannot_be_tried_is_no_defect(
    tmp_path: Path, settings: dict[str, str], origin: type[good_sources.Files] | None, reason: str
) -> None:
    """It is said why; and the assertion fails with that sentence, for nothing was shown."""
    driven = origin(tmp_path) if origin else None
    found = contract.examine(good_sources.Basket(), driven, settings=settings, seconds=2.0)

    assert reason in found.untried
    assert found.defects == ()
    with pytest.raises(AssertionError, match="could not be tested"):
        assert_source_contract(good_sources.Basket(), driven, settings=settings, seconds=2.0)
