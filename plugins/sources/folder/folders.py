"""The folders of an inlet: the watched one and those of destinations, which are missing, and which cannot be used."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postscan.plugins import Destination, Refused, SourceContext
from postscan.plugins.sources.folder import names
from postscan.plugins.sources.folder.settings import Settings

MOST_IN_ROOT: Final = 10_000
"""Entries of the watched folder among which subfolders are looked for, beside those with the names of destinations."""

FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How the folder of a destination is opened: not through a link."""


def subfolders(inlet: SourceContext, root: int) -> Iterator[tuple[str, Destination | None]]:
    """Yield the subfolders of the watched folder, each once, with the destination that has its name."""
    settings: Settings = inlet.settings
    known = {one: destination for destination in inlet.destinations for one in (destination.id, destination.label)}
    found = [name for name in known if "/" not in name and name not in ("", ".", "..") and _is_folder(root, name)]
    with os.scandir(root) as entries:
        for entry in itertools.islice(entries, MOST_IN_ROOT):
            if not names.is_hidden(entry.name) and entry.is_dir(follow_symlinks=False):
                found.append(entry.name)
    for name in dict.fromkeys(found):
        if name != settings.refused:
            try:
                yield name, inlet.destination(name)
            except Refused:
                yield name, None


def missing(inlet: SourceContext, found: set[Destination | None]) -> list[str]:
    """Return a sentence for each destination that has no folder."""
    return [f"there is no folder for {one.label!r} (or {one.id})" for one in inlet.destinations if one not in found]


def unusable(folder: int) -> str:
    """Return why nothing can be removed from a folder; "" if that is possible."""
    if os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True):
        return ""
    return "its files cannot be removed, so none is taken"


def obstacles(inlet: SourceContext) -> Iterator[str]:
    """Yield a sentence for each thing that keeps files from becoming jobs; nothing is changed."""
    settings: Settings = inlet.settings
    with contextlib.ExitStack() as stack:
        try:
            root = os.open(settings.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, root)
            opened = {"": root}
            found = {inlet.destinations[0]} if len(inlet.destinations) == 1 else set()
            for name, destination in subfolders(inlet, root):
                if destination is not None:
                    found.add(destination)
                    opened[name] = os.open(name, FOLDER, dir_fd=root)
                    stack.callback(os.close, opened[name])
        except OSError as error:
            yield f"{settings.folder}: {error.strerror or error}"
            return
        yield from missing(inlet, {*found})
        for name, folder in opened.items():
            if unusable(folder):
                yield f"{Path(settings.folder, name)}: {unusable(folder)}"


def _is_folder(root: int, name: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        os.close(os.open(name, FOLDER, dir_fd=root))
        return True
    return False
