"""A stored scan process as the commands take it: found by its name, checked by its filters."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from postscan.cli.context import open_engine
from postscan.core.errors import PostscanError

if TYPE_CHECKING:
    from postscan.core.model.process import Instructions
    from postscan.core.registry.catalogue import Catalogue
    from postscan.core.settings import Settings
    from postscan.soap.processes.folder import ProcessFolder

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or GUID of the scan process.")]


def identifier(folder: ProcessFolder, name: str) -> str:
    """Return the GUID of the stored process with this name or GUID; raise `PostscanError` unless there is one."""
    from postscan.soap.xml.reading import guid

    stored = folder.names()
    given = guid(name)
    if given in stored:
        return given
    found = [one for one in stored if display_name(folder, one) == name.strip()]
    if len(found) > 1:
        raise PostscanError(f"{len(found)} scan processes have the name {name!r}; give a GUID: {', '.join(found)}")
    if not found:
        raise PostscanError(f"no scan process {name!r} is stored; see: postscan process list")
    return found[0]


def display_name(folder: ProcessFolder, identifier: str) -> str:
    """Return the display name of a stored process; "" if it cannot be read."""
    from postscan.soap.processes import properties

    with contextlib.suppress(PostscanError, OSError):
        return properties.read(f"{identifier}.toml", folder.stored(identifier).properties or b"")[0]
    return ""


@contextlib.contextmanager
def filters(settings: Settings) -> Iterator[tuple[Catalogue, Callable[[Instructions], None]]]:
    """Yield the installed filters, and what checks instructions by them as a server does before it creates a job."""
    with open_engine(settings) as engine, engine.probing() as (catalogue, validator):
        yield catalogue, validator.check


def effect(settings: Settings) -> str:
    """Return when a server uses what was stored: it looks at the files of a process for each new job."""
    from postscan.core.engine import is_served

    if is_served(settings.storage.data_dir):
        return "the running server uses it for new jobs at once; jobs that were created before keep theirs"
    return "no server is running with this data folder; the next one uses it"
