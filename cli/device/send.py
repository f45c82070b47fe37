"""`postscan send`: send files as one job, as a scan device does, and show its progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from postscan.cli.context import load_settings
from postscan.cli.device import process_files
from postscan.cli.output import exit_codes
from postscan.core.model.formats import UnknownFormat, test_page

if TYPE_CHECKING:
    from postscan.cli.device.scenarios.job_session import Page
    from postscan.core.settings import Settings

DEFAULT_USER: Final = test_page.USER
"""The SID of the user if `--user` is not given."""


def send(
    context: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Image files; one document each, numbered from 1.")
    ],
    process: Annotated[str, typer.Option(help="GUID of the scan process.", metavar="GUID")],
    url: Annotated[str, typer.Option(metavar="URL", help="Processing service; default: that of the settings.")] = "",
    user: Annotated[
        str, typer.Option(metavar="SID", help="SID of the user who is signed in at the device.")
    ] = DEFAULT_USER,
    process_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of the stored scan process; default: in the folder of the settings."),
    ] = None,
    format: Annotated[
        str, typer.Option(metavar="KEYWORD", help="Format keyword for all files; default: by their names.")
    ] = "",
    chunked: Annotated[
        bool, typer.Option("--chunked", help="Send the images in chunks, without Content-Length.")
    ] = False,
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="CA of the server; default: the CAs of this machine.")
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", metavar="FILE", help="Certificate of the user or of the device.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Key of the certificate; default: in the same file.")
    ] = None,
    cancel_after: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Cancel the job this many seconds after its last image."),
    ] = None,
    cancel_after_images: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Cancel the job after this many images, instead of ending it."),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the job has ended, and show its filters.")] = True,
) -> None:
    """Send image files to a scan server, as a scan device does.

    Copies the post-scan instructions from the stored scan process, creates a job, sends each file, ends the job, and
    shows each change of the job and its filters until the job has ended. Ctrl-C is the Stop button: it cancels the
    job; a second one exits at once.

    If an image is refused, the job is cancelled, so that no incomplete job remains on the server.

    \b
    Examples:
      postscan send page.png --process 7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7
      postscan send *.tif --process 7B0E... --url http://scan01:5362/ScanServer/processing
      postscan send *.png --process 7B0E... --cancel-after 3
      postscan send *.png --process 7B0E... --ca ca.pem --cert anna.pem --key anna.key

    \b
    Exit codes:
      0  the job was Completed (with --no-wait: all images were sent)
      1  an error; stderr has the reason
      3  the job was Canceled
      4  the job was Aborted by the server
    """
    from postscan.cli.device import tls as device_tls
    from postscan.cli.device.client import Device
    from postscan.cli.device.scenarios.job_session import JobSession, ScanJob, Stop
    from postscan.cli.device.scenarios.progress_log import ProgressLog
    from postscan.cli.output import terminal

    if cancel_after is not None and not wait:
        raise typer.BadParameter("cannot be used with --no-wait", param_hint="--cancel-after")
    settings = load_settings(context)
    pages = _pages(files, format)
    identifier = process_files.identifier("--process", process)
    instructions = process_files.instructions(process_file or process_files.stored(settings.processes_dir, identifier))
    tls = device_tls.context(ca, cert, key)
    with Device(url or _address(settings), user, chunked=chunked, tls=tls) as device:
        job = ScanJob(pages, identifier, instructions)
        session = JobSession(device, job, ProgressLog(terminal.console()), Stop(cancel_after, cancel_after_images))
        if not wait:
            session.send()
            return
        raise typer.Exit(exit_codes.of_job(session.run().state))


def _pages(files: list[Path], format: str) -> list[Page]:
    """Check every file before the job is created."""
    from postscan.cli.device.scenarios.job_session import Page

    try:
        return [Page.of(number, file, format) for number, file in enumerate(files, start=1)]
    except UnknownFormat as error:
        raise UnknownFormat(f"{error}; --format sends it as another") from None


def _address(settings: Settings) -> str:
    """Return the URL of the processing service of these settings."""
    server = settings.server
    if not server.port:
        raise typer.BadParameter("needed, since the port in the settings is 0", param_hint="--url")
    host = f"[{server.host}]" if ":" in server.host else server.host
    scheme = "https" if settings.tls.on else "http"
    return f"{scheme}://{host}:{server.port}{server.path}"
