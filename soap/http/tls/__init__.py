"""TLS: the certificate of the server, and the CAs whose client certificates it accepts.

Versions below 1.2 are refused; the ciphers are the defaults of Python and OpenSSL. There is no renegotiation, there are
no session tickets, and TLS 1.3 resumes no session, so every connection verifies the client again. Under TLS 1.2 a
client can resume a session from OpenSSL's cache in memory, without a new verification of its certificate, until the
server restarts; Python cannot disable that.
"""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from cryptography import x509

from postscan.core.errors import SettingsError
from postscan.core.settings.network import TlsSettings

log = logging.getLogger(__name__)

RECORD_BYTES: Final = 16 * 1024
"""Most bytes in one record of TLS (RFC 8446 section 5.1)."""


def context(settings: TlsSettings) -> ssl.SSLContext | None:
    """Return the TLS context, or None for plain HTTP; raise `SettingsError`, which names the file."""
    if not settings.on or settings.certificate is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    made.num_tickets = 0
    made.sslobject_class = _TlsConnection
    _load_own(made, settings.certificate, settings.key or settings.certificate)
    if settings.client_ca is not None:
        _verify_clients(made, settings.client_ca, required=settings.mode == "client")
    if settings.crl is not None:
        _check_revocation(made, settings.crl)
    return made


class _TlsConnection(ssl.SSLObject):
    """A connection that logs why its handshake failed, and that reads one record at a time; uvloop does neither."""

    def do_handshake(self) -> None:
        """Continue the handshake."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLCertVerificationError as error:
            log.info("client certificate refused", extra={"reason": error.verify_message})
            raise
        except ssl.SSLError as error:
            log.info("TLS handshake failed", extra={"reason": error.reason})
            raise

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Read one record, or less: OpenSSL returns no more at a time, and Python allocates all of *len* for it."""
        return super().read(min(len, RECORD_BYTES), buffer)


def _load_own(made: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Load the server's own certificate."""
    _check_dates(certificate)
    _read("tls.key", key)
    try:
        made.load_cert_chain(certificate, key, password=lambda: _refuse_passphrase(key))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(f"tls.key: {key} is not the key of {certificate}") from None
        raise SettingsError(f"tls.key: {key} holds no private key in PEM form that OpenSSL takes") from None


def _refuse_passphrase(key: Path) -> NoReturn:
    raise SettingsError(f"tls.key: {key} has a passphrase; expected a key without one")


def _check_dates(certificate: Path) -> None:
    """Log a warning if the certificate is outside its validity period; raise `SettingsError` if it cannot be read."""
    try:
        own = x509.load_pem_x509_certificate(_read("tls.certificate", certificate))
    except ValueError:
        raise SettingsError(f"tls.certificate: {certificate} holds no certificate in PEM form") from None
    now = datetime.now(UTC)
    if now > own.not_valid_after_utc:
        log.warning(
            "server certificate expired", extra={"file": str(certificate), "until": str(own.not_valid_after_utc)}
        )
    elif now < own.not_valid_before_utc:
        log.warning(
            "server certificate not valid yet",
            extra={"file": str(certificate), "since": str(own.not_valid_before_utc)},
        )


def _verify_clients(made: ssl.SSLContext, client_ca: Path, *, required: bool) -> None:
    """Request a certificate of these CAs from every client."""
    _load("tls.client_ca", client_ca, "CA certificate", made, "x509_ca")
    made.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL


def _check_revocation(made: ssl.SSLContext, crl: Path) -> None:
    """Refuse client certificates that these lists revoke, and those of CAs without a list."""
    _load("tls.crl", crl, "revocation list", made, "crl")
    made.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _load(setting: str, path: Path, what: str, made: ssl.SSLContext, kind: str) -> None:
    """Load a file into the trust store; raise `SettingsError` if it adds nothing of this kind."""
    _read(setting, path)
    before = made.cert_store_stats()[kind]
    try:
        made.load_verify_locations(path)
    except ssl.SSLError:
        raise SettingsError(f"{setting}: {path} holds no {what} in PEM form") from None
    if made.cert_store_stats()[kind] == before:
        raise SettingsError(f"{setting}: {path} holds no {what}")


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{setting}: {path} cannot be read: {error.strerror}") from None
