"""Does not know what it has done before."""

import shutil
import uuid
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
    """Deliver every page under a new name each time."""

    dialect = "urn:faulty:not-twice"
    title = "Faulty"
    Instructions = Instructions
    Settings = Settings

    def run(self, job, token):
        for document in job.documents:
            name = f"{uuid.uuid4()}.png"
            with job.publish(document, job.settings.folder, name):
                shutil.copyfile(document.path, Path(job.settings.folder) / name)


@hookimpl
def postscan_filters():
    """Bring the filter."""
    return [Faulty()]
