"""The check of directories: whether each plugin of hooks that the settings use loads, and reaches its directory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from postscan.core.filters import loader
from postscan.core.filters.hookspecs import HOOK_ENTRY_POINTS
from postscan.doctor.findings import Finding, ok, problem, warning

if TYPE_CHECKING:
    from postscan.core.settings import Settings


def directories(settings: Settings, diagnose: Callable[[str], Iterable[str]]) -> Iterator[Finding]:
    """Check each table `[plugins.<name>]`; *diagnose* returns what a plugin finds wrong. Nothing without a table."""
    installed = {entry.name for entry in loader.installed(HOOK_ENTRY_POINTS)}
    for name in settings.plugins.tables:
        about = f"directory {name}"
        if name not in installed:
            yield problem(about, f"no plugin of hooks named {name!r} is installed", f"remove [plugins.{name}]")
        elif name in settings.plugins.disabled:
            yield problem(about, "its plugin is disabled: users of it are refused", f"postscan plugin enable {name}")
        else:
            found = [
                problem(about, sentence, f"postscan directory check; [plugins.{name}]") for sentence in diagnose(name)
            ]
            yield from found or [ok(about, "its plugin is ready, and its own checks passed")]
    if settings.plugins.tables and settings.allow_unknown_users:
        sentence = "a SID that no directory has is accepted, and is its own user name"
        yield warning("directories", sentence, "allow_unknown_users = false")
