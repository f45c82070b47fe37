"""SANE's `scanimage` with the backend `airscan` of Debian, pointed at one device by a configuration of a test's own.

The backend finds no devices by itself then. It keeps each image in a trace as it came over the network, before it
decodes it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from works import PATIENCE

DEVICES: Final = {"eSCL": "airscan:e0:simulated", "WSD": "airscan:w0:simulated"}
"""The names that SANE gives to the only device, by its protocol."""

_BACKEND: Final = ("/usr/lib/*/sane/libsane-airscan.so*", "/usr/lib*/sane/libsane-airscan.so*")

_JPEG: Final = b"\xff\xd8"

needs_scanimage: Final = pytest.mark.skipif(
    shutil.which("scanimage") is None or not any(list(Path("/").glob(pattern[1:])) for pattern in _BACKEND),
    reason="needs scanimage and its backend airscan; on Debian: apt-get install sane-utils sane-airscan",
)


@dataclass(frozen=True)
class Scans:
    """What one run of scanimage has brought."""

    code: int
    output: str
    received: tuple[bytes, ...]
    """Each JPEG as it came over the network, without what was around it."""
    pages: tuple[bytes, ...]
    """Each page that scanimage wrote, as PNM."""


class ScanImage:
    """The program, set up for one device in a folder of its own; *url* is the address of the device."""

    def __init__(self, folder: Path, url: str, protocol: str) -> None:
        self._folder = folder
        self._device = DEVICES[protocol]
        folder.mkdir()
        (folder / "dll.conf").write_text("airscan\n")
        lines = ["[devices]", f'"simulated" = {url}, {protocol}', "[options]", "discovery = disable"]
        (folder / "airscan.conf").write_text("\n".join([*lines, "[debug]", f"trace = {folder / 'trace'}", ""]))

    def options(self) -> str:
        """Return the list of options that it shows for the device."""
        command = ["scanimage", "--device-name", self._device, "--all-options"]
        return subprocess.run(
            command, env=self._environment(), capture_output=True, text=True, timeout=PATIENCE, check=True
        ).stdout

    def scan(self, source: str, *options: str, pages: int = 0) -> Scans:
        """Scan so many pages from a source, 0 for all that are in the feeder."""
        with self.start(source, *options, pages=pages) as process:
            output, _ = process.communicate(timeout=PATIENCE)
            return self.brought(process.wait(), output)

    def start(self, source: str, *options: str, pages: int = 0) -> subprocess.Popen[str]:
        """Begin to scan."""
        command = ["scanimage", "--device-name", self._device, "--source", source, "--format=pnm", *options]
        command.append(f"--batch={self._folder / 'page%d.pnm'}")
        if pages:
            command.append(f"--batch-count={pages}")
        return subprocess.Popen(
            command, env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def brought(self, code: int, output: str) -> Scans:
        """Return what a run that has ended has brought."""
        count = len(list(self._folder.glob("page*.pnm")))
        pages = [(self._folder / f"page{number}.pnm").read_bytes() for number in range(1, count + 1)]
        return Scans(code, output, tuple(self._received()), tuple(pages))

    def _received(self) -> Sequence[bytes]:
        with tarfile.open(self._folder / "trace" / "scanimage-simulated.tar") as traced:
            files = filter(None, map(traced.extractfile, traced))
            return [content for file in files if (content := file.read()).startswith(_JPEG)]  # no XML, no multipart

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "SANE_CONFIG_DIR": str(self._folder), "HOME": str(self._folder), "LC_ALL": "C.UTF-8"}
