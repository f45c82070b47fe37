"""Examine a plugin in a child process: none of its code runs in that of the command."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from postscan.core.errors import PluginError


def call(plugin: str, examine: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Call *examine* in a child process and return its reports; what is printed there goes to stderr.

    Raises `PluginError` if the process crashes.
    """
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    child = fork.Process(target=_examine, args=(there, examine))
    child.start()
    there.close()
    try:
        reports: list[dict[str, Any]] = json.loads(here.recv_bytes())
    except EOFError:
        raise PluginError(f"{plugin}: the process that examined it crashed") from None
    finally:
        here.close()
        child.join()
    return reports


def _examine(pipe: Connection, examine: Callable[[], list[dict[str, Any]]]) -> None:
    from postscan.core.workers import orphans

    orphans.die_with(os.getppid())
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    pipe.send_bytes(json.dumps(examine()).encode())
