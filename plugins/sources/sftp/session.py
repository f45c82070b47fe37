"""The channel of a connection: SFTP on it, and no shell, no command, no forwarding.

The library closes the files that are open when a client leaves as if the client had closed them. So the end of the
channel is passed on before that, and such a file is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import asyncssh
from asyncssh.stream import SSHServerStreamSession

from postscan.plugins.sources.sftp.requests import SftpRequests

if TYPE_CHECKING:
    from asyncssh.channel import SSHChannel

VERSION = 3
"""The version of SFTP that OpenSSH and nearly all devices speak."""


class SftpSession(SSHServerStreamSession[bytes]):
    """One channel with SFTP, whose requests are carried out by *requests*."""

    def __init__(self, requests: SftpRequests) -> None:
        super().__init__(None, self._begin, VERSION)
        self._requests = requests

    def _begin(self, channel: SSHChannel[bytes]) -> asyncssh.SFTPServer:
        """Return what carries the requests out; its end is the success of the channel, which scp looks at."""
        self._requests.on_exit = lambda: cast("asyncssh.SSHServerChannel[bytes]", channel).exit(0)
        return cast("asyncssh.SFTPServer", self._requests)

    def eof_received(self) -> bool:
        """Take the end of the input as the end of the client."""
        self._requests.leave()
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the channel as the end of the client."""
        self._requests.leave()
        super().connection_lost(exc)
