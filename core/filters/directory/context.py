"""What a plugin of hooks gets when its process begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class HooksContext:
    """What a plugin of hooks gets.

    `settings` is an instance of the plugin's `Settings`, made of the table `[plugins.<name>]`, or the plain table if
    it declares none. `seconds` is the time that the server waits for one answer. `workdir` is private, and removed
    with the process.
    """

    name: str
    settings: Any
    seconds: float
    workdir: Path
    write_line: Callable[[str, str, dict[str, str]], None] = lambda _level, _text, _fields: None

    def log(self, text: str, level: str = "info", **fields: object) -> None:
        """Write a line into the server's log; `level` as in `logging`, *fields* beside the text. Never a secret."""
        self.write_line(level, str(text), {name: str(value) for name, value in fields.items()})
