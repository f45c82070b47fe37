"""The source Folder: files that appear in a watched folder of this machine or of a mounted share become jobs.

A folder has no protocol that says when a file has ended. So a file becomes a job when it has not changed for a while,
no program has it open for writing, and its own structure says that it is whole; or where all who write there rename
their files at the end, as soon as it has its last name.
"""

from __future__ import annotations

from collections.abc import Iterable

from postscan.plugins import CancellationToken, Source, SourceContext, hookimpl
from postscan.plugins.sources.folder.folders import obstacles
from postscan.plugins.sources.folder.inlet import FolderInlet
from postscan.plugins.sources.folder.settings import Settings


class FolderSource(Source):
    """Turn the files of a watched folder into jobs."""

    title = "Folder"
    proofs = ("local",)
    grace = 10.0
    Settings = Settings

    def diagnose(self, inlet: SourceContext) -> Iterable[str]:
        """Look whether the folders are there, and whether files can be removed from them."""
        return obstacles(inlet)

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Look at the folder until the token is set."""
        FolderInlet(inlet, token).run()


@hookimpl
def postscan_sources() -> Iterable[Source]:
    """Return the source Folder."""
    return [FolderSource()]
