"""The finished plugins of `examples/`, built and tested as an outsider would: from their folders, in a clean place."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator

import httpx2
import pytest
from documents import ROOT
from elsewhere import Elsewhere
from free_ports import free_port
from works import until

EXAMPLES = {"blank-pages": 6, "s3": 9, "separator-pages": 8}
"""How many tests each has."""

pytestmark = [pytest.mark.services, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module", params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> str:
    """The name of an example: its folder, and its entry point."""
    return str(request.param)


@pytest.fixture(scope="module")
def outsider(tmp_path_factory: pytest.TempPathFactory, example: str) -> Elsewhere:
    """An environment with postscan and the example in it."""
    outsider = Elsewhere(tmp_path_factory, "outsider")
    shutil.copytree(ROOT / "examples" / example, outsider.home / example)
    outsider.install(f"./{example}[test]")
    return outsider


def test_the_example_passes_its_own_tests(outsider: Elsewhere, example: str) -> None:
    """On real pages and real servers, its contract included; none is skipped."""
    said = outsider.do("pytest", "-q", folder=outsider.home / example)

    assert re.search(rf"^{EXAMPLES[example]} passed in ", said, re.MULTILINE), said


def test_the_example_is_ready_beside_the_shipped_filters(outsider: Elsewhere, example: str) -> None:
    """Its entry point is found."""
    (outsider.home / "s3.toml").write_text('[filters.s3]\nbucket = "scans"\n')
    settings = ["--config", str(outsider.home / "s3.toml")] if example == "s3" else []
    rows = [line.split() for line in outsider.do("postscan", *settings, "plugin", "list").splitlines()]

    assert [row[:4] for row in rows if row and row[0] == example] == [[example, "1.0", f"postscan-{example}", "ready"]]


def test_the_check_finds_nothing_wrong_with_the_example(outsider: Elsewhere, example: str) -> None:
    """Twelve defects, none of them there."""
    with bucket(outsider) if example == "s3" else contextlib.nullcontext([]) as settings:
        said = outsider.do("postscan", "plugin", "check", example, *settings)

    assert "no defects" in said


@contextlib.contextmanager
def bucket(outsider: Elsewhere) -> Iterator[list[str]]:
    """Run the server of S3 that the example's tests have, with a bucket; yield the options that name its settings."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = outsider.home / "s3.toml"
    settings.write_text(
        f'[filters.s3]\nbucket = "scans"\nendpoint = "{url}"\naccess_key = "postscan"\nsecret_key = "secret"\n'
    )
    with subprocess.Popen(
        ["moto_server", "--port", str(port)],
        env=outsider.variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            until(lambda: made(f"{url}/scans"), "for the bucket")
            yield ["--settings", str(settings)]
        finally:
            server.terminate()


def made(bucket: str) -> bool:
    """Create a bucket; return False while the server does not listen."""
    try:
        return httpx2.put(bucket).status_code == 200
    except httpx2.TransportError:
        return False


def test_every_example_is_tested() -> None:
    """A folder without a row would not be."""
    assert sorted(path.name for path in (ROOT / "examples").iterdir() if path.is_dir()) == sorted(EXAMPLES)
