"""What the administrator configures, and what the doctor finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sftp_inlet
from free_ports import free_port

from postscan.plugins.sources.sftp.diagnosis import problems
from postscan.plugins.sources.sftp.settings import Settings


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"port": 0}, "port: 0 is out of bounds"),
        ({"port": "22"}, "port: expected a whole number"),
        ({"host": "scans.example"}, "host: 'scans.example' is not an address"),
        ({"host_key": "/none"}, "host_key: '/none' is not a file"),
        ({"authorized_keys": "keys"}, "authorized_keys: 'keys' is not a folder"),
        ({"spool_bytes": 10, "most_bytes": 10}, "spool_bytes: 10 is less than two files"),
        ({"temporary_names": "*.tmp"}, "temporary_names: expected a list"),
    ],
)
def test_a_wrong_setting_is_named(setting: dict[str, Any], problem: str) -> None:
    """With what is expected."""
    with pytest.raises(ValueError, match=f"^{problem}"):
        Settings(**setting)


def test_the_doctor_finds_what_keeps_devices_away(tmp_path: Path) -> None:
    """A port that does not answer, or at which another answers; files of keys that cannot be read."""
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "anna").write_text("garbage")
    with sftp_inlet.running(tmp_path / "inlet", authorized_keys=str(keys)) as inlet:
        context = context_of(inlet.port, authorized_keys=str(keys))
        assert [text.partition(": ")[0] for text in problems(context())] == ["authorized_keys"]
    (text,) = problems(context_of(free_port())())

    assert text.startswith("nothing answers at 127.0.0.1")


def context_of(port: int, **settings: Any) -> Callable[[], Any]:
    """Return what makes an inlet with these settings, as far as the diagnosis looks at it."""

    class Inlet:
        def __init__(self) -> None:
            self.settings = replace(Settings(**settings), port=port)

    return Inlet
