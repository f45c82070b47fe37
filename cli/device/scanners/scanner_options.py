"""The options of the simulated scanners, `postscan device --wsscan` and `--escl`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

WsscanOption = Annotated[
    bool, typer.Option("--wsscan", help="Be a WSD scanner with a panel, which a server finds and subscribes to.")
]
EsclOption = Annotated[bool, typer.Option("--escl", help="Be an eSCL scanner, from which a server fetches pages.")]
ListenOption = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="Scanner: address to listen at; port 0 is a free one.")
]
SourceOption = Annotated[str, typer.Option(metavar="PLACE", help="Scanner: where paper is: platen, feeder or duplex.")]
PagesOption = Annotated[
    int, typer.Option(min=0, metavar="N", help="Scanner: number of pages; the files are repeated or cut. 0: each once.")
]
QuirkOption = Annotated[
    list[str] | None,
    typer.Option("--quirk", metavar="NAME", help="Scanner: have the quirks of a known model; `list` shows them."),
]
PressOption = Annotated[
    str,
    typer.Option(
        metavar="LABEL", help="Scanner: choose this destination as soon as the panel shows it, and exit after the scan."
    ),
]
AnnounceOption = Annotated[bool, typer.Option("--announce", help="Scanner: be found by multicast.")]
NameOption = Annotated[str, typer.Option(metavar="NAME", help="Scanner: its name.")]
HttpsOption = Annotated[bool, typer.Option("--https", help="eSCL: serve HTTPS as well, with a certificate of its own.")]
HpOption = Annotated[
    str, typer.Option(metavar="TABLE", help="eSCL: have the walk-up events of HP: comp (WalkupScanToComp) or old.")
]

SCANNER_ONLY: Final = ("listen", "source", "pages", "quirk", "press", "announce", "name", "https", "hp")
"""Options that the device which sends to a server does not have."""

DEVICE_ONLY: Final = ("process", "user", "process_file", "events", "expires", "wait", "ca", "cert", "key", "json")
"""Options that a scanner does not have."""

ESCL_ONLY: Final = ("https", "hp")
"""Options that a WSD scanner does not have."""


def check_options(context: typer.Context, *, wsscan: bool, escl: bool) -> None:
    """Raise `BadParameter` for an option that does not belong to the kind of device that is chosen."""
    if wsscan and escl:
        raise typer.BadParameter("cannot be used with --wsscan", param_hint="--escl")
    kind = "--wsscan" if wsscan else "--escl" if escl else ""
    refused = DEVICE_ONLY + (ESCL_ONLY if wsscan else ()) if kind else SCANNER_ONLY
    for name in refused:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            why = f"cannot be used with {kind}" if kind else "needs --wsscan or --escl"
            raise typer.BadParameter(why, param_hint=f"--{name.replace('_', '-')}")
