"""Plugins whose code a test writes: with changes, and with a trace of their import."""

from __future__ import annotations

from pathlib import Path

from postscan.core.engine import Engine


def changed(code: str, *changes: tuple[str, str]) -> str:
    """Return the code with the first text of each change, which it has to have, replaced by the second."""
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    return code


def traced(trace: Path) -> tuple[str, str]:
    """Return the change by which the import of a plugin makes this file."""
    return "@hookimpl", f"open({str(trace)!r}, 'w').close()\n@hookimpl"


def disable(core: Engine, name: str) -> None:
    """Let the settings of an engine disable this plugin, too."""
    disabled = (*core.settings.plugins.disabled, name)
    plugins = core.settings.plugins.model_copy(update={"disabled": disabled})
    core.settings = core.settings.model_copy(update={"plugins": plugins})
