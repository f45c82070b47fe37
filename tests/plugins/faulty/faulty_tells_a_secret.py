"""Says more than it should."""

from dataclasses import dataclass
from pathlib import Path

from postscan.plugins import Filter, hookimpl, setting


@dataclass(frozen=True)
class Instructions:
    """FaultyConfig: nothing."""


@dataclass(frozen=True)
class Settings:
    """Where the pages go, and as whom."""

    folder: str = ""
    phrase: str = setting("a secret of forty years", secret=True)


class Faulty(Filter):
    """Deliver every page."""

    dialect = "urn:faulty:tells-a-secret"
    title = "Faulty"
    Instructions = Instructions
    Settings = Settings

    def run(self, job, token):
        job.log(f"it is delivered with {job.settings.phrase}")
        for document in job.documents:
            job.deliver(document, Path(job.settings.folder))


@hookimpl
def postscan_filters():
    """Bring the filter."""
    return [Faulty()]
