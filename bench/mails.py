"""Mails of 300 KB that become jobs, beside aiosmtpd that stores each as a file and syncs it. In turn, in one run."""

from __future__ import annotations

import base64
import itertools
import os
import smtplib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from bench import inlets, servers
from bench.inlets import Round

CONNECTIONS: Final = (1, 4)
ROUNDS: Final = 7
SECONDS: Final = 3.0
PAGE_BYTES: Final = 216_000
"""A third more in base64, and its line ends, make a mail of 300 KB."""

SENDER: Final = "scanner@scan.example"
RECIPIENT: Final = f"{inlets.LABEL.lower()}@scan.example"
PATIENCE: Final = 60.0

_numbers = itertools.count(1)


def run() -> None:
    """Measure and print."""
    for connections in CONNECTIONS:
        with servers.folder() as folder:
            rounds = measured(folder, connections, ROUNDS, SECONDS)
        inlets.print_rounds(f"mails of {len(mail()) / 1000:.0f} KB, {connections} connections", 1, "mails", rounds)


def measured(folder: Path, connections: int, rounds: int, seconds: float) -> dict[str, list[Round]]:
    """Return the rounds of both servers; raise `AssertionError` unless every acknowledged mail is a stored job."""

    def send(port: int) -> list[float]:
        return send_mails(port, connections, seconds)

    def send_first(port: int) -> None:
        send_mails(port, 1, 0.0)

    found: dict[str, list[Round]] = {"postscan": [], "bare": []}
    with inlets.postscan(folder, "smtp", send_first) as ours, inlets.bare(folder, "smtp") as bare:
        for _ in range(rounds):
            found["postscan"].append(ours.measure(send))
            found["bare"].append(bare.measure(send))
        inlets.check_jobs(folder, 1 + sum(len(one.latencies) for one in found["postscan"]))
    return found


def send_mails(port: int, connections: int, seconds: float) -> list[float]:
    """Send mails on each connection for so many seconds, at least one; return the seconds of each to its 250."""
    until = time.perf_counter() + seconds
    with ThreadPoolExecutor(connections) as threads:
        return [one for sent in threads.map(_send_until, [port] * connections, [until] * connections) for one in sent]


def mail() -> bytes:
    """Return a mail that no other equals."""
    return f"Message-ID: <{next(_numbers)}@scan.example>\r\n".encode() + _REST


def _send_until(port: int, until: float) -> list[float]:
    latencies = []
    with smtplib.SMTP("127.0.0.1", port, "bench", PATIENCE) as client:
        while not latencies or time.perf_counter() < until:
            content, begun = mail(), time.perf_counter()
            client.sendmail(SENDER, [RECIPIENT], content)
            latencies.append(time.perf_counter() - begun)
    return latencies


def _rest() -> bytes:
    """Return all of a mail but its first field: a text, and a page of random bytes."""
    page = base64.encodebytes(inlets.picture(os.urandom(PAGE_BYTES))).decode()
    return (
        (
            f"From: {SENDER}\nTo: {RECIPIENT}\nSubject: a scan\nMIME-Version: 1.0\n"
            'Content-Type: multipart/mixed; boundary="b41f7c0e2a"\n\n'
            "--b41f7c0e2a\nContent-Type: text/plain\n\nThe scan is attached.\n"
            '--b41f7c0e2a\nContent-Type: image/png; name="scan.png"\nContent-Transfer-Encoding: base64\n'
            f'Content-Disposition: attachment; filename="scan.png"\n\n{page}--b41f7c0e2a--\n'
        )
        .replace("\n", "\r\n")
        .encode()
    )


_REST: Final = _rest()
