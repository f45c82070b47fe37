"""A bystander that asks for its job again and again: `python -m campaigns.flood.getter`.

Its standard input has one line, an order as JSON. It prints `RUNNING`, runs until that input is closed, and prints, as
JSON, when each request began (in the seconds of `time.monotonic`) and how many seconds it took; null for one without
its answer.
"""

from __future__ import annotations

import json
import select
import ssl
import sys
import time
from typing import Final

from device import Device

from campaigns.flood.children import RUNNING

PERIOD: Final = 0.05
"""Seconds from the begin of one request to that of the next, each on a connection of its own."""


def main() -> None:
    """Run until the standard input is closed."""
    order = json.loads(sys.stdin.readline())
    tls = ssl.create_default_context(cafile=order["ca"]) if order["url"].startswith("https") else None
    device = Device(order["url"], source_address=order["address"], timeout=order["patience"], tls=tls)
    results: list[tuple[float, float | None]] = []
    print(RUNNING, flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        began = time.monotonic()
        results.append((began, _seconds(device, order["token"])))
        time.sleep(max(0.0, began + PERIOD - time.monotonic()))
    print(json.dumps(results))


def _seconds(device: Device, token: str) -> float | None:
    began = time.monotonic()
    try:
        answer = device.elements(token)
    except Exception:  # whatever it is: there was no answer
        return None
    seconds = time.monotonic() - began
    return seconds if answer.find("JobState") else None


if __name__ == "__main__":
    main()
