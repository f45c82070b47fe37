"""Start a supervisor from multiprocessing's forkserver, without the main script of this program.

multiprocessing imports the main script of the program that starts a process into that process, so that it can unpickle
what the script defines. A supervisor needs nothing of it, and the script may be large or act when it is imported. So
the preparation data of a `SupervisorProcess` leave it out.

Every process of a run is forked from the forkserver, which imports `postscan.core.workers.forkserver` first.
"""

from __future__ import annotations

import io
import os
import socket
import threading
from multiprocessing import context, forkserver, popen_forkserver, process, reduction, spawn, util
from typing import Final

from postscan.core.workers import orphans, supervisor

_MAIN_SCRIPT: Final = ("init_main_from_name", "init_main_from_path")
_PRELOADED: Final = ["postscan.core.workers.forkserver"]
_starting = threading.Lock()


class SupervisorProcess(context.ForkServerProcess):
    """A process that runs `supervisor.main` with its ends of the two sockets."""

    def __init__(self, channel: socket.socket, report: socket.socket) -> None:
        super().__init__(target=supervisor.main, args=(channel, report), daemon=True)

    def start(self) -> None:
        """Start the process, and first the forkserver if none is running.

        Raises `OSError` or `EOFError` if the forkserver ends meanwhile; the next call starts another one.
        """
        with _starting:
            os.environ[orphans.MARK] = orphans.mark()  # the forkserver inherits it, and every process below it
            try:
                forkserver.set_forkserver_preload(_PRELOADED)
                forkserver.ensure_running()
            finally:
                del os.environ[orphans.MARK]
            super().start()

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> popen_forkserver.Popen:  # noqa: N802  (the name is multiprocessing's)
        return _Launch(process_obj)


class _Launch(popen_forkserver.Popen):
    """Sends a process to the forkserver as its base class does, apart from the preparation data."""

    def __init__(self, process_obj: process.BaseProcess) -> None:
        self._passed: list[int] = []
        super().__init__(process_obj)

    def duplicate_for_child(self, fd: int) -> int:
        """Pass a descriptor; return its number among those that are passed."""
        self._passed.append(fd)
        return len(self._passed) - 1

    def _launch(self, process_obj: process.BaseProcess) -> None:
        data = {k: v for k, v in spawn.get_preparation_data(process_obj.name).items() if k not in _MAIN_SCRIPT}
        pickled = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            reduction.dump(data, pickled)
            reduction.dump(process_obj, pickled)
        finally:
            context.set_spawning_popen(None)
        self.sentinel, writer = forkserver.connect_to_new_process(self._passed)
        held = os.dup(writer)  # the process sees that this one has ended when its last duplicate is closed
        self.finalizer = util.Finalize(self, _close, (held, self.sentinel))
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(pickled.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


def _close(*descriptors: int) -> None:
    for one in descriptors:
        os.close(one)
