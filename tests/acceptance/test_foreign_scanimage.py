"""SANE's scanimage scans from the simulated devices, as `postscan device` runs them.

What it received is compared with the pages of the device: byte by byte as it came over the network, which its trace
keeps, and pixel by pixel as it decoded and wrote it.
"""

from __future__ import annotations

import contextlib
import io
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import commands
import pytest
from PIL import Image
from sample_files import noise, saved
from scanimage import ScanImage, Scans, needs_scanimage
from works import PATIENCE, until

from postscan.cli.device.escl.scanner import SimulatedEsclScanner
from postscan.cli.device.wsscan import WsdScanner

pytestmark = [pytest.mark.services, needs_scanimage]

DPI = 150
SIZE = 1240, 1754  # A4 at this resolution
AS_SCANNED = ("--resolution", str(DPI), "-x", "210", "-y", "297")


def pictures(folder: Path, count: int) -> list[Path]:
    """Write so many different pictures of a page."""
    files = []
    for number in range(1, count + 1):
        file = folder / f"{number:02}.jpg"
        file.write_bytes(saved(noise(size=SIZE, seed=number), "JPEG", quality=30, dpi=(DPI, DPI)))
        files.append(file)
    return files


@contextlib.contextmanager
def device(option: str, source: str, files: Sequence[Path]) -> Iterator[str]:
    """Run `postscan device` while the body runs; lend the URL for airscan.conf: of the scan service."""
    arguments = ["device", option, "--source", source, *map(str, files)]
    with commands.start(arguments, stdout=subprocess.PIPE) as command:
        assert command.stdout
        url = command.stdout.readline().strip()
        if option == "--wsscan":
            (url,) = re.findall(r"the scan service is (\S+);", command.stdout.readline())
        rest = threading.Thread(target=command.stdout.read)  # so that the device is never held up by its output
        rest.start()
        try:
            yield url
        finally:
            command.send_signal(signal.SIGINT)
            command.wait(PATIENCE)
            rest.join()


def asked(scanner: SimulatedEsclScanner | WsdScanner) -> list[str]:
    """Return the names of the operations, or the methods, that a scanner was asked for."""
    if isinstance(scanner, WsdScanner):
        return [one.what.rpartition("/")[2] for one in list(scanner.requests)]
    return [one.method if one.method == "DELETE" else one.path.rpartition("/")[2] for one in scanner.requests]


def pixels(content: bytes) -> tuple[tuple[int, int], bytes]:
    """Return size and pixels of an image file."""
    with Image.open(io.BytesIO(content)) as image:
        return image.size, image.convert("RGB").tobytes()


def assert_same(scans: Scans, files: Sequence[Path]) -> None:
    """Fail unless scanimage got all files, and wrote the pixels that are in them."""
    sent = [file.read_bytes() for file in files]
    assert [pixels(page) for page in scans.pages] == [pixels(one) for one in sent]
    assert list(scans.received) == sent


PROTOCOLS = {"eSCL": "--escl", "WSD": "--wsscan"}
SCANS = {"feeder": ("ADF", 10), "platen": ("Flatbed", 1), "duplex": ("ADF Duplex", 10)}
"""Where the paper is: what scanimage calls it, and how many sides there are."""


@pytest.mark.conformance("ESCL-060", "WSS-080")
@pytest.mark.parametrize("source", SCANS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_it_scans_what_lies_in_the_device(tmp_path: Path, protocol: str, source: str) -> None:
    """Ten pages of the feeder, one of the platen, and the ten sides of five sheets, equal to the byte."""
    chosen, sides = SCANS[source]
    files = pictures(tmp_path, sides)
    with device(PROTOCOLS[protocol], source, files) as url:
        program = ScanImage(tmp_path / "sane", url, protocol)
        scans = program.scan(chosen, *AS_SCANNED, pages=1 if source == "platen" else 0)

    assert_same(scans, files)


@pytest.mark.conformance("ESCL-061")
def test_its_sigterm_is_seen_as_delete(tmp_path: Path) -> None:
    """While the device scans the first page of the feeder; the job of the device is Canceled."""
    with SimulatedEsclScanner(pictures(tmp_path, 3), page_seconds=3600) as scanner:
        stopped(tmp_path, "eSCL", scanner, lambda: "NextDocument" in asked(scanner))
        (job,) = scanner.jobs
        until(lambda: job.state == "Canceled", "for the job of the device to be cancelled")

    assert asked(scanner).count("DELETE") == 1


@pytest.mark.conformance("WSS-080")
def test_its_sigterm_is_seen_as_cancel_job(tmp_path: Path) -> None:
    """While the first page of the feeder is on its way; the job of the device is Canceled."""
    with WsdScanner(pictures(tmp_path, 3), misbehaviours=["slow=100000"]) as scanner:
        stopped(tmp_path, "WSD", scanner, lambda: "RetrieveImage" in asked(scanner))
        (job,) = scanner.jobs
        until(lambda: job.state == "Canceled", "for the job of the device to be cancelled")

    assert asked(scanner).count("CancelJob") == 1


def stopped(
    tmp_path: Path, protocol: str, scanner: SimulatedEsclScanner | WsdScanner, has_begun: Callable[[], object]
) -> None:
    """Let scanimage scan until something has begun, and send it SIGTERM."""
    url = scanner.service_url if isinstance(scanner, WsdScanner) else scanner.url
    program = ScanImage(tmp_path / "sane", url, protocol)
    with program.start("ADF", *AS_SCANNED) as process:
        until(has_begun, "for the first image to begin")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
