"""Whom a simulated device trusts, and what it shows of itself: files in PEM form, as TLS has them."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from postscan.core.errors import PostscanError


def context(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """Return how to speak TLS with these files, or None if none is named; raise `PostscanError` naming the wrong one.

    Without a *ca* the server's certificate must come from a CA of this machine; without a *key* it stands in the
    file of the *certificate*.
    """
    if key is not None and certificate is None:
        raise PostscanError("--key: there is no --cert that it could belong to")
    if ca is None and certificate is None:
        return None
    try:
        made = ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise PostscanError(f"--ca: {ca} is not a file of CA certificates in PEM form: {_why(error)}") from None
    if certificate is not None:
        _show(made, certificate, key or certificate)
    return made


def _show(made: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        made.load_cert_chain(certificate, key, password=lambda: _ask_nobody(key))
    except OSError as error:
        reason = f"{certificate} and {key} are not a certificate and its key in PEM form"
        raise PostscanError(f"--cert, --key: {reason}: {_why(error)}") from None


def _ask_nobody(key: Path) -> NoReturn:
    raise PostscanError(f"--key: {key} has a passphrase; expected a key without one")


def _why(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return reason or type(error).__name__
