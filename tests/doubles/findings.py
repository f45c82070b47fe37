"""What the checks of `postscan doctor` find, as tests look at it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from postscan.core.settings import Settings
from postscan.doctor.findings import Finding


def bad(findings: Iterable[Finding]) -> list[tuple[str, str, str]]:
    """Return what is not ok: check, verdict and sentence. Whatever is not ok says what mends it, and nothing else."""
    found = list(findings)

    assert found
    assert all(bool(one.fix) == (one.verdict != "ok") for one in found)
    return [(one.check, str(one.verdict), one.sentence) for one in found if one.verdict != "ok"]


def the(findings: Iterable[Finding]) -> tuple[str, str, str]:
    """Return the one thing that is not ok."""
    (only,) = bad(findings)
    return only


def made(tmp_path: Path, **tables: Any) -> Settings:
    """Return settings whose data lies below the test's folder."""
    storage = {"data_dir": tmp_path / "data", **tables.pop("storage", {})}
    return Settings.model_validate({"storage": storage, **tables})
