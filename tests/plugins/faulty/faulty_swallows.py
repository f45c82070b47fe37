"""Catches whatever comes, the cancel too."""

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
    """Deliver every page, or not."""

    dialect = "urn:faulty:swallows"
    title = "Faulty"
    Instructions = Instructions
    Settings = Settings

    def run(self, job, token):
        for document in job.all_documents:
            try:
                job.deliver(document, Path(job.settings.folder))
            except BaseException as error:
                job.log(f"{document.name} was not delivered: {type(error).__name__}")


@hookimpl
def postscan_filters():
    """Bring the filter."""
    return [Faulty()]
