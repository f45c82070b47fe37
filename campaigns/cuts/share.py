"""A share of smbd whose folder is watched: smbd closes the file of a client that was killed like a complete one."""

from __future__ import annotations

import contextlib
import random
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from works import PATIENCE, until

from campaigns.cuts.receiver import BLOCK, JOB_SECONDS, Receiver
from campaigns.cuts.scans import Scan, cut_at
from campaigns.cuts.way import NotTaken, Sending, Way

REFUSED: Final = "refused"
"""The subfolder for files that are refused, of the product's settings."""


class _Share(Way):
    """Files are put on the share by smbclient."""

    inlet = "folder"
    needs = ("smbclient", "smbd", "pdbedit")

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(receiver)
        self._cuts: list[Sending] = []

    def send(self, scan: Scan) -> None:
        """Let smbclient put the file on the share."""
        self._put(scan.name, scan.content)

    def settle(self) -> list[str]:
        """Wait until the watched folder is empty; what was cut is among the refused files, with a reason, or a job."""
        with contextlib.suppress(AssertionError):
            until(lambda: not self._pending(), patience=PATIENCE + JOB_SECONDS)
        refused = self.receiver.watched / REFUSED
        broken = [f"{name} is still in the watched folder" for name in self._pending()]
        broken += [sentence for sending in self._cuts for sentence in refusal(sending, refused)]
        self._cuts.clear()
        return broken

    def _pending(self) -> list[str]:
        return sorted(path.name for path in self.receiver.watched.iterdir() if path.name != REFUSED)

    def _put(self, name: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, name).write_bytes(content)
            done = subprocess.run(
                self.receiver.smbclient(f"lcd {folder}; put {name}"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=2 * PATIENCE,
            )
        if done.returncode:
            raise NotTaken(done.stdout.decode().strip())

    def _noted(self, sending: Sending) -> Sending:
        self._cuts.append(sending)
        return sending


class ShortFile(_Share):
    """The client puts a file on the share that ends too early, as if what made the file had been cut off."""

    name = "share-short"

    def cut(self, scan: Scan, dice: random.Random) -> Sending:
        """Put a part of the file on the share."""
        sent = cut_at(dice, len(scan.content))
        self._put(scan.name, scan.content[:sent])
        page = scan.page(sent)
        return self._noted(Sending(self.part(scan, str(sent)), scan, page, len(page)))


class SmbclientKilled(_Share):
    """smbclient sends what comes through a pipe, and is killed."""

    name = "share-killed"

    def cut(self, scan: Scan, dice: random.Random) -> Sending:
        """Kill smbclient when its whole blocks are in the folder; its input has not ended by then."""
        sent = cut_at(dice, len(scan.content) + 1)
        path = self.receiver.watched / scan.name
        commands = f"iosize {BLOCK}; put - {scan.name}"  # so it waits for each block before it reads the next one
        with subprocess.Popen(
            self.receiver.smbclient(commands),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            bufsize=0,
        ) as client:
            try:
                assert client.stdin is not None
                client.stdin.write(scan.content[:sent])
                until(lambda: path.exists() and path.stat().st_size >= sent // BLOCK * BLOCK, "for smbclient's blocks")
            finally:
                client.kill()
                client.wait()  # before its input is closed, which would be the end of the file
        return self._noted(Sending(self.part(scan, f"{sent} or fewer, smbclient killed"), scan, scan.pages(sent)))


def refusal(sending: Sending, refused: Path) -> list[str]:
    """Return what is wrong with the refusal of a cut file, in sentences; of one that may be a job there may be none."""
    file, reason = refused / sending.scan.name, refused / f"{sending.scan.name}.txt"
    if not file.exists():
        return [] if sending.pages else [f"{sending.what}: it is neither a job nor refused"]
    broken = []
    if not sending.scan.content.startswith(file.read_bytes()):
        broken.append(f"{sending.what}: the refused file has other bytes")
    if not reason.exists():
        broken.append(f"{sending.what}: no text says why it was refused")
    return broken
