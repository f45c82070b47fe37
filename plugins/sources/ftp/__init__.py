"""The source FTP: devices upload files into the folder of a destination, and each whole file is a job.

A file that came without TLS, or whose client was killed, ends like one that is whole. So every file is examined before
it is acknowledged, and one whose end cannot be seen has to be renamed by its device, which says that it is whole.

Source: RFC 959, 1123, 2228, 2428, 2577, 3659 and 4217.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from postscan.plugins import CancellationToken, Source, SourceContext, hookimpl
from postscan.plugins.sources.ftp.diagnosis import problems
from postscan.plugins.sources.ftp.settings import Settings

NOT_INSTALLED = "FTP needs pyftpdlib, which is not installed; pip install 'postscan[sources]'"


class FtpSource(Source):
    """Serve FTP and FTPS for devices that upload their scans."""

    title = "FTP"
    proofs = ("device", "clear", "password")
    grace = 10.0
    Settings = Settings

    def requires(self) -> Iterable[str]:
        """Require the library of the extra."""
        if importlib.util.find_spec("pyftpdlib") is None:
            yield NOT_INSTALLED

    def diagnose(self, inlet: SourceContext) -> Iterable[str]:
        """Check that a client can log in, the certificate, and that the ports answer."""
        yield from problems(inlet)

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Serve until the token is set."""
        from postscan.plugins.sources.ftp.server import serve  # the library may be missing

        serve(inlet, token, self.grace)


@hookimpl
def postscan_sources() -> Iterable[Source]:
    """Return the source FTP."""
    return [FtpSource()]
