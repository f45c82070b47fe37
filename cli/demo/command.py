"""`postscan demo`: a real server, a device, one job completed and one cancelled, and all of it checked."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import shlex
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from postscan.cli.demo.sandbox import USER, DemoSandbox
from postscan.core.errors import PostscanError

ARCHIVE: Final = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
ARCHIVE_AND_STAMP: Final = "C2A6F0D1-5E39-4B87-A0D4-3F1E7B92C865"
FEW: Final = ("page.png", "text.png", "coffee.png", "retina.jpg")
PAGES: Final = (  # the quick ones first: grey before colour
    *("page.png", "text.png", "camera.png", "moon.png", "coins.png", "brick.png", "gravel.png", "cell.png"),
    *("rocket.jpg", "coffee.png", "retina.jpg", "astronaut.png"),
)
CANCEL_AFTER: Final = 3  # seconds after the end of the images


def demo(
    keep: Annotated[
        Path | None, typer.Option(help="Keep everything in this folder, which must be new or empty.", metavar="DIR")
    ] = None,
) -> None:
    """Show the product with real scans: one job completed, one cancelled.

    Starts a real server on a free loopback port, with a folder of its own for all it keeps, and sends it pages with
    the real `postscan send`. Each command is printed before it runs, so that you can do the same by hand. The pages
    are photographs that come with scikit-image (pip install 'postscan[demo]').

    The second job is cancelled while one of its filters is working: that filter stops, the next one never begins,
    and what was delivered before stays. In the end every archived file is compared with what was sent. Takes
    less than a minute.

    \b
    Exit codes:
      0  everything was as promised
      1  something differed, and it says what
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is stopped on the way out
    pictures = _pictures()
    with _folder(keep) as folder:
        stage = DemoSandbox(folder)
        _run(stage, pictures)
        if keep:
            typer.echo(f"\nEverything is kept in {folder}; go on with:\n")
            typer.echo(f"$ cd {shlex.quote(str(folder))} && export POSTSCAN_CONFIG=postscan.toml\n$ postscan serve")
        else:
            typer.echo("\nEverything is removed again; to keep it: postscan demo --keep DIR")
        if stage.differences:
            raise PostscanError("\n".join(["the demo did not go as promised:", *stage.differences]))
    typer.echo(
        "All as promised: one job Completed, one Canceled, and every archived file equal to the page that was sent."
    )


def _run(stage: DemoSandbox, pictures: Path) -> None:
    typer.echo("A folder for everything: pages, shares, settings, and two scan processes.\n")
    stage.build(pictures, PAGES, ("archive.xml", "archive-and-stamp.xml"))
    stage.run("process", "add", "archive.xml", "--name", "Archive", "--id", ARCHIVE)
    stage.run("process", "add", "archive-and-stamp.xml", "--name", "Archive and stamp", "--id", ARCHIVE_AND_STAMP)
    typer.echo("\nThe server.")
    with stage.server():
        few, all = [f"pages/{name}" for name in FEW], [f"pages/{name}" for name in PAGES]
        _complete(stage, few)
        _cancel(stage, few, all)


def _complete(stage: DemoSandbox, pages: list[str]) -> None:
    typer.echo(f"\n1. {len(pages)} pages for the process Archive. It has one filter, which saves them to a share.")
    stage.run("send", *pages, "--process", ARCHIVE, "--user", USER)
    stage.show("archive")
    _compare(stage, pages)


def _cancel(stage: DemoSandbox, before: list[str], pages: list[str]) -> None:
    typer.echo(
        f"\n2. {len(pages)} pages for the process Archive and stamp: save to a share, stamp each page, save again."
        f"\n   {CANCEL_AFTER} seconds after the last page, somebody presses Stop at the device."
    )
    cancel = ("--cancel-after", str(CANCEL_AFTER))
    said = stage.run("send", *pages, "--process", ARCHIVE_AND_STAMP, "--user", USER, *cancel, promised=3)
    token = next((line.split()[3] for line in said if "  Job " in line), "")
    stage.run("jobs", "show", token)
    typer.echo("\nWhat was delivered before the cancel is still there:")
    stage.show("archive", "stamped", "afterwards")
    _compare(stage, [*before, *pages])
    _judge(stage, token)


def _judge(stage: DemoSandbox, token: str) -> None:
    """Check the cancelled job filter by filter: one had finished, one was stopped, one never began."""
    job = stage.ask("jobs", "show", token, "--json")
    states = [one["state"] for one in job.get("filters", ())]
    promised = ["CompletedSuccessfully", "Canceled", "Canceled"]
    stage.expect(job.get("state") == "Canceled", f"the second job is {job.get('state')}, not Canceled")
    stage.expect(states == promised, f"the filters of the second job are {states}, not {promised}")
    stage.expect(not stage.files("afterwards"), "the filter that never began has delivered something")
    stamped = stage.files("stamped")
    stage.expect(len(stamped) < len(PAGES), "all pages are stamped: the filter was not stopped")
    for file in stamped:
        whole = file.suffix == ".png" and file.read_bytes().endswith(b"IEND\xaeB`\x82")
        stage.expect(whole, f"{file.name} is half a file")


def _compare(stage: DemoSandbox, sent: Iterable[str]) -> None:
    """Check that the archive holds exactly the pages that were sent, byte for byte."""
    delivered = Counter(_sha256(file) for file in stage.files("archive"))
    expected = Counter(_sha256(stage.folder / page) for page in sent)
    stage.expect(delivered == expected, "share/archive does not hold exactly the pages that were sent")


def _pictures() -> Path:
    """Return the folder of pictures inside scikit-image, found without importing it."""
    spec = importlib.util.find_spec("skimage")
    for package in (spec.submodule_search_locations or ()) if spec else ():
        if all((Path(package) / "data" / name).is_file() for name in PAGES):
            return Path(package) / "data"
    raise PostscanError("the demo needs the pictures of scikit-image; install them with: pip install 'postscan[demo]'")


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Lend a folder that is removed afterwards, or the one that is to be kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="postscan-demo-") as folder:
            yield Path(folder)
        return
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise PostscanError(f"{keep}: is not empty; expected a new or an empty folder")
    yield keep.resolve()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
