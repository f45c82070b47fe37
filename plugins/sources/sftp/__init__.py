"""The source SFTP: devices upload files into the folder of a destination, and each whole file is a job.

A client that is interrupted closes its file as one that has sent all of it. So every file is examined before its close
is answered, and one whose end cannot be seen has to be renamed by its device, which says that it is whole.

Source: RFC 4251 to 4254 (SSH), RFC 8332 (signatures of RSA keys), draft-ietf-secsh-filexfer-02 (SFTP version 3).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from postscan.plugins import CancellationToken, Source, SourceContext, hookimpl
from postscan.plugins.sources.sftp.settings import Settings

NOT_INSTALLED = "SFTP needs asyncssh, which is not installed; pip install 'postscan[sources]'"


class SftpSource(Source):
    """Serve SFTP for devices that upload their scans."""

    title = "SFTP"
    proofs = ("device", "password", "certificate")
    grace = 10.0
    Settings = Settings

    def requires(self) -> Iterable[str]:
        """Require the library of the extra."""
        if importlib.util.find_spec("asyncssh") is None:
            yield NOT_INSTALLED

    def diagnose(self, inlet: SourceContext) -> Iterable[str]:
        """Check the files of keys, and that the port answers."""
        from postscan.plugins.sources.sftp.diagnosis import problems  # the library may be missing

        yield from problems(inlet)

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Serve until the token is set."""
        from postscan.plugins.sources.sftp.server import serve  # the library may be missing

        serve(inlet, token, self.grace)


@hookimpl
def postscan_sources() -> Iterable[Source]:
    """Return the source SFTP."""
    return [SftpSource()]
