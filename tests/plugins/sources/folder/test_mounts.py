"""The file system of a folder: whether other machines write to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from postscan.plugins.sources.folder import mounts

TABLE = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /mnt/scans rw,relatime - cifs //files/scans rw
31 22 0:26 / /mnt/with\\040space rw - nfs4 files:/export rw
32 22 0:27 / /mnt/twice rw - nfs files:/export rw
33 32 0:28 / /mnt/twice rw master:7 - xfs /dev/sdb1 rw
34 22 0:29 / /home/ann/remote rw - fuse.sshfs ann@files: rw
a broken line
"""


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/srv/scans", "ext4", False),
        ("/mnt/scans", "cifs", True),
        ("/mnt/scans/Invoices", "cifs", True),
        ("/mnt/scansnot", "ext4", False),
        ("/mnt/with space/a", "nfs4", True),
        ("/mnt/twice/a", "xfs", False),
        ("/home/ann/remote/a", "fuse.sshfs", True),
    ],
)
def test_the_nearest_mount_decides(tmp_path: Path, path: str, kind: str, shared: bool) -> None:
    """And of two at one place the later one."""
    (tmp_path / "mountinfo").write_text(TABLE)

    assert mounts.file_system(Path(path), tmp_path / "mountinfo") == kind
    assert mounts.is_shared(kind) == shared


def test_it_says_what_the_system_says(tmp_path: Path) -> None:
    """stat(1) asks the file system itself, and has other words for some."""
    said = subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", tmp_path], capture_output=True, text=True, check=True)

    assert mounts.file_system(tmp_path) == said.stdout.split()[-1]


def test_without_the_table_nothing_is_said(tmp_path: Path) -> None:
    """Then the folder is taken for one of this machine, and looked at all the same."""
    assert mounts.file_system(tmp_path, tmp_path / "nothing") == ""
    assert not mounts.is_shared("")
