"""Takes no for an answer from nobody."""

import contextlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from postscan.plugins import Cancelled, Filter, hookimpl


@dataclass(frozen=True)
class Instructions:
    """FaultyConfig: nothing."""


@dataclass(frozen=True)
class Settings:
    """Where the pages go."""

    folder: str = ""


class Faulty(Filter):
    """Deliver every page, by leave or without."""

    dialect = "urn:faulty:publishes-after"
    title = "Faulty"
    Instructions = Instructions
    Settings = Settings

    def run(self, job, token):
        for document in job.all_documents:
            target = Path(job.settings.folder) / document.name
            leave = contextlib.ExitStack()
            try:
                leave.enter_context(job.publish(document, job.settings.folder, document.name))
            except Cancelled:
                shutil.copyfile(document.path, target)
                raise
            with leave:
                shutil.copyfile(document.path, target)


@hookimpl
def postscan_filters():
    """Bring the filter."""
    return [Faulty()]
