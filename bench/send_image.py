"""SendImage in MB/s, beside bare handlers: one stores the body, one cuts the image out and hashes it as well."""

from __future__ import annotations

import os
import socket
import statistics
import time
from dataclasses import replace

from bench import servers

ROUNDS = {1: 15, 16: 9, 64: 7, 256: 5, 1024: 3}
BOUNDARY = "b41f7c0e2a"
MEDIA = f'multipart/related; boundary="{BOUNDARY}"; type="application/xop+xml"; start="<env@bench>"'
BLOCK = os.urandom(1 << 20)


def run() -> None:
    """Measure and print."""
    with servers.folder() as folder, servers.postscan(folder) as ours, servers.bare(folder, "/stream") as bare:
        handlers = {"stored": bare, "cut out, hashed and stored": replace(bare, path="/receive")}
        send(ours, servers.create_job(ours), 1)
        for size, rounds in ROUNDS.items():
            rates: dict[str, list[float]] = {name: [] for name in ("postscan", *handlers)}
            for _ in range(rounds):
                rates["postscan"].append(size / once(ours, size))
                for name, handler in handlers.items():
                    rates[name].append(size / send(handler, "none", size))
            mine = statistics.median(rates.pop("postscan"))
            theirs = {name: statistics.median(rates[name]) for name in rates}
            ratios = ", ".join(f"{name} {rate:.0f} MB/s, ratio {mine / rate:.2f}" for name, rate in theirs.items())
            print(f"SendImage {size:4} MB: postscan {mine:.0f} MB/s; {ratios}")
        print(f"peak memory of the server after all: {ours.peak_memory():.0f} MiB")


def once(server: servers.Server, megabytes: int) -> float:
    """Send one image to a new job, and cancel it: the bare handler does not keep its file either."""
    token = servers.create_job(server)
    seconds = send(server, token, megabytes)
    servers.exchange(server, servers.envelope("CancelPostScanJob", f"<dsp:JobToken>{token}</dsp:JobToken>"))
    return seconds


def send(server: servers.Server, token: str, megabytes: int) -> float:
    """Send one image of random bytes; return the seconds until the response."""
    before, after = wrapping(token)
    length = len(before) + (megabytes << 20) + len(after)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        begun = time.perf_counter()
        connection.sendall(servers.head(server, length, MEDIA) + before)
        for _ in range(megabytes):
            connection.sendall(BLOCK)
        connection.sendall(after)
        servers.read_response(connection)
        return time.perf_counter() - begun


def wrapping(token: str) -> tuple[bytes, bytes]:
    """Return the bytes before and after the image."""
    root = servers.envelope(
        "SendImage",
        f"<dsp:JobToken>{token}</dsp:JobToken><dsp:DocumentDescription><dsp:DocumentId>1</dsp:DocumentId>"
        "<dsp:Format>png</dsp:Format></dsp:DocumentDescription>"
        '<dsp:ImageData><xop:Include href="cid:image@bench"/></dsp:ImageData>',
    )
    mime = (
        f'--{BOUNDARY}\r\nContent-Type: application/xop+xml; charset=utf-8; type="application/soap+xml"\r\n'
        f"Content-ID: <env@bench>\r\n\r\n{root.decode()}\r\n--{BOUNDARY}\r\n"
        "Content-Type: application/octet-stream\r\nContent-ID: <image@bench>\r\n\r\n"
    )
    return mime.encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
