"""Clients that are in use: sftp and scp of OpenSSH, and lftp."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from sftp_inlet import ACCOUNT, JPEG, PASSWORD, SftpInlet

openssh = pytest.mark.skipif(shutil.which("sftp") is None, reason="needs sftp; apt-get install openssh-client")
lftp = pytest.mark.skipif(shutil.which("lftp") is None, reason="needs lftp; apt-get install lftp")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A picture to send."""
    path = tmp_path / "scan.jpg"
    path.write_bytes(JPEG)
    return path


def ran(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a client, which gets the password from a program as the askpass of a desktop."""
    askpass = tmp_path / "askpass"
    askpass.write_text(f"#!/bin/sh\necho {PASSWORD}\n")
    askpass.chmod(0o700)
    environment = {**os.environ, "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "HOME": str(tmp_path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


OPTIONS = (
    "-oStrictHostKeyChecking=no",
    "-oUserKnownHostsFile=/dev/null",
    "-oPreferredAuthentications=password",
    "-oNumberOfPasswordPrompts=1",
    "-F/dev/null",
)


@openssh
def test_sftp_of_openssh_sends_a_file(tmp_path: Path, inlet: SftpInlet, scan: Path) -> None:
    """And lists the destinations before."""
    batch = tmp_path / "batch"
    batch.write_text(f"ls -l\ncd Invoices\nput -p {scan}\nls\n")
    done = ran(
        tmp_path, "sftp", *OPTIONS, "-oBatchMode=no", "-b", str(batch), "-P", str(inlet.port), f"{ACCOUNT}@127.0.0.1"
    )

    assert done.returncode == 0, done.stderr
    assert [name for name in ("Invoices", "Letters") if name in done.stdout] == ["Invoices", "Letters"]
    assert inlet.pages == [JPEG]


@openssh
def test_sftp_of_openssh_fails_for_half_a_file(tmp_path: Path, inlet: SftpInlet, scan: Path) -> None:
    """Its status says so; an interrupted put ends in the same way."""
    scan.write_bytes(JPEG[:-100])
    batch = tmp_path / "batch"
    batch.write_text(f"put {scan} /Invoices/scan.jpg\n")
    done = ran(
        tmp_path, "sftp", *OPTIONS, "-oBatchMode=no", "-b", str(batch), "-P", str(inlet.port), f"{ACCOUNT}@127.0.0.1"
    )

    assert done.returncode != 0
    assert inlet.jobs == []
    assert "cut" in inlet.reasons()[0]


@openssh
def test_scp_sends_a_file(tmp_path: Path, inlet: SftpInlet, scan: Path) -> None:
    """It speaks SFTP."""
    done = ran(tmp_path, "scp", "-s", *OPTIONS, "-P", str(inlet.port), str(scan), f"{ACCOUNT}@127.0.0.1:/Letters/")

    assert done.returncode == 0, done.stderr
    assert inlet.pages == [JPEG]


@openssh
def test_there_is_no_shell(tmp_path: Path, inlet: SftpInlet) -> None:
    """Nor a command."""
    done = ran(tmp_path, "ssh", *OPTIONS, "-p", str(inlet.port), f"{ACCOUNT}@127.0.0.1", "id")

    assert done.returncode != 0
    assert "uid" not in done.stdout


@lftp
@pytest.mark.parametrize("temporary", ["no", "yes"])
def test_lftp_sends_a_file(tmp_path: Path, inlet: SftpInlet, scan: Path, temporary: str) -> None:
    """Under its name, or under a temporary one that it renames."""
    script = [
        "set sftp:auto-confirm yes",
        "set net:max-retries 1",
        f"set sftp:connect-program 'ssh -a -x {' '.join(OPTIONS)}'",
        f"set xfer:use-temp-file {temporary}",
        f"open -u {ACCOUNT},{PASSWORD} sftp://127.0.0.1:{inlet.port}",
        f"cd Invoices && put {scan}",
    ]
    done = ran(tmp_path, "lftp", "-c", "; ".join(script))

    assert done.returncode == 0, done.stderr
    assert inlet.pages == [JPEG]
