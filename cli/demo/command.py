"""`postscan demo`: run a server and a device, complete two jobs, cancel a third, and check the results."""

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

from postscan.cli.demo.sandbox import (
    ACCOUNT,
    ACCOUNT_FILE,
    DESTINATION,
    INLET,
    PANEL_DESTINATION,
    USER,
    DemoSandbox,
)
from postscan.core.errors import PostscanError

ARCHIVE: Final = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
ARCHIVE_AND_STAMP: Final = "C2A6F0D1-5E39-4B87-A0D4-3F1E7B92C865"
FEW: Final = ("letter.png", "invoice.png", "contract.tif", "poster.jpg")
UPLOADED: Final = "minutes.png"
PAGES: Final = (  # the fast ones first: grey before colour
    *("letter.png", "minutes.png", "invoice.png", "delivery-note.png", "price-list.png", "receipt.png", "form.png"),
    *("contract.tif", "chart.jpg", "plan.jpg", "poster.jpg"),
)
CANCEL_AFTER: Final = 2  # seconds after the end of the images


def demo(
    keep: Annotated[
        Path | None, typer.Option(help="Keep all files in this folder, which must be new or empty.", metavar="DIR")
    ] = None,
) -> None:
    """Run a demonstration: two jobs are completed, one is cancelled.

    Starts a server on free loopback ports, with a folder for its data, and sends pages to it with `postscan send`.
    Each command is printed before it runs, so that you can repeat it. One filter needs Pillow
    (pip install 'postscan[demo]').

    The second job comes by HTTP, from an account: a PUT that the source `web` takes.

    The third job is cancelled while one of its filters runs: that filter stops, the next one does not start, and
    documents delivered before remain. At the end, every archived file is compared with the page that was sent.
    Takes about a minute.

    \b
    Exit codes:
      0  all results were as expected
      1  a result differed; stderr has it
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is stopped on exit
    _check_installed()
    with _folder(keep) as folder:
        sandbox = DemoSandbox(folder, ARCHIVE)
        _run(sandbox)
        if keep:
            typer.echo(f"\nAll files are kept in {folder}; go on with:\n")
            typer.echo(f"$ cd {shlex.quote(str(folder))} && export POSTSCAN_CONFIG=postscan.toml\n$ postscan serve")
            typer.echo("\nIn another terminal, in that folder, a press at the panel of a scanner:\n")
            typer.echo(f"$ {sandbox.press(f'pages/{UPLOADED}', PANEL_DESTINATION)}")
        else:
            typer.echo("\nAll files are removed; to keep them: postscan demo --keep DIR")
            typer.echo("\nA press at the panel of a scanner, with these lines in the settings of a running server:\n")
            typer.echo(sandbox.panel_settings)
            typer.echo(f"$ {sandbox.press('page.jpg', 'LABEL')}")
            typer.echo("\nLABEL is the label of a destination of these settings that has a user.")
        if sandbox.failures:
            raise PostscanError("\n".join(["the results of the demo are not as expected:", *sandbox.failures]))
    typer.echo("As expected: two jobs Completed, one Canceled, each archived file equal to the page that was sent.")


def _run(sandbox: DemoSandbox) -> None:
    typer.echo("A folder with pages, shares, settings, two scan processes and the password of an account.\n")
    sandbox.build(PAGES, ("archive.xml", "archive-and-stamp.xml"))
    sandbox.run("process", "add", "archive.xml", "--name", "Archive", "--id", ARCHIVE)
    sandbox.run("process", "add", "archive-and-stamp.xml", "--name", "Archive and stamp", "--id", ARCHIVE_AND_STAMP)
    sandbox.run("accounts", "add", ACCOUNT, "--user", USER, "--inlet", INLET, stdin=ACCOUNT_FILE)
    typer.echo("\nThe server.")
    with sandbox.server():
        few, all = [f"pages/{name}" for name in FEW], [f"pages/{name}" for name in PAGES]
        _complete(sandbox, few)
        _upload(sandbox, few, f"pages/{UPLOADED}")
        _cancel(sandbox, [*few, f"pages/{UPLOADED}"], all)


def _complete(sandbox: DemoSandbox, pages: list[str]) -> None:
    typer.echo(f"\n1. {len(pages)} pages for the process Archive. It has one filter, which saves them to a share.")
    sandbox.run("send", *pages, "--process", ARCHIVE, "--user", USER)
    sandbox.show("archive")
    _check_archive(sandbox, pages)


def _upload(sandbox: DemoSandbox, before: list[str], page: str) -> None:
    typer.echo(
        f"\n2. One page for the destination {DESTINATION}, which stands for that process. An account sends it by HTTP;"
        f"\n   the inlet {INLET} takes it, and answers when its job is stored."
    )
    token = sandbox.upload(page)
    sandbox.run("jobs", "watch", token)
    sandbox.run("jobs", "show", token)
    sandbox.show("archive")
    _check_archive(sandbox, [*before, page])


def _cancel(sandbox: DemoSandbox, before: list[str], pages: list[str]) -> None:
    typer.echo(
        f"\n3. {len(pages)} pages for the process Archive and stamp: save to a share, stamp each page, save again."
        f"\n   {CANCEL_AFTER} seconds after the last page, the user presses Stop at the device."
    )
    cancel = ("--cancel-after", str(CANCEL_AFTER))
    lines = sandbox.run("send", *pages, "--process", ARCHIVE_AND_STAMP, "--user", USER, *cancel, exit_code=3)
    token = next((line.split()[3] for line in lines if "  Job " in line), "")
    sandbox.run("jobs", "show", token)
    typer.echo("\nWhat was delivered before the cancel is still there:")
    sandbox.show("archive", "stamped", "afterwards")
    _check_archive(sandbox, [*before, *pages])
    _check_cancelled(sandbox, token)


def _check_cancelled(sandbox: DemoSandbox, token: str) -> None:
    """Check the filters of the cancelled job: one had finished, one was stopped, one had not started."""
    job = sandbox.read_json("jobs", "show", token, "--json")
    states = [one["state"] for one in job.get("filters", ())]
    expected = ["CompletedSuccessfully", "Canceled", "Canceled"]
    sandbox.expect(job.get("state") == "Canceled", f"the third job is {job.get('state')}, not Canceled")
    sandbox.expect(states == expected, f"the filters of the third job are {states}, not {expected}")
    sandbox.expect(not sandbox.files("afterwards"), "the filter that did not start has delivered documents")
    stamped = sandbox.files("stamped")
    sandbox.expect(len(stamped) < len(PAGES), "all pages are stamped: the filter was not stopped")
    for file in stamped:
        whole = file.suffix == ".png" and file.read_bytes().endswith(b"IEND\xaeB`\x82")
        sandbox.expect(whole, f"{file.name} is incomplete")


def _check_archive(sandbox: DemoSandbox, sent: Iterable[str]) -> None:
    """Check that the archive has exactly the pages that were sent, byte for byte."""
    delivered = Counter(_sha256(file) for file in sandbox.files("archive"))
    expected = Counter(_sha256(sandbox.folder / page) for page in sent)
    sandbox.expect(delivered == expected, "share/archive does not have exactly the pages that were sent")


def _check_installed() -> None:
    """Raise `PostscanError` without what the filter that stamps pages needs; importing it would take longer."""
    if importlib.util.find_spec("PIL") is None:
        raise PostscanError(
            "the demo needs Pillow for one of its filters; install it with: pip install 'postscan[demo]'"
        )


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Yield a temporary folder, or the one to keep."""
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
