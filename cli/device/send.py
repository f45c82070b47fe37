"""`postscan send`: scan files into a job, as a device would, and show what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from postscan.cli.context import load_settings
from postscan.cli.device import process_files
from postscan.cli.output import exit_codes
from postscan.core.model import formats

if TYPE_CHECKING:
    from postscan.cli.device.scenarios.scan import Page
    from postscan.core.settings import Settings

SOMEBODY: Final = "S-1-5-21-1-2-3-1001"
"""The SID that the device claims when nobody names another one."""


def send(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Image files; one document each, numbered from 1.")
    ],
    process: Annotated[str, typer.Option(help="GUID of the scan process.", metavar="GUID")],
    url: Annotated[str, typer.Option(metavar="URL", help="Processing service; default: the one of the settings.")] = "",
    user: Annotated[
        str, typer.Option(metavar="SID", help="SID of the user who is signed in at the device.")
    ] = SOMEBODY,
    process_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read the stored scan process here, not in the folder of the settings."),
    ] = None,
    format: Annotated[
        str, typer.Option(metavar="KEYWORD", help="Format keyword for all files, whatever they look like.")
    ] = "",
    chunked: Annotated[bool, typer.Option("--chunked", help="Send the images chunked, without their length.")] = False,
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="CA of the server; default: those of this machine.")
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", metavar="FILE", help="Certificate of the user or of the device.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Its key; default: in that file.")] = None,
    cancel_after: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Cancel the job this many seconds after its last image."),
    ] = None,
    cancel_after_images: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Cancel the job after this many images, before it is ended.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the job has ended, and show its filters.")] = True,
) -> None:
    """Send image files to a scan server, as a scan device would.

    Copies the post-scan instructions out of the stored scan process, creates a job, sends each file, ends the job,
    and then shows each change of the job and its filters until it has ended. Files are sent as they are read, and
    never held in memory. Ctrl-C is the Stop button: it cancels the job; a second one leaves at once.

    If an image is refused, the device cancels its job, so that nothing half remains on the server.

    \b
    Examples:
      postscan send page.png --process 7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7
      postscan send *.tif --process 7B0E... --url http://scan01:5362/ScanServer/processing
      postscan send *.png --process 7B0E... --cancel-after 3
      postscan send *.png --process 7B0E... --ca ca.pem --cert anna.pem --key anna.key

    \b
    Exit codes:
      0  the job was Completed (with --no-wait: all images were sent)
      1  it could not be done; stderr says why
      3  the job was Canceled
      4  the job was Aborted by the server
    """
    from postscan.cli.device import tls as device_tls
    from postscan.cli.device.client import Device
    from postscan.cli.device.scenarios.scan import Scan, Stop
    from postscan.cli.output import terminal

    if cancel_after is not None and not wait:
        raise typer.BadParameter("with --no-wait nobody is there to cancel", param_hint="--cancel-after")
    settings = load_settings(context)
    pages = _pages(files, format)
    identifier = process_files.identifier("--process", process)
    instructions = process_files.instructions(process_file or process_files.stored(settings.processes_dir, identifier))
    tls = device_tls.context(ca, cert, key)
    with Device(url or _address(settings), user, chunked=chunked, tls=tls) as device:
        scan = Scan(device, device.create(identifier, instructions), terminal.console())
        status = scan.run(pages, Stop(cancel_after, cancel_after_images), wait=wait)
    if status is not None:
        raise typer.Exit(exit_codes.of_job(status.state))


def _pages(files: list[Path], format: str) -> list[Page]:
    """Look at every file before anything is sent, so that a wrong one costs no job."""
    from postscan.cli.device.scenarios.scan import Page

    return [
        Page(number, file, format or formats.keyword(file), file.stat().st_size)
        for number, file in enumerate(files, start=1)
    ]


def _address(settings: Settings) -> str:
    """Return where the server of these settings is reached."""
    server = settings.server
    if not server.port:
        raise typer.BadParameter("the settings let the server choose its port", param_hint="--url")
    host = f"[{server.host}]" if ":" in server.host else server.host
    scheme = "https" if settings.tls.on else "http"
    return f"{scheme}://{host}:{server.port}{server.path}"
