"""One connection: its place, and how its client becomes someone.

An account logs in by its password, which the server checks, or by a public key of its file. A device of an allowed
network logs in as `anonymous`, and proves no more than its address. Nothing but SFTP can be had behind the login.

Source: RFC 4252 (authentication), RFC 4254 section 6 (sessions).
"""

from __future__ import annotations

import time
from typing import Final

import asyncssh

from postscan.plugins import Busy
from postscan.plugins.sources.sftp.keys import KeyFileInvalid, is_authorized
from postscan.plugins.sources.sftp.requests import SftpRequests
from postscan.plugins.sources.sftp.service import SftpService
from postscan.plugins.sources.sftp.session import SftpSession
from postscan.plugins.sources.uploads.identity import ANONYMOUS, Identity, peer_address, place_of

MOST_WRONG: Final = 3
"""Wrong passwords of one connection."""

MOST_KEYS: Final = 20
"""Public keys that one connection offers."""

LOGGED_CHARACTERS: Final = 200


class SftpLogin(asyncssh.SSHServer):
    """One connection, from its begin to its end; `who` is set when its client has logged in."""

    def __init__(self, service: SftpService) -> None:
        self.service = service
        self.who: Identity | None = None
        self.requests: SftpRequests | None = None
        self.caller = ""
        self.used = time.monotonic()  # when the last request came, or was answered
        self._address = ""
        self._connection: asyncssh.SSHServerConnection | None = None
        self._wrong = self._keys = 0
        self._proven: Identity | None = None

    # --- the connection

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Take a place, or end the connection."""
        self._connection = conn
        try:
            address = peer_address(conn.get_extra_info("peername")[0])
        except (TypeError, ValueError):  # it has gone already
            conn.abort()
            return
        self._address, self.caller = str(address), place_of(address)
        if self.service.is_stopping or not self._takes_place():
            self.caller = ""
            conn.abort()
            return
        self.service.connections[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the place; what the client had not closed is none of its files."""
        if self.requests is not None:
            self.requests.leave()
        self._give_up_place()

    def end(self, reason: str) -> None:
        """End the connection and say why, where the client can hear it."""
        self._give_up_place()
        if self._connection is not None:
            if self.requests is not None:
                self.requests.leave()
            self._connection.disconnect(asyncssh.DISC_BY_APPLICATION, reason)
            self._connection.abort()

    @property
    def is_busy(self) -> bool:
        """Whether a file is coming, or is being stored."""
        return self.requests is not None and self.requests.is_busy

    def _takes_place(self) -> bool:
        places = self.service.places
        if places.take(self.caller):
            return True
        others = [one for one in self.service.connections if one.who is None]
        last = max(others, key=lambda one: places.of(one.caller), default=None)
        if last is not None and places.of(last.caller) > places.of(self.caller):
            last.end("too many connections; come again later")
            return places.take(self.caller)
        return False

    def _give_up_place(self) -> None:
        if self.service.connections.pop(self, self) is None:
            self.service.places.leave(self.caller)

    # --- login

    def begin_auth(self, username: str) -> bool:
        """Let a device in that needs no account; return whether the client has to prove something."""
        self._proven = None
        if username.lower() in ANONYMOUS and self.service.inlet.is_device(self._address):
            self._proven = Identity("device", self._address)
            return False
        return True

    def password_auth_supported(self) -> bool:
        """Return that passwords are checked."""
        return True

    def public_key_auth_supported(self) -> bool:
        """Return whether accounts may log in by a key."""
        return bool(self.service.settings.authorized_keys)

    async def validate_password(self, username: str, password: str) -> bool:
        """Return whether the server knows this account with this password; end the connection if it cannot say so."""
        inlet = self.service.inlet
        try:
            right = await self.service.checked(lambda: inlet.password(username, password, address=self._address))
        except Busy as busy:
            self._record("login not checked", username, str(busy))
            raise asyncssh.DisconnectError(
                asyncssh.DISC_SERVICE_NOT_AVAILABLE, "the login cannot be checked now; come again later"
            ) from busy
        if right:
            self._proven = Identity("password", username, username)
            return True
        self._wrong += 1
        self._record("login refused", username, "wrong account or password")
        if self._wrong >= MOST_WRONG:
            raise asyncssh.DisconnectError(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "too many wrong passwords")
        return False

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Return whether the account has this key; that the client has its private half is checked by the library."""
        self._keys += 1
        if self._keys > MOST_KEYS:
            raise asyncssh.DisconnectError(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "too many keys")
        folder = self.service.settings.authorized_keys
        try:
            known = await self.service.checked(lambda: is_authorized(folder, username, key, self._address))
        except KeyFileInvalid as error:
            self._record("login not checked", username, str(error))
            return False
        if known:
            self._proven = Identity("certificate", username, username)
        return known

    def _use(self) -> None:
        self.used = time.monotonic()

    def auth_completed(self) -> None:
        """Take over what was proven: this is called behind the signature of a key, and not behind its offer."""
        self.who = self._proven
        self._use()

    def _record(self, message: str, account: str, reason: str) -> None:
        user = account[:LOGGED_CHARACTERS]
        self.service.inlet.log(message, "warning", source=self._address, user=user, reason=reason)

    # --- behind it

    def session_requested(self) -> SftpSession | bool:
        """Return the one session of the connection; False for a second one, while the first is open."""
        if self.who is None or (self.requests is not None and not self.requests.has_left):
            return False
        self.requests = SftpRequests(self.service, self.who, self._use)
        return SftpSession(self.requests)
