"""Starts a program and forgets it."""

import subprocess
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
    """Deliver every page, and leave something running."""

    dialect = "urn:faulty:leaves-a-process"
    title = "Faulty"
    Instructions = Instructions
    Settings = Settings

    def run(self, job, token):
        for document in job.documents:
            job.deliver(document, Path(job.settings.folder))
            subprocess.Popen(["sleep", "600"], start_new_session=True)


@hookimpl
def postscan_filters():
    """Bring the filter."""
    return [Faulty()]
