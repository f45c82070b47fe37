"""The control connection: lines, one command after the other, and the deadlines of a session.

pyftpdlib runs every command at once, also while a file is on its way or something is waited for. Here a command waits
for the end of the one before it; ABOR alone does not.

Source: RFC 959 sections 4.1 and 5.3; RFC 2640 (names).
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from postscan.plugins.sources.ftp.channels.library import AsyncChat, FTPHandler
from postscan.plugins.sources.ftp.channels.listing import SessionFolders
from postscan.plugins.sources.ftp.channels.tls import TlsChannel
from postscan.plugins.sources.ftp.service import FtpService
from postscan.plugins.sources.uploads.identity import Identity, peer_address, place_of
from postscan.plugins.sources.uploads.names import ENCODING, ERRORS, is_plain, one_line

MOST_WAITING: Final = 32
"""Commands of one session that wait for another one."""

MOST_UNREAD: Final = 64
"""Replies of one session that its client has not read."""

LONGEST_LINE: Final = 2048

Result = TypeVar("Result")


class Permissions:
    """The authorizer of pyftpdlib, which allows what the commands themselves refuse."""

    def has_perm(self, username: str, perm: str, path: str | None = None) -> bool:
        """Return that the command may run."""
        return True

    def get_perms(self, username: str) -> str:
        """Return what MLSD shows: enter, list, make, rename, delete, store."""
        return "elmfdw"


class ControlChannel(TlsChannel, FTPHandler):
    """One session, without its commands."""

    # What is used of pyftpdlib's session.
    data_channel: Any  # the data connection, once it has come
    fs: Any
    _dtp_acceptor: Any  # the one that listens for it
    _dtp_connector: Any  # the one that connects
    _idler: Any
    _in_buffer: list[bytes]
    _in_buffer_len: int
    _in_dtp_queue: Any  # the upload that waits for its data connection
    _out_dtp_queue: Any  # the listing that does

    authorizer = Permissions()
    abstracted_fs = SessionFolders
    encoding = ENCODING
    unicode_errors = ERRORS
    use_sendfile = False
    banner = "postscan: send scans to the folder of a destination."
    permit_foreign_addresses = False
    permit_privileged_ports = False

    def __init__(self, connection: socket.socket, server: Any, ioloop: Any) -> None:
        service: FtpService = server.service
        self.service = service
        self.timeout = service.settings.idle_seconds
        self.who = NO_ONE
        self.is_protected = False
        self._lines: deque[bytes] = deque()
        self._works = False
        self.caller = ""
        super().__init__(connection, server, ioloop)
        if not self.connected:
            return
        self.set_terminator(b"\n")  # some devices send no carriage return
        self.address = peer_address(self.remote_ip)
        self.caller = place_of(self.address)
        service.sessions[self] = None
        self._login_deadline = self.ioloop.call_later(service.settings.login_seconds, self._check_login)

    # --- lines

    def collect_incoming_data(self, data: bytes) -> None:
        """Gather a line; end the session if it becomes too long."""
        self._in_buffer.append(data)
        self._in_buffer_len += len(data)
        if self._in_buffer_len > LONGEST_LINE:
            self._in_buffer, self._in_buffer_len = [], 0
            self.end("500 The command is too long.")

    def found_terminator(self) -> None:
        """Take a line: run it, or let it wait for the command before it."""
        line = b"".join(self._in_buffer).removesuffix(b"\r")
        self._in_buffer, self._in_buffer_len = [], 0
        if self._closed or self._closing:
            return
        if self._is_transferring and b" " not in line and line.upper().endswith(b"ABOR"):  # signals of Telnet before it
            self.abort()
        elif len(self._lines) >= MOST_WAITING:
            self.end("421 Too many commands wait.")
        else:
            self._lines.append(line)
            self.next_command()

    def next_command(self) -> None:
        """Run the commands that wait, as far as they need not wait longer."""
        while self._lines and not self.is_busy and not self._closed and not self._closing:
            self._run(self._lines.popleft())

    def _run(self, line: bytes) -> None:
        if len(self.producer_fifo) > MOST_UNREAD:
            self.record("session ended", reason="the client does not read the replies")
            self.close()
        elif not is_plain(line.decode(ENCODING, ERRORS)):
            self.respond("501 The command has control characters.")
        else:
            self._in_buffer = [line]
            super().found_terminator()

    @property
    def _is_transferring(self) -> bool:
        """Whether a transfer has begun, or waits for its data connection."""
        if self._closed:
            return False
        channel = self.data_channel
        waits = self._in_dtp_queue is not None or self._out_dtp_queue is not None
        return waits or (channel is not None and channel._initialized)

    @property
    def is_busy(self) -> bool:
        """Whether a command goes on: a transfer, the connection of PORT, or something that is waited for."""
        return self._works or self._is_transferring or self._dtp_connector is not None

    @property
    def may_give_way(self) -> bool:
        """Whether another client may have the place of this one, which has not proven who it is."""
        return not (self.authenticated or self._works or self.service.inlet.is_device(str(self.address)))

    def abort(self) -> None:
        """End a transfer before its end."""
        raise NotImplementedError

    @property
    def has_left(self) -> bool:
        """Whether the client has closed this connection; also if that has not been read yet."""
        if self._closed:
            return True
        poll = select.poll()
        poll.register(self._fileno, select.POLLRDHUP)
        return bool(poll.poll(0))

    # --- replies

    def push(self, data: str) -> None:
        """Send text; what a name came with goes back as it came."""
        AsyncChat.push(self, data.encode(ENCODING, ERRORS))

    def respond(self, resp: str, logfun: object = None) -> None:
        """Send the one line of a reply."""
        if not self._closed:
            self._last_response = resp
            self.push(resp + "\r\n")

    respond_w_warning = respond

    def end(self, reply: str) -> None:
        """Send a last reply, as far as the client reads it, and close."""
        self.respond(reply)
        self.close()

    # --- what is waited for

    def work(self, function: Callable[[], Result], done: Callable[[Result | BaseException], object]) -> None:
        """Run *function* in a thread, with no other command meanwhile; then call *done*, also if the session ended."""
        self._works = True

        def finished(result: Result | BaseException) -> None:
            self._works = False
            if self._closed:
                self.service.places.leave(self.caller)
            try:
                done(result)
            finally:
                self._restart_idle()
                self.next_command()

        self.service.in_thread(function, finished)

    # --- the end

    def handle_timeout(self) -> None:
        """End a session that sends no command."""
        if self.is_busy:
            self._restart_idle()
        else:
            self.end("421 No command came in time.")

    def _check_login(self) -> None:
        if not self.authenticated:
            self.end("421 No login came in time.")

    def _restart_idle(self) -> None:
        if self._closed:
            return
        if self._idler is not None and not self._idler.cancelled:
            self._idler.cancel()
        self._idler = self.ioloop.call_later(self.timeout, self.handle_timeout, _errback=self.handle_error)

    def handshake_failed(self, reason: str) -> None:
        """End the session."""
        self.record("session ended", reason=f"TLS handshake: {one_line(reason)}")
        self.close()

    def close(self) -> None:
        """Close the session and what belongs to it; its place is kept as long as its thread works."""
        if self._closed:
            return
        try:
            super().close()
        finally:
            self._lines.clear()
            self.service.sessions.pop(self, None)
            if self.caller:
                self._login_deadline.cancel()
                if not self._works:
                    self.service.places.leave(self.caller)

    # --- logs

    def record(self, message: str, **fields: Any) -> None:
        """Log what affected this session."""
        self.service.inlet.log(message, source=str(self.address), **fields)

    def log_exception(self, instance: object) -> None:
        """Log an error of our own."""
        self.service.failed()

    def log(self, msg: str, logfun: object = None) -> None:
        """Log nothing: pyftpdlib's lines repeat what clients send."""

    logline = logerror = log

    def log_cmd(self, cmd: str, arg: str, respcode: int, respstr: str) -> None:
        """Log nothing."""

    def log_transfer(self, **facts: object) -> None:
        """Log nothing."""


NO_ONE: Final = Identity("device", "")
"""Who a session is before its login."""
