"""Keeps a list where nobody has asked for one."""

from dataclasses import dataclass
from pathlib import Path

from postscan.plugins import Filter, hookimpl


@dataclass(frozen=True)
class Instructions:
    """FaultyConfig: nothing."""


@dataclass(frozen=True)
class Settings:
    """Where the pages go."""

    folder: str = ""


class Faulty(Filter):
    """Deliver every page, and write down which."""

    dialect = "urn:faulty:writes-outside"
    title = "Faulty"
    Instructions = Instructions
    Settings = Settings

    def run(self, job, token):
        for document in job.documents:
            job.deliver(document, Path(job.settings.folder))
            with (Path(job.settings.folder) / "list.txt").open("a") as file:
                file.write(f"{document.name}\n")


@hookimpl
def postscan_filters():
    """Bring the filter."""
    return [Faulty()]
