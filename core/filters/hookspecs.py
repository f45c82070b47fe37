"""The hooks that a plugin may implement, and the two markers.

pluggy finds plugins and checks the signatures of their hooks. It does not run filters: a job chooses its filters
by dialect, in the order of its scan process, and postscan runs them one after another.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from postscan.core.filters.filter import Filter

PROJECT = "postscan"
ENTRY_POINTS = "postscan.filters"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def postscan_filters() -> Iterable[Filter]:  # type: ignore[empty-body]  # pluggy reads the signature alone
    """Return the filters that this plugin brings.

    Called once in each worker process that loads the plugin, and once in the child that reads what it declares;
    never in the server. It must be quick and must not touch the network, the disk or the process' global state.
    """
