"""Users, by the settings or by a directory: those of `[users]` come first, and no directory is asked about them."""

from __future__ import annotations

from typing import NamedTuple

from postscan.core.filters.directory.messages import UserAnswer
from postscan.core.filters.directory.values import DirectoryUser
from postscan.core.model.principal import User
from postscan.core.registry.directory.directory import Directories, DirectoryAnswer
from postscan.core.settings import Settings

SETTINGS = "settings"
"""Stands for the plugin of a user of `[users]`."""


class KnownUser(NamedTuple):
    """A user, with the groups that the directory names, and the plugin that knows the user, or `SETTINGS`.

    One who is not `enabled` may create no job; `reason` says why. `note` is for the audit trail.
    """

    user: User
    groups: frozenset[str] = frozenset()
    enabled: bool = True
    reason: str = ""
    note: str = ""
    plugin: str = SETTINGS
    facts: DirectoryUser | None = None

    @property
    def question(self) -> DirectoryUser:
        """The user as hooks get it."""
        return self.facts or DirectoryUser(sid=self.user.sid, name=self.user.name)


class UserLookup:
    """Finds users. Methods with a *caller* may block for `directory.answer_seconds`, and raise `Unavailable`."""

    def __init__(self, settings: Settings, directory: Directories) -> None:
        self._settings = settings
        self.directory = directory

    def use(self, settings: Settings) -> None:
        """Work with the users of these settings from now on."""
        self._settings = settings

    def find(self, caller: str, sid: str) -> KnownUser | None:
        """Return the user with this SID; None if neither the settings nor a directory have it."""
        known = self._settings.users.get(sid)
        if known is not None:
            return KnownUser(User(sid, known.name, known.mail))
        return _known(self.directory.user(caller, sid=sid))

    def by_name(self, caller: str, name: str) -> KnownUser | None:
        """Return the user with this UPN, `user@domain` name or login name; None if there is none."""
        for sid, user in self._settings.users.items():
            if name.casefold() in (user.name.casefold(), user.upn.casefold()):
                return KnownUser(User(sid, user.name, user.mail))
        found = self.directory.user(caller, upn=name) if "@" in name else None
        return _known(found or self.directory.user(caller, login=name))


def _known(found: DirectoryAnswer | None) -> KnownUser | None:
    if found is None or not isinstance(found.answer, UserAnswer) or found.answer.user is None:
        return None
    facts = found.answer.user
    return KnownUser(
        User(facts.sid, facts.name, facts.mail, facts.display_name, facts.home_folder),
        frozenset(facts.groups),
        facts.enabled,
        facts.reason or ("" if facts.enabled else "not enabled in the directory"),
        found.note,
        found.plugin,
        facts,
    )
