"""Scan processes, and the instructions that they give to filters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from postscan.core.model.principal import User


@dataclass(frozen=True, slots=True)
class FilterInstructions:
    """The instructions for one filter: its dialect, and its parameters as XML that has been checked."""

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
    """A stored scan process: the administrator's instructions for the pages.

    `users` lists the SIDs, of groups too, and the `user@domain` names that may use it; empty means all users.
    """

    identifier: str
    display_name: str
    repository: str
    instructions: Instructions
    users: frozenset[str] = frozenset()
    allow_name_change: bool = False
    allow_path_change: bool = False

    def open_to(self, user: User, groups: frozenset[str] = frozenset()) -> bool:
        """Return whether *user*, who is in groups with these SIDs, may create jobs of this process."""
        return not self.users or not self.users.isdisjoint({user.sid, user.name, *groups})


def short_name(dialect: str) -> str:
    """Return the last part of a dialect's URI, for tables and messages."""
    return re.split(r"[/:]", dialect.rstrip("/:"))[-1]
