"""The hooks that a plugin may implement, and the two markers.

pluggy finds plugins and checks the signatures of their hooks. It runs neither filters nor sources: a job chooses its
filters by dialect, in the order of its scan process, and postscan runs them one after another; the settings name the
sources, and each runs in a process of its own. The other hooks are methods of a plugin of hooks, which has one process.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from postscan.core.filters.directory.values import DirectoryProcess, DirectoryUser
from postscan.core.filters.filter import Filter
from postscan.core.filters.source.source import Source

PROJECT = "postscan"
ENTRY_POINTS = "postscan.filters"
SOURCE_ENTRY_POINTS = "postscan.sources"
HOOK_ENTRY_POINTS = "postscan.hooks"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def postscan_filters() -> Iterable[Filter]:  # type: ignore[empty-body]  # pluggy reads the signature alone
    """Return the filters that this plugin brings.

    Called once in each worker process that loads the plugin, and once in the child that reads what it declares;
    never in the server. It must be quick and must not touch the network, the disk or the process' global state.
    """


@hookspec
def postscan_sources() -> Iterable[Source]:  # type: ignore[empty-body]  # pluggy reads the signature alone
    """Return the source that this plugin brings: one for each entry point.

    Called once in each process of a source, and once in the child that reads what it declares; never in the server. It
    must be quick and must not touch the network, the disk or the process' global state.
    """


@hookspec(firstresult=True)
def postscan_find_user(sid: str = "", upn: str = "", login: str = "") -> DirectoryUser | None:
    """Return the user with this SID, user principal name or login name; exactly one of the three is given.

    Return None for one that this directory does not have; raise `DirectoryAway` if that cannot be read now. A user who
    is disabled is returned, with `enabled=False`.
    """


@hookspec(firstresult=True)
def postscan_find_process(identifier: str, user: DirectoryUser) -> DirectoryProcess | None:
    """Return the scan process with this GUID, for this user, whom the server has found before.

    *identifier* is upper case, with hyphens. Return None for one that this directory does not have; raise
    `AccessRefused` if the user may not use it, and `DirectoryAway` if that cannot be read now. *user* may be one that
    the server's own settings have: then `groups` is empty, whatever groups the user has here.
    """


@hookspec(firstresult=True)
def postscan_processes(user: DirectoryUser) -> Iterable[DirectoryProcess] | None:
    """Return the scan processes that this user may use, without their XML; raise `DirectoryAway`."""
