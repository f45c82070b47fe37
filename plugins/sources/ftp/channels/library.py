"""What is used of pyftpdlib, imported without the warning that `asyncore` leaves Python's library with 3.12."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyftpdlib.filesystems import AbstractedFS
    from pyftpdlib.handlers import DTPHandler, FTPHandler
    from pyftpdlib.handlers.ftp.dispatchers import ActiveDTP
    from pyftpdlib.ioloop import Acceptor, AsyncChat, IOLoop

__all__ = ["AbstractedFS", "Acceptor", "ActiveDTP", "AsyncChat", "DTPHandler", "FTPHandler", "IOLoop"]
