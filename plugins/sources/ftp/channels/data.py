"""Data connections: passive and active ones, and how an upload over one of them ends.

The end of a file is the end of its connection, so that a client that was killed and one that has sent everything look
alike. What can be told apart is: a reset is never the end of a file, and over TLS only close_notify is.

Source: RFC 959 sections 3.2 and 3.4; RFC 1123 section 4.1.2; RFC 2577 (bounce attacks); RFC 4217 section 12.
"""

from __future__ import annotations

import errno
import random
import socket
import ssl
import time
from typing import Any, Final

from postscan.plugins.sources.ftp.channels.library import Acceptor, ActiveDTP, DTPHandler
from postscan.plugins.sources.ftp.channels.tls import WAITS, TlsChannel
from postscan.plugins.sources.uploads.identity import peer_address
from postscan.plugins.sources.uploads.space import is_full
from postscan.plugins.sources.uploads.upload import IncomingFile, UploadTooLarge

CONNECT_SECONDS: Final = 30.0
"""How long a data connection may take to come about."""

_BACKLOG: Final = 5


class DataChannel(TlsChannel, DTPHandler):
    """One data connection; it sends one listing, or receives one file.

    pyftpdlib sends the listing. Its own way to receive takes every end for the end of the file, so it is not used.
    """

    _idler: Any

    def __init__(self, connection: socket.socket, session: Any) -> None:
        settings = session.service.settings
        self._settings = settings
        self._memory = session.service.memory
        self._upload: IncomingFile | None = None
        self._begun = self._measured = 0.0
        self._at_measure = 0
        self.timeout = settings.data_seconds  # DTPHandler calls `handle_timeout` each so many seconds
        super().__init__(connection, session)
        self._wanted_io_events = 0  # until it is known what the connection is for
        if not self.connected:
            return
        if session.is_protected:
            self.secure(session.service.context)
        else:
            self.modify_ioloop_events(0)

    @property
    def is_receiving(self) -> bool:
        """Whether a file comes over this connection now."""
        return self._upload is not None

    def begin_upload(self, upload: IncomingFile) -> None:
        """Take what comes as the content of *upload*; its end is reported to the session."""
        self._upload = upload
        self._initialized = True
        self._begun = time.monotonic()
        if self._idler is not None:
            self._idler.cancel()
        self._idler = self.ioloop.call_every(self.timeout, self.handle_timeout, _errback=self.handle_error)
        self._wanted_io_events = self.ioloop.READ
        if not self._is_handshaking:
            self.modify_ioloop_events(self.ioloop.READ)

    def handshake_failed(self, reason: str) -> None:
        """End the transfer."""
        self._fail("522 The TLS handshake of the data connection failed.", f"TLS handshake: {reason}")

    # --- what the loop and pyftpdlib call

    def readable(self) -> bool:
        """Return whether something may be read."""
        return self._is_handshaking or self.is_receiving

    def writable(self) -> bool:
        """Return whether something may be written."""
        return self._is_handshaking or (not self.is_receiving and super().writable())

    def handle_read(self) -> None:
        """Take what has come."""
        try:
            size = self.socket.recv_into(self._memory)
        except WAITS:
            return
        except ssl.SSLEOFError:
            if self._settings.unclean_tls_end:
                self._received(clean=False)
            else:
                self._fail("426 The connection ended without close_notify of TLS.", "no close_notify")
        except (OSError, ValueError) as error:
            self._fail("426 The data connection broke.", str(error))
        else:
            if size:
                self._take(self._memory[:size])
            else:
                self._received(clean=True)

    def send(self, data: Any) -> int:
        """Send some of a listing; return how many bytes."""
        sent = super().send(data)
        if self.is_tls:  # else pyftpdlib has counted
            self.tot_bytes_sent += sent
        return sent

    def handle_close(self) -> None:
        """End: of an upload it is a broken connection, since its end is read."""
        if self.is_receiving:
            self._fail("426 The data connection broke.", "it was reset")
        elif self._initialized:
            super().handle_close()
        else:
            self.close()

    def handle_error(self) -> None:
        """End after an error of our own."""
        self.log_exception(self)
        self._fail("451 An error of the server; send the file again.", "an error of the server")

    def handle_timeout(self) -> None:
        """End what is slower than the least rate, or takes longer than a transfer may."""
        if not self._initialized:
            self.close()
        elif not self.is_receiving:
            super().handle_timeout()
        elif self.tot_bytes_received - self._at_measure < self._settings.least_rate * self.timeout:
            self._fail("426 The upload is too slow.", f"slower than {self._settings.least_rate:,} bytes a second")
        elif time.monotonic() - self._begun > self._settings.transfer_seconds:
            self._fail("426 The upload takes too long.", f"longer than {self._settings.transfer_seconds:g} s")
        self._at_measure = self.tot_bytes_received

    def close(self) -> None:
        """Close the connection; an upload that has not ended is removed."""
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.close()
        super().close()

    def _take(self, chunk: memoryview) -> None:
        assert self._upload is not None
        self.tot_bytes_received += len(chunk)
        try:
            self._upload.write(chunk)
        except UploadTooLarge:
            self._fail(f"552 A file may have {self._settings.most_bytes:,} bytes.", "too large")
        except OSError as error:
            self._fail(*failed_write(error))

    def _received(self, *, clean: bool) -> None:
        """Close the connection, as RFC 959 wants it before the reply, and report the file."""
        upload, self._upload = self._upload, None
        assert upload is not None
        session = self.cmd_channel
        self.close()
        session.upload_ended(upload, clean=clean)

    def _fail(self, reply: str, reason: str) -> None:
        session, was_receiving = self.cmd_channel, self.is_receiving
        had_begun = self._initialized
        self.close()
        if was_receiving:
            session.upload_failed(reply, reason)
        elif had_begun:
            session.respond(reply)
        else:
            session.data_failed(reply)


def failed_write(error: OSError) -> tuple[str, str]:
    """Return the reply, and the reason for the log, for a file that cannot be written."""
    if is_full(error):
        return "452 The server has no room for the file now; send it again later.", error.strerror or "no room"
    return "451 The server cannot write the file; send it again later.", error.strerror or str(error)


class PassiveListener(Acceptor):
    """The socket on which a session waits for its data connection, from the client's own address.

    pyftpdlib's takes any port if those of the range are used, which no firewall expects, and sends a reply for every
    connection of a stranger, by which any host could answer for the server.
    """

    def __init__(self, session: Any) -> None:
        """Listen; raise `OSError` if no port is free."""
        super().__init__(ioloop=session.ioloop)
        self._session = session
        self.create_socket(session.socket.family, socket.SOCK_STREAM)
        try:
            self._bind(session.socket.getsockname()[0], session.service.ports)
            self.listen(_BACKLOG)
        except OSError:
            self.close()
            raise
        self.port: int = self.socket.getsockname()[1]
        self.call_later(CONNECT_SECONDS, self.handle_timeout)

    def _bind(self, address: str, ports: range | None) -> None:
        if ports is None:
            self.bind((address, 0))
            return
        self.set_reuse_addr()
        for port in random.sample(ports, len(ports)):
            try:
                self.bind((address, port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
            else:
                return
        raise OSError(errno.EADDRINUSE, "all passive_ports are in use")

    def handle_accepted(self, connection: socket.socket, address: tuple[Any, ...]) -> None:
        """Take the connection if it is the client's; drop a stranger's without a word, and wait on."""
        if peer_address(address[0]) != self._session.address:
            connection.close()
            self._session.record("data connection refused", reason=f"it came from {peer_address(address[0])}")
            return
        session = self._session
        self.close()
        if session.connected:
            session.data_connected(DataChannel(connection, session))

    def handle_timeout(self) -> None:
        """Give up waiting."""
        session = self._session
        self.close()
        session.data_failed("425 No data connection came.")

    def handle_error(self) -> None:
        """Give up after an error."""
        self._session.log_exception(self)
        self.handle_timeout()


class ActiveConnector(ActiveDTP):
    """The connection that the server makes, to the client's own address; pyftpdlib's, with its end reported."""

    timeout = CONNECT_SECONDS

    def handle_timeout(self) -> None:
        """Give up."""
        self.handle_close()

    def handle_close(self) -> None:
        """Report that the client cannot be reached."""
        closed = self._closed
        super().handle_close()
        if not closed:
            self.cmd_channel.data_failed("")
