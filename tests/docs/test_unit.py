"""The unit for systemd that the manual shows."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from documents import blocks


@pytest.fixture(scope="module")
def unit() -> str:
    """Return the text of the unit."""
    (text,) = (code for code in blocks("docs/administration.md", "ini") if "ExecStart" in code)
    return text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("UMask", "0077"),
        ("StateDirectoryMode", "0700"),
        ("KillMode", "mixed"),
        ("ExecReload", "/opt/postscan/bin/postscan reload"),
        ("OOMPolicy", "continue"),
        ("LimitNOFILE", "65536"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
    ],
)
def test_the_unit_sets_what_the_server_relies_on(unit: str, key: str, value: str) -> None:
    """KillMode and OOMPolicy let filters end by themselves; the rest bounds what a filter can reach."""
    parser = configparser.ConfigParser()
    parser.read_string(unit)

    assert parser["Service"][key] == value


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(unit: str, tmp_path: Path) -> None:
    """It knows each key and value; the program of the unit is one that every machine has."""
    file = tmp_path / "postscan.service"
    file.write_text(re.sub(r"/opt/postscan/bin/postscan \w+", "/bin/true", unit))
    verified = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)

    assert (verified.returncode, verified.stderr) == (0, "")
