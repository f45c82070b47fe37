"""The contract of a plugin of hooks.

It runs in one process of its own, which the server starts, keeps, and starts again when it has ended. The process has a
socket to the server and no database. It answers questions: each is one call of a hook, with data as its arguments and
data as its result.

What a plugin may assume:

* its `Settings` have been validated by their dataclass; at most one process of the plugin runs for a server;
* at most `at_once` of its hooks are called at the same time, each in a thread of its own.

What must hold:

* each hook answers within `context.seconds`, or raises `DirectoryAway` by then: a process with a later answer is ended;
* an answer is about what was asked: another user or another process is no answer;
* what is not known is `None`; what cannot be read now is `DirectoryAway`. No error of a connection may become `None`;
* values that came in are data of strangers: escape them in a filter of LDAP, and in every other language.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from postscan.core.filters.directory.context import HooksContext

HOOKS_API = 1
"""The version of this contract. A plugin that declares another one is not loaded."""


class Hooks:
    """Base class of all plugins of hooks. Mark those methods with `@hookimpl` that the plugin has.

    `title` is shown to people. `at_once` is the number of hooks that may be called at the same time; the server caps
    it. `Settings`, if given, is a dataclass that takes the table `[plugins.<name>]` as keyword arguments; it may raise
    `ValueError` for an invalid value.

    An object is made when its process begins: the constructor must not touch the network, so that a directory that is
    away does not keep the plugin from starting. All methods are called in the plugin's process, never in the server.
    """

    title: ClassVar[str]
    api: ClassVar[int] = HOOKS_API
    at_once: ClassVar[int] = 1
    Settings: ClassVar[type | None] = None

    def __init__(self, context: HooksContext) -> None:
        self.context = context

    def requires(self) -> Iterable[str]:
        """Return one sentence for each thing that this machine lacks; nothing if the plugin can work here."""
        return ()

    def diagnose(self) -> Iterable[str]:
        """Return one sentence for each thing that would keep questions from being answered.

        Called for `postscan doctor`, for at most 10 s, in a process of its own: connect, log in, read.
        """
        return ()

    def close(self) -> None:
        """Close connections; called when the server stops, for at most 2 s. A process may also end without it."""
