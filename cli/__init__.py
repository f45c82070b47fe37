"""The command line of postscan."""

from __future__ import annotations


def main() -> None:
    """Run the command that the arguments name. The imports wait until somebody really asks."""
    from postscan.cli.app import app

    app()
