"""TLS on the channels of pyftpdlib, with Python's own `ssl`.

pyftpdlib's FTPS needs pyOpenSSL, and takes every end of a connection for the end of the file. Here an end without
close_notify is an error, since whoever is on the way can forge it.

Source: RFC 4217; RFC 8446 section 6.1 (close_notify).
"""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any, Final

from postscan.plugins.sources.ftp.channels.library import AsyncChat

HANDSHAKE_SECONDS: Final = 20.0

WAITS: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a socket raises that has nothing now."""


def server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Return the context of this server; raise `OSError` with a sentence if the files cannot be used.

    TLS 1.2 or later. No session tickets are sent: a client that closes its upload without having read them resets the
    connection, and the end of its file is lost (https://github.com/curl/curl/issues/6149).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OSError(f"the certificate {certificate} cannot be used: {reason}") from error
    return context


def _no_password() -> str:
    raise ValueError("its key is encrypted; expected one without a password")


class TlsChannel(AsyncChat):
    """What a channel of pyftpdlib needs for TLS; stands before its class in the bases.

    `is_tls` is true from `secure` on, `established` is called after the handshake.
    """

    socket: Any

    is_tls = False
    _is_handshaking = False
    _late: Any = None

    def secure(self, context: ssl.SSLContext) -> None:
        """Begin the handshake; the channel is closed if it fails, or takes longer than `HANDSHAKE_SECONDS`."""
        try:
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        except (OSError, ValueError):  # the client has closed the connection
            self.close()
            return
        self.is_tls = self._is_handshaking = True
        self._late = self.ioloop.call_later(HANDSHAKE_SECONDS, self.handshake_failed, "it took too long")
        self.modify_ioloop_events(self.ioloop.READ)

    def established(self) -> None:
        """Go on after the handshake."""

    def handshake_failed(self, reason: str) -> None:
        """End the channel."""
        self.close()

    def _shake_hands(self) -> None:
        try:
            self.socket.do_handshake()
        except ssl.SSLWantReadError:
            self.modify_ioloop_events(self.ioloop.READ)
        except ssl.SSLWantWriteError:
            self.modify_ioloop_events(self.ioloop.WRITE)
        except (OSError, ValueError) as error:
            self.handshake_failed(getattr(error, "reason", None) or str(error))
        else:
            self._is_handshaking = False
            self._late.cancel()
            self.modify_ioloop_events(self._wanted_io_events)
            self.established()

    # --- what the loop and pyftpdlib call

    def handle_read_event(self) -> None:
        """Read, or go on with the handshake."""
        if self._is_handshaking:
            self._shake_hands()
        else:
            self.handle_read()

    def handle_write_event(self) -> None:
        """Write, or go on with the handshake."""
        if self._is_handshaking:
            self._shake_hands()
        else:
            super().handle_write_event()

    def writable(self) -> bool:
        """Return whether there is something to write."""
        return self._is_handshaking or bool(super().writable())

    def send(self, data: Any) -> int:
        """Send some of *data*; return how many bytes."""
        if not self.is_tls:
            return int(super().send(data))
        if self._is_handshaking:
            return 0
        try:
            return int(self.socket.send(data))
        except WAITS:
            return 0
        except (OSError, ValueError):
            self.handle_close()
            return 0

    def recv(self, size: int) -> bytes:
        """Return what has come; raise `BlockingIOError` if nothing has."""
        if not self.is_tls:
            return bytes(super().recv(size))
        try:
            data = bytes(self.socket.recv(size))
        except WAITS:
            raise BlockingIOError from None
        except (OSError, ValueError):
            data = b""
        if not data:
            self.handle_close()
        return data

    def close(self) -> None:
        """Send close_notify, without waiting for that of the client, and close."""
        if self.is_tls and not self._closed:
            if self._late is not None and not self._late.cancelled:
                self._late.cancel()
            with contextlib.suppress(OSError, ValueError):
                self.socket.unwrap()
        super().close()
