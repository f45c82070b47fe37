"""Works for the filters after it, and never looks up."""

import zlib
from dataclasses import dataclass

from postscan.plugins import Filter, hookimpl


@dataclass(frozen=True)
class Instructions:
    """FaultyConfig: nothing."""


@dataclass(frozen=True)
class Settings:
    """Where the pages go."""

    folder: str = ""


class Faulty(Filter):
    """Pack every page."""

    dialect = "urn:faulty:never-checks"
    title = "Faulty"
    Instructions = Instructions
    Settings = Settings

    def run(self, job, token):
        for document in job.all_documents:
            packed = job.workdir / f"{document.id}.z"
            packed.write_bytes(zlib.compress(document.path.read_bytes()))


@hookimpl
def postscan_filters():
    """Bring the filter."""
    return [Faulty()]
