"""Does not say what it takes."""

from dataclasses import dataclass
from pathlib import Path

from postscan.plugins import Filter, hookimpl


@dataclass(frozen=True)
class Settings:
    """Where the pages go."""

    folder: str = ""


class Faulty(Filter):
    """Deliver every page."""

    dialect = "urn:faulty:no-schema"
    title = "Faulty"
    Settings = Settings

    def run(self, job, token):
        for document in job.documents:
            job.deliver(document, Path(job.settings.folder))


@hookimpl
def postscan_filters():
    """Bring the filter."""
    return [Faulty()]
