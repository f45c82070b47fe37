"""Terminal output: the console, tables that are not cut in a pipe, and text without control characters.

Names and details come from devices, plugins and stored processes. `plain` escapes unprintable characters, so that
foreign text cannot move the cursor, change colours or set the window title.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PIPE_WIDTH = 10_000  # a pipe has no width: nothing is folded or cut


def plain(text: str) -> str:
    r"""Return *text* with unprintable characters, line ends included, as escapes: ESC becomes `\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def console() -> Console:
    """Return the console on stdout, without markup and automatic highlighting."""
    import sys

    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table of plain cells; the first column is never folded, so that it can be copied."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, column in enumerate(columns):
        result.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        result.add_row(*(Text(plain(cell)) for cell in row))
    return result
