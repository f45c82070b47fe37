"""The hooks that a plugin may implement, and the two markers.

pluggy finds plugins and checks the signatures of their hooks. It runs neither filters nor sources: a job chooses its
filters by dialect, in the order of its scan process, and postscan runs them one after another; the settings name the
sources, and each runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from postscan.core.filters.filter import Filter
from postscan.core.filters.source.source import Source

PROJECT = "postscan"
ENTRY_POINTS = "postscan.filters"
SOURCE_ENTRY_POINTS = "postscan.sources"

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
