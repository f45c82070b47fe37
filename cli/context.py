"""What a command runs with: the settings, an engine on them, and the caller."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from postscan.core.engine import Engine
    from postscan.core.model.principal import Principal
    from postscan.core.settings import Settings
    from postscan.soap.processes.folder import ProcessFolder


def load_settings(context: typer.Context) -> Settings:
    """Read the settings that `--config` or `POSTSCAN_CONFIG` names; the defaults if neither does."""
    from postscan.core.settings import load

    path: Path | None = context.find_root().obj
    return load(path)


@contextlib.contextmanager
def open_engine(settings: Settings) -> Iterator[Engine]:
    """Open an engine on these settings for the body, without starting it; migrate the database if it needs that.

    What this process writes meanwhile is for its user alone.
    """
    from postscan import migrations
    from postscan.core.engine import Engine

    before = os.umask(0o077)
    try:
        migrations.upgrade(settings.storage.url, busy_seconds=settings.storage.busy_seconds)
        with contextlib.closing(Engine(settings, process_folder(settings))) as engine:
            yield engine
    finally:
        os.umask(before)


def process_folder(settings: Settings) -> ProcessFolder:
    """Return the stored scan processes of these settings."""
    from postscan.soap.processes.folder import ProcessFolder

    return ProcessFolder.of(settings)


def local_administrator() -> Principal:
    """Return the user of this process as an administrator: a user who can open the database can administer it.

    The name is that of the process's user id, not one from the environment, which the user can change.
    """
    from postscan.core.model.principal import Principal, Proof

    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a container may run under an id without a name
        name = str(number)
    return Principal(f"local:{name}", Proof.LOCAL, admin=True)
