"""What the checks of `postscan doctor` find, as tests look at it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from postscan.core.settings import Settings
from postscan.doctor.findings import Finding


def bad(findings: Iterable[Finding]) -> list[tuple[str, str, str]]:
    """Return the check, severity and sentence of each finding that is not ok; these and no others have a fix."""
    found = list(findings)

    assert found
    assert all(bool(one.fix) == (one.severity != "ok") for one in found)
    return [(one.check, str(one.severity), one.sentence) for one in found if one.severity != "ok"]


def the(findings: Iterable[Finding]) -> tuple[str, str, str]:
    """Return the one thing that is not ok."""
    (only,) = bad(findings)
    return only


def made(tmp_path: Path, **tables: Any) -> Settings:
    """Return settings whose data lies below the test's folder."""
    storage = {"data_dir": tmp_path / "data", **tables.pop("storage", {})}
    return Settings.model_validate({"storage": storage, **tables})
