"""Speaks another version of the contract."""

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
    """Would be good."""

    dialect = "urn:faulty:wrong-api"
    title = "Faulty"
    api = 2
    Instructions = Instructions
    Settings = Settings

    def run(self, job, token):
        for document in job.documents:
            job.deliver(document, Path(job.settings.folder))


@hookimpl
def postscan_filters():
    """Bring the filter."""
    return [Faulty()]
