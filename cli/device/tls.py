"""TLS of the simulated device: trusted CAs and client certificate, from PEM files."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from postscan.core.errors import PostscanError


def context(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return a TLS context for these files, or None if none is given; raise `PostscanError` that names a wrong one.

    Without *ca*, the CAs of this machine are trusted; without *key*, the key is in the file of *certificate*.
    """
    if key is not None and certificate is None:
        raise PostscanError("--key: needs --cert")
    if ca is None and certificate is None:
        return None
    try:
        tls = ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise PostscanError(f"--ca: {ca} is not a file of CA certificates in PEM form: {_why(error)}") from None
    if certificate is not None:
        _load(tls, certificate, key or certificate)
    return tls


def _load(tls: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        tls.load_cert_chain(certificate, key, password=lambda: _refuse_passphrase(key))
    except OSError as error:
        reason = f"{certificate} and {key} are not a certificate and its key in PEM form"
        raise PostscanError(f"--cert, --key: {reason}: {_why(error)}") from None


def _refuse_passphrase(key: Path) -> NoReturn:
    raise PostscanError(f"--key: {key} has a passphrase; expected a key without one")


def _why(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return reason or type(error).__name__
