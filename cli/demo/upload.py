"""The upload of the demo: one file by PUT with an account, as a program or a scanner without WS-DSP sends it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote


def put(port: int, folder: str, file: Path, account: str, password: str, *, seconds: float) -> tuple[int, Any]:
    """Send a file to a folder of the server on this port of 127.0.0.1; return status and JSON of the response.

    Each step may take *seconds*. Raises `OSError` without a connection. Proxies of the environment are not used.
    """
    proof = base64.b64encode(f"{account}:{password}".encode()).decode()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)) as connection:
        path = f"/{quote(folder)}/{quote(file.name)}"
        connection.request("PUT", path, file.read_bytes(), {"Authorization": f"Basic {proof}"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
