"""Files that real clients put on a real share, in whose folder the source looks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import samba
from destinations import open_folder
from watched_folders import QUIET, StartFolder, png
from works import PATIENCE, until

pytestmark = pytest.mark.services

CLIENT = r"""
import sys, time
import smbclient
user, password, port = sys.argv[1:]
login = {"username": user, "password": password, "port": int(port)}
with smbclient.open_file(r"\\127.0.0.1\scans\scan.png", mode="wb", buffering=0, **login) as file:
    file.write(sys.stdin.buffer.read())
    time.sleep(600)
"""
"""A program that writes what it reads to a file of the share, and keeps it open."""


@pytest.fixture(scope="module")
def share() -> Iterator[samba.Samba]:
    """The file server of the page for those who connect a scanner."""
    with open_folder() as home, samba.documented(home) as server:
        yield server


def started(server: samba.Samba, commands: str, **options: Any) -> subprocess.Popen[str]:
    """Start smbclient with these commands."""
    return subprocess.Popen(
        server.client("scans", commands),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def done(process: subprocess.Popen[str]) -> str:
    """Wait for smbclient, and return what it printed."""
    with process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


def test_a_file_that_is_put_on_a_share_is_a_job(start: StartFolder, share: samba.Samba, tmp_path: Path) -> None:
    """By its name, under a temporary name and renamed, and again under the same name."""
    watched = start(path=share.shares["scans"])
    for number in (1, 2):
        (tmp_path / "scan.png").write_bytes(png(number))
        done(started(share, f"lcd {tmp_path}; put scan.png"))
        watched.wait_for_jobs(number)
    (tmp_path / "scan.png").write_bytes(png(3))
    done(started(share, f"lcd {tmp_path}; put scan.png scan.tmp; rename scan.tmp third.png"))
    watched.wait_for_jobs(3)

    assert [(job.request.name, job.pages) for job in watched.server.jobs] == [
        ("scan.png", [png(1)]),
        ("scan.png", [png(2)]),
        ("third.png", [png(3)]),
    ]


def test_a_file_is_no_job_while_its_client_has_it_open(start: StartFolder, share: samba.Samba) -> None:
    """What has come is a whole file already; but the client has it open, and smbd with it."""
    smb = pytest.importorskip("smbclient", reason="a client that keeps its file open needs the extra [smb]")
    watched = start(path=share.shares["scans"])
    login = {"username": share.user, "password": samba.PASSWORD, "port": share.port}
    with smb.open_file(r"\\127.0.0.1\scans\scan.png", mode="wb", buffering=0, **login) as file:
        file.write(png())
        until(lambda: (watched.path / "scan.png").stat().st_size == len(png()), "it has come")
        time.sleep(6 * QUIET)
        assert watched.server.requests == []
    (job,) = watched.wait_for_jobs(1)
    smb.reset_connection_cache()

    assert job.pages == [png()]


def test_a_client_that_is_killed_makes_no_job(start: StartFolder, share: samba.Samba) -> None:
    """smbd closes its file as if it were finished; the half is refused, and can be seen on the share."""
    pytest.importorskip("smbclient", reason="a client that keeps its file open needs the extra [smb]")
    watched = start(path=share.shares["scans"], about={"job_seconds": 2.0})
    command = [sys.executable, "-c", CLIENT, share.user, samba.PASSWORD, str(share.port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(png()[:-1000])
        process.stdin.close()
        until(lambda: (watched.path / "scan.png").exists() and (watched.path / "scan.png").stat().st_size, "it comes")
        process.kill()

    assert "it is not whole" in watched.wait_for_refused("scan.png")
    assert "scan.png.txt" in done(started(share, "cd refused; ls"))
    assert watched.server.jobs == []
