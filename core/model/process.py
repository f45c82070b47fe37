"""Scan processes, and the instructions that they give to filters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from postscan.core.model.principal import User


@dataclass(frozen=True, slots=True)
class FilterInstructions:
    """What a scan process asks of one filter: its dialect, and its parameters as XML that was already checked."""

    dialect: str
    xml: bytes


@dataclass(frozen=True, slots=True)
class Instructions:
    """The post-scan instructions of a job or of a scan process (scan-process.md section 3)."""

    document_root: str
    filters: tuple[FilterInstructions, ...]
    continue_on_error: bool = False


@dataclass(frozen=True, slots=True)
class ScanProcess:
    """A stored scan process: what the administrator decided should happen to the pages.

    `users` lists the SIDs and `user@domain` names that may use it; empty means everybody.
    """

    identifier: str
    display_name: str
    repository: str
    instructions: Instructions
    users: frozenset[str] = frozenset()
    allow_name_change: bool = False
    allow_path_change: bool = False

    def open_to(self, user: User) -> bool:
        """Return whether *user* may make jobs of this process."""
        return not self.users or user.sid in self.users or user.name in self.users


def short_name(dialect: str) -> str:
    """Return the last word of a dialect's URI, for tables and messages."""
    return re.split(r"[/:]", dialect.rstrip("/:"))[-1]
