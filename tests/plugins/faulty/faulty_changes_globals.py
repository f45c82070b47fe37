"""Makes itself at home."""

import os
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
    """Deliver every page from where the pages are."""

    dialect = "urn:faulty:changes-globals"
    title = "Faulty"
    Instructions = Instructions
    Settings = Settings

    def run(self, job, token):
        for document in job.documents:
            os.chdir(document.path.parent)
            job.deliver(document, Path(job.settings.folder), source=Path(document.path.name))


@hookimpl
def postscan_filters():
    """Bring the filter."""
    return [Faulty()]
