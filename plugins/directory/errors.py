"""Why a question to the directory was not answered."""

from __future__ import annotations

from postscan.plugins import DirectoryAway


class ServerAway(DirectoryAway):
    """One server cannot be asked: no connection, a time-out, a wrong certificate, an error. Another one may answer."""


class ConnectionEnded(ServerAway):
    """A connection that was used before has ended; a new one may answer."""


class LoginRefused(DirectoryAway):
    """The directory does not accept the service account. No other server is tried: attempts lock an account."""
