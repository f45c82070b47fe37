"""Which plugins a test does without: each one is loaded in a process of its own whenever a server starts."""

from __future__ import annotations

from functools import cache

from postscan.core.filters import hookspecs, loader


def unused(*used: str) -> list[str]:
    """Return the names of our own plugins but these, for `plugins.disabled`; those of tests stay."""
    return [name for name in _ours() if name not in used]


@cache  # Python reads the metadata of each installed package, and most tests ask
def _ours() -> tuple[str, ...]:
    return tuple(
        entry.name
        for group in (hookspecs.ENTRY_POINTS, hookspecs.SOURCE_ENTRY_POINTS, hookspecs.HOOK_ENTRY_POINTS)
        for entry in loader.installed(group)
        if entry.dist and entry.dist.name == "postscan"
    )


def others(name: str = "") -> list[str]:
    """Return the names of all installed plugins but this one, for `plugins.disabled`."""
    groups = (hookspecs.ENTRY_POINTS, hookspecs.SOURCE_ENTRY_POINTS, hookspecs.HOOK_ENTRY_POINTS)
    return sorted({entry.name for group in groups for entry in loader.installed(group)} - {name})
