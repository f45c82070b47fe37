"""The command line of postscan."""

from __future__ import annotations


def main() -> None:
    """Run the command line. It is imported here, so that importing the package stays cheap."""
    from postscan.cli.app import cli

    cli()
