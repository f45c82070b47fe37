"""Latency of GetPostScanJobElements for one device, while another one sends images of 64 MB without a pause."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time

from bench import servers
from bench.get_elements import request
from bench.send_image import send

GETS = 1500
PAUSE = 0.005


def run() -> None:
    """Measure and print."""
    with servers.folder() as folder, servers.postscan(folder) as ours:
        token = servers.create_job(ours)
        alone = waits(ours, token)
        command = [sys.executable, "-m", "bench.bystander", str(ours.port), ours.path]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as sender:
            try:
                time.sleep(0.5)
                beside = waits(ours, token)
            finally:
                sender.terminate()
                sent = len(sender.stdout.read()) if sender.stdout else 0
    for name, seconds in (("alone", alone), (f"beside images of 64 MB ({sent} sent)", beside)):
        cuts = statistics.quantiles(seconds, n=100)
        print(
            f"Get {name}: p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms, max {max(seconds) * 1000:.1f} ms"
        )


def waits(server: servers.Server, token: str) -> list[float]:
    """Return the seconds of each request."""
    data = request(token)
    whole = servers.head(server, len(data)) + data
    seconds = []
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        for _ in range(GETS):
            begun = time.perf_counter()
            connection.sendall(whole)
            servers.read_response(connection)
            seconds.append(time.perf_counter() - begun)
            time.sleep(PAUSE)
    return seconds


def send_images(server: servers.Server) -> None:
    """Send images until the process is terminated; print a dot for each."""
    while True:
        send(server, servers.create_job(server), 64)
        sys.stdout.write(".")
        sys.stdout.flush()


if __name__ == "__main__":
    placeholder = subprocess.Popen(["true"])
    send_images(servers.Server(placeholder, int(sys.argv[1]), sys.argv[2]))
