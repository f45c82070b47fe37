"""FTP, where the end of a file is the end of its connection, also if the client is switched off."""

from __future__ import annotations

import random
import socket
import subprocess
import time
from abc import abstractmethod
from typing import Final

import ftp_client
from ftp_client import FtpClient
from works import PATIENCE, until

from campaigns.cuts.receiver import LABEL
from campaigns.cuts.scans import Scan, cut_at
from campaigns.cuts.way import PAUSES, NotTaken, Sending, Way

_AT_ANY_MOMENT: Final = 0.25
"""Share of the clients that are killed while they may still connect, or send; the others have sent their bytes."""


class _Ftp(Way):
    """Whole files are sent by curl."""

    inlet = "ftp"
    needs = ("curl",)

    def send(self, scan: Scan) -> None:
        """Let curl send the file."""
        done = subprocess.run(
            self._curl(scan),
            input=scan.content,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            timeout=2 * PATIENCE,
        )
        if done.returncode:
            raise NotTaken(done.stderr.decode().strip())

    def _curl(self, scan: Scan) -> list[str]:
        """Return the command that sends what it reads, until its input ends."""
        options = ["--silent", "--show-error", "--max-time", f"{PATIENCE:.0f}", "--upload-file", "-"]
        return ["curl", *options, f"ftp://127.0.0.1:{self.receiver.ports[self.inlet]}/{LABEL}/{scan.name}"]


class CurlKilled(_Ftp):
    """The kernel ends both connections of curl, and the file looks as if it had ended there."""

    name = "ftp-killed"

    def cut(self, scan: Scan, dice: random.Random) -> Sending:
        """Kill curl; its input has not ended by then."""
        sent = cut_at(dice, len(scan.content) + 1)
        is_early = dice.random() < _AT_ANY_MOMENT
        pause = dice.choice(PAUSES)
        with subprocess.Popen(
            self._curl(scan), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, bufsize=0
        ) as curl:
            try:
                assert curl.stdin is not None
                curl.stdin.write(scan.content[:sent])
                if is_early:
                    time.sleep(pause)
                else:
                    until(lambda: self.receiver.arrived(self.inlet) >= sent, f"for {sent} bytes of curl to arrive")
            finally:
                curl.kill()
                curl.wait()  # before its input is closed, which would be the end of the file
        return Sending(self.part(scan, f"{sent} or fewer, curl killed"), scan, scan.pages(sent))


class _DataConnection(_Ftp):
    """A client whose data connection ends before the file does."""

    def cut(self, scan: Scan, dice: random.Random) -> Sending:
        """Send a part, end the data connection, and read the reply if the session goes on."""
        sent = cut_at(dice, len(scan.content) + 1)
        with FtpClient(self.receiver.ports[self.inlet]) as client:
            data = client.begin(f"STOR /{LABEL}/{scan.name}")
            data.sendall(scan.content[:sent])
            time.sleep(dice.choice(PAUSES))
            return self._end(client, data, scan, sent, dice)

    @abstractmethod
    def _end(self, client: FtpClient, data: socket.socket, scan: Scan, sent: int, dice: random.Random) -> Sending:
        """End the data connection of a client that has sent so many bytes."""


class DataReset(_DataConnection):
    """A reset is no end, whatever has come before."""

    name = "ftp-reset"

    def _end(self, client: FtpClient, data: socket.socket, scan: Scan, sent: int, dice: random.Random) -> Sending:
        ftp_client.reset(data)
        if dice.random() < 0.5:
            ftp_client.reset(client.socket)
            return Sending(self.part(scan, f"{sent}, both connections reset"), scan)
        return Sending(self.part(scan, f"{sent}, data connection reset"), scan, reply=client.reply())


class DataClosed(_DataConnection):
    """The end of a data connection is the end of the file: a part that is whole by itself is one job."""

    name = "ftp-closed"

    def _end(self, client: FtpClient, data: socket.socket, scan: Scan, sent: int, dice: random.Random) -> Sending:
        ftp_client.end(data)
        page = scan.page(sent)
        return Sending(self.part(scan, f"{sent}, data connection closed"), scan, page, len(page), client.reply())
