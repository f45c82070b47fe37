"""Run the named benchmarks, or all."""

from __future__ import annotations

import os
import platform
import sys

from bench import (
    bystander,
    cancel,
    cluster,
    commit_beside_reads,
    console,
    directory,
    events,
    get_elements,
    growth,
    mails,
    oracle,
    pairs,
    screens,
    send_image,
    uploads,
)

ALL = {
    "send_image": send_image.run,
    "get_elements": get_elements.run,
    "bystander": bystander.run,
    "cancel": cancel.run,
    "oracle": oracle.run,
    "events": events.run,
    "cluster": cluster.run,
    "commit_beside_reads": commit_beside_reads.run,
    "console": console.run,
    "screens": screens.run,
    "growth": growth.run,
    "growth_on_postgresql": growth.run_on_postgresql,
    "pairs": pairs.run,
    "directory": directory.run,
    "mails": mails.run,
    "uploads": uploads.run,
}


def main() -> None:
    """Print the environment, then each measurement."""
    names = sys.argv[1:] or list(ALL)
    unknown = [name for name in names if name not in ALL]
    if unknown:
        sys.exit(f"there is no benchmark {unknown[0]!r}; there are: {', '.join(ALL)}")
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
    for name in names:
        ALL[name]()


main()
