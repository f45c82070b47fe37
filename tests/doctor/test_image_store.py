"""The doctor tries the store of the images."""

from __future__ import annotations

from pathlib import Path

from findings import bad, made

from postscan.core.settings import Settings
from postscan.doctor import examination
from postscan.doctor.image_store import image_store


def test_a_folder_of_its_own_is_written_read_and_left_empty(tmp_path: Path) -> None:
    """The default folder is not: the check of the spool looks at it."""
    share = tmp_path / "share"

    assert list(image_store(made(tmp_path))) == []
    assert bad(image_store(made(tmp_path, spool={"store": str(share)}))) == []
    assert list(share.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    """With the place and the reason."""
    (tmp_path / "share").write_text("a file")

    [found] = bad(image_store(made(tmp_path, spool={"store": str(tmp_path / "share")})))
    assert found[:2] == ("image store", "problem")
    assert "share cannot be used" in found[2]


def test_no_finding_has_a_key_of_the_store(tmp_path: Path) -> None:
    """T-B2: whatever a library puts into its errors."""
    keys = {"access_key": "name-of-a-key", "secret_key": "the-key-itself"}
    settings = Settings.model_validate({"spool": {"store": "s3://scans", **keys}})

    assert set(keys.values()) <= examination.secrets(settings)
