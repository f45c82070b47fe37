"""`postscan device`: a simulated device that finds its server, subscribes, scans, and optionally misbehaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from postscan.cli.context import load_settings
from postscan.cli.device import process_files
from postscan.cli.device.scanners import scanner_options as scanners
from postscan.cli.device.scanners.scanner_command import ScannerArguments, serve_escl, serve_wsscan
from postscan.cli.device.send import DEFAULT_USER
from postscan.cli.output import exit_codes, views
from postscan.core.errors import InvalidArgument

if TYPE_CHECKING:
    from postscan.cli.device.scenarios.job_session import ScanJob

PORT: Final = 5362
HOUR: Final = 3600

MISBEHAVIOURS: Final = (
    *("late", "duplicate", "cut", "slow", "hang-up"),
    *("wrong-order", "foreign-token", "deaf", "refuse"),
)


def device(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="HOST|FILE",
            help="Name or address of the server, with :PORT if that is not 5362; then image files. A first word that "
            "is a file is not a host. Without HOST, servers are searched on the network.",
        ),
    ] = None,
    process: Annotated[str, typer.Option(help="GUID of the scan process; needed with files.", metavar="GUID")] = "",
    user: Annotated[
        str, typer.Option(metavar="SID", help="SID of the user who is signed in at the device.")
    ] = DEFAULT_USER,
    process_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of the stored scan process; default: in the folder of the settings."),
    ] = None,
    misbehave: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Misbehave: {', '.join(MISBEHAVIOURS)}, or all. May be repeated. For a scanner, `list` shows them.",
        ),
    ] = None,
    pause: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Seconds for which `late` pauses, and which `slow` takes for a page."
        ),
    ] = 20.0,
    events: Annotated[bool, typer.Option(help="Subscribe to the events of the job.")] = True,
    expires: Annotated[
        int,
        typer.Option(
            min=2, max=24 * HOUR, metavar="SECONDS", help="Duration of the subscription; it is renewed in time."
        ),
    ] = HOUR,
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Seconds to wait for responses to a Probe by UDP.")
    ] = 4.0,
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="CA of the server; default: the CAs of this machine.")
    ] = None,
    cert: Annotated[
        Path | None, typer.Option("--cert", metavar="FILE", help="Certificate of the user or of the device.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="Key of the certificate; default: in the same file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, at the end.")] = False,
    wsscan: scanners.WsscanOption = False,
    escl: scanners.EsclOption = False,
    listen: scanners.ListenOption = "127.0.0.1:0",
    source: scanners.SourceOption = "feeder",
    pages: scanners.PagesOption = 0,
    quirk: scanners.QuirkOption = None,
    press: scanners.PressOption = "",
    announce: scanners.AnnounceOption = False,
    name: scanners.NameOption = "",
    https: scanners.HttpsOption = False,
    hp: scanners.HpOption = "",
) -> None:
    """Find a server as a scan device does, and scan; or be a scanner.

    Finds the server by WS-Discovery, reads its metadata, subscribes to the events of WS-DSP, sends the files as one
    job, shows the events as they arrive, and unsubscribes. Without files it finds and describes the server only.
    Ctrl-C is the Stop button: it cancels the job; a second one exits at once.

    With --misbehave it scans the files once for each misbehaviour, and shows how the server reacts and whether the
    protocol requires that. With --ca or --cert it uses HTTPS only.

    With --wsscan it is a WSD scanner with a panel, and with --escl an eSCL scanner: it serves the files as paper, and
    a server comes to it. The first line is its URL. Commands at its panel are read from stdin, one a line; `help`
    lists them. With --press it scans once, and exits with the code of the job. Ctrl-C switches it off.

    \b
    Misbehaviours:
      late           sends nothing for a while after its first page
      duplicate      sends each request twice, as the same message
      cut            closes the connection in the middle of each image, and sends it again
      slow           sends each image in small pieces
      hang-up        closes the connection before each response, and repeats the request
      wrong-order    ends its job before the first image, and sends that afterwards
      foreign-token  uses the token of a job that is not its own
      deaf           accepts events and never responds
      refuse         responds to events with 500

    \b
    Examples:
      postscan device
      postscan device scan01.fabrikam.example
      postscan device scan01.fabrikam.example *.png --process 7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7
      postscan device 127.0.0.1 page.png --process 7B0E... --misbehave cut --misbehave duplicate
      postscan device scan01 page.png --process 7B0E... --ca ca.pem --cert anna.pem --key anna.key
      postscan device --wsscan *.jpg --listen 0.0.0.0:8018 --announce
      postscan device --wsscan *.jpg --press Invoices --misbehave jam=3
      postscan device --escl page.jpg --source platen --quirk list

    \b
    Exit codes:
      0  the job was Completed; or the server was found; or it reacted to all misbehaviours as required
      1  an error, or a reaction that does not conform; the output has the reason
      3  the job was Canceled
      4  the job was Aborted by the server
    """
    scanners.check_options(context, wsscan=wsscan, escl=escl)
    if wsscan or escl:
        files = [Path(word) for word in words or []]
        scanner = ScannerArguments(files, listen, source, pages, quirk or [], misbehave or [], press, announce, name)
        raise typer.Exit(serve_wsscan(scanner) if wsscan else serve_escl(scanner, https=https, hp=hp, pause=pause))

    from postscan.cli.device import tls as device_tls
    from postscan.cli.device.scenarios.full_run import DeviceRun
    from postscan.cli.device.scenarios.progress_log import ProgressLog
    from postscan.cli.device.transport import HttpTransport
    from postscan.cli.output import terminal

    host, port, files = _split(words or [])
    names = _misbehaviours(misbehave or [])
    if names and not files:
        raise typer.BadParameter("needs at least one image file", param_hint="--misbehave")
    job = _scan_job(context, files, process, process_file) if files else None
    tls = device_tls.context(ca, cert, key)
    with HttpTransport(tls) as transport:
        run = DeviceRun(transport, ProgressLog(None if json else terminal.console()), secure=tls is not None)
        found = run.find(host, port, wait)
        code = 0
        if job is not None and names:
            assessments = run.misbehave(run.service(found), user, job, names, pause)
            code = 0 if all(one.good for one in assessments) else exit_codes.ERROR
        elif job is not None:
            ended = run.scan(run.service(found), user, job, expires if events else None)
            # ReportedJob.ended is false for a state that only a vendor defines.
            code = exit_codes.of_job(ended.state) if ended.ended else exit_codes.ERROR
    if json:
        typer.echo(views.as_json(run.record))
    if code:
        raise typer.Exit(code)


def _split(words: list[str]) -> tuple[str, int, list[Path]]:
    """Return host, port and files; the host is "" for a search on the network."""
    if not words or Path(words[0]).is_file():
        return "", PORT, [Path(word) for word in words]
    host, port = _host(words[0])
    return host, port, [Path(word) for word in words[1:]]


def _host(word: str) -> tuple[str, int]:
    """Return host and port of `name`, `name:port`, an IPv6 address, or one in brackets with `:port`."""
    host, colon, port = word.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")) or word.endswith("]"):
        return word.strip("[]"), PORT
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536) or not host:
        raise InvalidArgument("HOST", word, "a name or an address, optionally with :PORT")
    return host.strip("[]"), int(port)


def _misbehaviours(names: list[str]) -> tuple[str, ...]:
    for name in names:
        if name not in (*MISBEHAVIOURS, "all"):
            raise typer.BadParameter(
                f"{name!r} is not one of {', '.join(MISBEHAVIOURS)}, all", param_hint="--misbehave"
            )
    return MISBEHAVIOURS if "all" in names else tuple(dict.fromkeys(names))


def _scan_job(context: typer.Context, files: list[Path], process: str, process_file: Path | None) -> ScanJob:
    """Check options and files before the first request."""
    from postscan.cli.device.scenarios.job_session import Page, ScanJob

    if not process:
        raise typer.BadParameter("files need a scan process; see: postscan process list", param_hint="--process")
    pages = [Page.of(number, file) for number, file in enumerate(files, 1)]
    identifier = process_files.identifier("--process", process)
    stored = process_file or process_files.stored(load_settings(context).processes_dir, identifier)
    return ScanJob(pages, identifier, process_files.instructions(stored))
