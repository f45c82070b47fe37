"""The data connection of a session: how it comes about, and how a transfer over it begins and is given up.

Source: RFC 959 sections 3.2 and 4.1; RFC 1123 section 4.1; RFC 2428 (EPRT, EPSV); RFC 2577 (bounce attacks).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from postscan.plugins.sources.ftp.channels.data import ActiveConnector, DataChannel, PassiveListener
from postscan.plugins.sources.ftp.channels.login import LoginChannel
from postscan.plugins.sources.uploads.folders import FolderPath
from postscan.plugins.sources.uploads.identity import Identity, peer_address

LEAST_PORT: Final = 1024
"""The lowest port of a client that the server connects to."""


class TransferChannel(LoginChannel):
    """A session that opens data connections, for one transfer at a time."""

    active_dtp = ActiveConnector
    dtp_handler = DataChannel

    _target: tuple[Identity, FolderPath] | None = None
    """Who sends the file that comes, and where it goes."""

    # --- the connection

    def ftp_PASV(self, line: str) -> None:  # noqa: N802
        """Listen for a data connection, over IPv4."""
        if self._epsvall:
            self.respond("503 EPSV was to be the only one.")
        elif self.address.version != 4:
            self.respond("425 PASV is for IPv4: use EPSV.")
        else:
            self._listen(self._passive_reply)

    def _make_eport(self, ip: str, port: int) -> None:
        """Connect to the client, and to nobody else: any other address could be a third party's (bounce attacks)."""
        self._drop_data()
        try:
            is_own = peer_address(ip) == self.address
        except ValueError:
            is_own = False
        if not is_own or port < LEAST_PORT:
            self.record("data connection refused", reason=f"PORT names {ip} port {port}")
            self.respond(f"504 Data connections go to {self.address} alone, to ports from {LEAST_PORT} on.")
            return
        connector = self.active_dtp(str(self.address), port, self)
        if not connector.connected and not connector._closed:  # else its end is known, and reported
            self._dtp_connector = connector

    def _make_epasv(self, extmode: bool = False) -> None:
        self._listen(lambda port: f"229 Listening (|||{port}|)")

    def _listen(self, reply: Callable[[int], str]) -> None:
        self._drop_data()
        try:
            self._dtp_acceptor = PassiveListener(self)
        except OSError as error:
            self.record("data connection refused", reason=error.strerror or str(error))
            self.respond("425 No port is free for the data connection.")
        else:
            self.respond(reply(self._dtp_acceptor.port))

    def _passive_reply(self, port: int) -> str:
        own = str(self.socket.getsockname()[0]).removeprefix("::ffff:")
        address = self.service.settings.masquerade or own
        return f"227 Listening ({address.replace('.', ',')},{port // 256},{port % 256})"

    def data_connected(self, channel: DataChannel) -> None:
        """Use the data connection that has come."""
        self.data_channel = channel
        self._on_dtp_connection()

    def _on_dtp_connection(self) -> None:
        self._dtp_connector = None  # pyftpdlib keeps it, and would take it for one that still connects
        if self.data_channel is None or self.data_channel._closed:
            self.data_channel = None
            self.data_failed("425 The data connection broke.")
            return
        if self._in_dtp_queue is None:
            super()._on_dtp_connection()
            self.ioloop.call_later(0, self.next_command)
            return
        upload, _ = self._in_dtp_queue
        self._in_dtp_queue = None
        if self._dtp_acceptor is not None:
            self._dtp_acceptor.close()
            self._dtp_acceptor = None
        self.data_channel.begin_upload(upload)

    def _drop_data(self) -> None:
        self._shutdown_connecting_dtp()
        if self.data_channel is not None:
            self.data_channel.close()

    # --- the transfer

    def _may_transfer(self) -> bool:
        """Return whether a transfer may begin; else refuse it."""
        if self.service.is_stopping:
            self.respond("421 The server stops; come again later.")
        elif self.data_channel is None and self._dtp_acceptor is None and self._dtp_connector is None:
            self.respond("425 PASV or PORT comes first.")
        elif self._sender().proof == "clear" and not self.service.inlet.allow_clear:
            self.respond("522 Data connections have to be encrypted: PROT P comes first.")
        else:
            return True
        return False

    def push_dtp_data(self, data: Any, isproducer: bool = False, file: Any = None, cmd: str | None = None) -> None:
        """Send a listing, if a transfer may begin."""
        if self._may_transfer():
            super().push_dtp_data(data, isproducer, file, cmd)

    def data_failed(self, reply: str) -> None:
        """Answer a transfer whose data connection did not come about; nothing if none has begun."""
        if self._closed:
            return
        self._dtp_acceptor = self._dtp_connector = None
        waited = self._in_dtp_queue is not None or self._out_dtp_queue is not None
        self._drop_queues()
        if waited and reply:
            self.respond(reply)
        self.ioloop.call_later(0, self.next_command)

    def _on_dtp_close(self) -> None:
        """Go on with the commands that waited for the end of the transfer."""
        super()._on_dtp_close()
        self.ioloop.call_later(0, self.next_command)

    def _drop_queues(self) -> None:
        if self._in_dtp_queue is not None:
            self._in_dtp_queue[0].close()
            self._target = None
        self._in_dtp_queue = self._out_dtp_queue = None

    def abort(self) -> None:
        """End a transfer; what came of its file is removed."""
        if self._target is not None:
            self.record("upload refused", reason="the client aborted it")
        self._drop_queues()
        self._drop_data()
        self._target = None
        self.respond("426 The transfer is aborted.")
        self.respond("226 Nothing is transferred.")

    def ftp_ABOR(self, line: str) -> None:  # noqa: N802
        """Close a data connection that is not used."""
        self._drop_data()
        self.respond("226 Nothing is transferred.")

    def _sender(self) -> Identity:
        return self.who.over(protected=self.is_protected)
