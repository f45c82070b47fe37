"""Whose certificate a device may show: pinned by its fingerprint, known to a CA, or that of the first connection.

Devices make certificates for themselves, so the usual way is to pin one. Source: ESCL-012.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LONGEST: Final = 200  # characters of the file of a fingerprint
_HEX: Final = re.compile(r"[0-9a-f]{64}")


class CertificateRefused(Exception):
    """The certificate of a device is not the one that the settings allow."""


@dataclass(frozen=True)
class TlsPolicy:
    """How certificates are checked, the first of these that is given.

    `fingerprint` is a SHA-256 of the certificate, in hexadecimal digits. `ca_file` has certificates of CAs in PEM. With
    `first_use`, a file, the certificate of the first connection is stored there and is the only one from then on;
    `report` is called with its fingerprint. `verify` being false, any certificate is taken. Otherwise the CAs of the
    system decide.
    """

    fingerprint: str = ""
    ca_file: str = ""
    first_use: Path | None = None
    verify: bool = True
    report: Callable[[str], None] = lambda _fingerprint: None

    def context(self) -> ssl.SSLContext:
        """Return the context for connections. Raises `OSError` for a file of CAs that cannot be used."""
        context = ssl.create_default_context(cafile=self.ca_file or None)
        if self.fingerprint or (self.first_use is not None and not self.ca_file) or not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def check(self, certificate: bytes) -> None:
        """Compare a certificate in DER with the pinned one; raise `CertificateRefused`."""
        found = hashlib.sha256(certificate).hexdigest()
        if self.fingerprint:
            self._compare(found, self.fingerprint, "the settings")
        elif self.first_use is not None and not self.ca_file and self.verify:
            with contextlib.suppress(FileExistsError):
                _write_new(self.first_use, found)
                self.report(found)
            pinned = self.first_use.read_text("utf-8", "replace")[:_LONGEST].strip()
            self._compare(found, pinned, f"the first connection ({self.first_use})")

    @staticmethod
    def _compare(found: str, pinned: str, where: str) -> None:
        try:
            fits = found == canonical_fingerprint(pinned)
        except ValueError:
            fits = False  # the file was damaged
        if not fits:
            raise CertificateRefused(f"its certificate has the fingerprint {found}, and that of {where} is {pinned}")


def canonical_fingerprint(text: str) -> str:
    """Return a SHA-256 without separators, in lower case; raise `ValueError` for what is none."""
    found = re.sub(r"[\s:]", "", text).lower().removeprefix("sha256")
    if not _HEX.fullmatch(found):
        raise ValueError(f"{text!r} is no SHA-256 of 64 hexadecimal digits")
    return found


def _write_new(path: Path, text: str) -> None:
    """Write a file that does not exist yet, whole or not at all; raise `FileExistsError`."""
    if path.exists():
        raise FileExistsError(path)
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    try:
        os.link(new, path)
    finally:
        new.unlink()
