"""The table of the settings that a running server takes over."""

from __future__ import annotations

import re

from documents import page

from postscan.core.settings.reload import RELOADED


def test_the_manual_lists_what_a_running_server_takes_over() -> None:
    """Each key once, and no other: an administrator restarts the server for all the rest."""
    section = page("docs/administration.md").partition("\n### Reload\n")[2].partition("\n### ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)

    assert sorted(key for cell in cells for key in cell.split("`")[1::2]) == sorted(RELOADED)
