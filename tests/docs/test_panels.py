"""The page on panels: its settings and commands, with a server, and simulated scanners in place of the devices."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator

import pytest
from followed_page import FollowedPage
from free_ports import free_port
from works import SID

pikepdf = pytest.importorskip("pikepdf", reason="the pdf filter needs the extra [pdf]")

PAGE = "docs/panels.md"

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]


def replaced() -> dict[str, str]:
    """Return what stands for the devices of the page: a simulated scanner for each, and a port for it."""
    wsd, escl, hp = (str(free_port()) for _ in range(3))
    return {
        "http://10.0.0.9:8018/wsd": f"http://127.0.0.1:{wsd}/wsd",
        "http://10.0.0.10/eSCL": f"http://127.0.0.1:{escl}/eSCL",
        "http://10.0.0.11:8080/eSCL": f"http://127.0.0.1:{hp}/eSCL",
        "127.0.0.1:8018": f"127.0.0.1:{wsd}",
        "127.0.0.1:8080": f"127.0.0.1:{escl}",
        "127.0.0.1:8081": f"127.0.0.1:{hp}",
    }


@pytest.fixture(scope="module")
def panels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FollowedPage]:
    """The page, followed once; its server and its scanners run on."""
    followed = FollowedPage(PAGE, tmp_path_factory.mktemp("panels"), ("wsscan", "escl", "hp"), replaced())
    with contextlib.closing(followed.shell):
        followed.follow()
        yield followed


def test_every_command_of_the_page_ends_well(panels: FollowedPage) -> None:
    """The simulated scanners that it starts included."""
    assert [(one.command, one.code, one.output) for one in panels.commands if one.code] == []
    assert len(panels.commands) >= 6


def test_every_output_that_the_page_shows_is_true(panels: FollowedPage) -> None:
    """The inlets have found their scanners, among others."""
    assert [(one.command, one.missing, one.output) for one in panels.commands if one.missing] == []


def test_a_press_a_walk_up_and_a_pull_are_a_pdf_each(panels: FollowedPage) -> None:
    """One job for each way, proven by the device, for the user of the destination."""
    jobs = panels.jobs(3)
    files = [path for path in panels.out.rglob("*") if path.is_file()]

    assert sorted((job["origin"]["source"], job["origin"]["proof"]) for job in jobs) == [
        ("copy-room", "device"),
        ("front-desk", "device"),
        ("home-office", "device"),
    ]
    assert {(job["state"], job["user"]["sid"]) for job in jobs} == {("Completed", SID)}
    assert len(files) == len(jobs)
    for path in files:
        with pikepdf.open(io.BytesIO(path.read_bytes())) as pdf:
            assert len(pdf.pages) == 1
