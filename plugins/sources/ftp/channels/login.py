"""The commands by which a client becomes someone: AUTH, PBSZ and PROT for TLS, USER and PASS for an account.

Source: RFC 959 section 5.4; RFC 2228 and 4217; RFC 2577 section 5 (guessed passwords).
"""

from __future__ import annotations

from typing import Final

from postscan.plugins.sources.ftp.channels.control import NO_ONE, ControlChannel
from postscan.plugins.sources.uploads.identity import ANONYMOUS, Identity
from postscan.plugins.sources.uploads.names import readable

MOST_WRONG: Final = 3
"""Wrong logins of one session."""


class LoginChannel(ControlChannel):
    """A session that its client can secure and log in to."""

    _is_new = False

    # --- TLS

    def begin_secured(self) -> None:
        """Begin with TLS, before the first reply."""
        assert self.service.context is not None
        self.is_protected = self._is_new = True
        self.secure(self.service.context)

    def established(self) -> None:
        """Greet a client whose session began with TLS."""
        if self._is_new:
            self._is_new = False
            self.handle()

    def ftp_AUTH(self, line: str) -> None:  # noqa: N802  (pyftpdlib finds commands by their names)
        """Start TLS on this connection."""
        if self.service.context is None:
            self.respond("502 This server has no certificate.")
        elif self.is_tls:
            self.respond("503 TLS has begun.")
        elif line.upper() not in ("TLS", "TLS-C", "SSL", "TLS-P"):
            self.respond("504 Expected AUTH TLS.")
        elif self.ac_in_buffer or self._lines:
            # Commands that were sent with AUTH were not encrypted, and would run as if they had been (CVE-2011-0411).
            self.record("session ended", reason="commands followed AUTH before its reply")
            self.end("503 Commands must wait for the reply to AUTH.")
        else:
            self._forget_login()
            self.respond("234 TLS begins.")
            if self.producer_fifo:  # a client that reads no replies would get this one encrypted
                self.close()
            else:
                self.secure(self.service.context)

    def ftp_PBSZ(self, line: str) -> None:  # noqa: N802
        """Accept the only size of a buffer that TLS has."""
        self.respond("200 PBSZ=0" if self.is_tls else "503 AUTH TLS comes first.")

    def ftp_PROT(self, line: str) -> None:  # noqa: N802
        """Choose whether data connections are encrypted."""
        level = line.upper()
        if not self.is_tls:
            self.respond("503 AUTH TLS comes first.")
        elif level == "P":
            self.is_protected = True
            self.respond("200 Data connections are encrypted.")
        elif level != "C":
            self.respond("504 Expected PROT P.")
        elif self.service.inlet.allow_clear:
            self.is_protected = False
            self.respond("200 Data connections are not encrypted.")
        else:
            self.respond("534 Data connections have to be encrypted: PROT P.")

    # --- login

    def ftp_USER(self, line: str) -> None:  # noqa: N802
        """Remember the name; refuse early what would send a password in clear."""
        self._forget_login()
        if line.lower() not in ANONYMOUS and not self.is_tls and not self.service.inlet.allow_clear:
            self.respond(
                "530 A password must not be sent without TLS: AUTH TLS comes first."
                if self.service.context is not None
                else "530 This server has no certificate, so it takes no passwords; see allow_clear."
            )
            return
        self.username = line
        self.respond("331 Send the password.")

    def ftp_PASS(self, line: str) -> None:  # noqa: N802
        """Log in: a device of an allowed network without an account, everyone else with one."""
        if self.authenticated:
            self.respond("503 You are logged in.")
        elif not self.username:
            self.respond("503 USER comes first.")
        elif self.username.lower() in ANONYMOUS:
            self._log_in_device()
        else:
            self._log_in_account(readable(self.username), readable(line))

    def ftp_REIN(self, line: str) -> None:  # noqa: N802
        """Log out."""
        self._forget_login()
        self.respond("220 Log in again.")

    def _log_in_device(self) -> None:
        if self.service.inlet.is_device(str(self.address)):
            self._welcome(Identity("device", str(self.address)))
        else:
            self._refuse("not a device of the settings")

    def _log_in_account(self, account: str, password: str) -> None:
        clear = not self.is_tls
        address = str(self.address)

        def checked(result: bool | BaseException) -> None:
            if self._closed:
                return
            if result is True:
                self._welcome(Identity("clear" if clear else "password", account, account))
            elif result is False:
                self._refuse("wrong account or password", user=account)
            else:
                self.record("login not checked", reason=str(result))
                self.end("421 The login cannot be checked now; come again later.")

        self.work(lambda: self.service.inlet.password(account, password, address=address), checked)

    def _welcome(self, who: Identity) -> None:
        self.who = who
        self.authenticated = True
        self.attempted_logins = 0
        self.fs = self.abstracted_fs("/", self)
        self.respond("230 Welcome. Each folder is a destination; a scan that is sent there becomes a job.")

    def _refuse(self, reason: str, **fields: str) -> None:
        self.username = ""
        self.attempted_logins += 1
        self.record("login refused", reason=reason, **fields)
        if self.attempted_logins >= MOST_WRONG:
            self.end("530 Login refused.")
        else:
            self.respond("530 Login refused.")

    def _forget_login(self) -> None:
        self._shutdown_connecting_dtp()
        if self.data_channel is not None:
            self.data_channel.close()
        self.authenticated = False
        self.username = ""
        self.who = NO_ONE
        self.fs = None
        self._current_type = "a"
