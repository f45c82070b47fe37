"""The certificate of the inlet; one that was renewed is used from the next connection on, without a restart."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from postscan.plugins.sources.smtp.settings import Settings


class CertificateFiles:
    """The files with certificate and key."""

    def __init__(self, settings: Settings, log: Callable[..., None]) -> None:
        """Load them; raise `ValueError` if they cannot be used."""
        self._files = (Path(settings.certificate), Path(settings.key or settings.certificate))
        self._log = log
        self._changed = self._changes()
        self._context = self._load()

    @property
    def context(self) -> ssl.SSLContext:
        """The context for the next connection."""
        changes = self._changes()
        if changes != self._changed:
            self._changed = changes
            try:
                self._context = self._load()
            except ValueError as error:  # half of a renewal: the old one serves on
                self._log("certificate not loaded", "error", file=str(self._files[0]), reason=str(error))
        return self._context

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            context.load_cert_chain(*self._files, lambda: "")  # never ask for one at a terminal
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"{self._files[0]}: {error.strerror or error}") from error
        return context

    def _changes(self) -> list[tuple[int, int, int]]:
        """Return what tells these files from later ones; without those that are missing now."""
        found = []
        for file in self._files:
            try:
                status = file.stat()
            except OSError:
                continue
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return found
