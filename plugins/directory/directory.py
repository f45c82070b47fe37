"""The directory of the settings: its servers, its log-in, and its kind of entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from postscan.plugins import DirectoryAway, DirectoryUser
from postscan.plugins.directory.client.connection import AnswerDeadline, LdapConnection
from postscan.plugins.directory.client.servers import DirectoryServers
from postscan.plugins.directory.errors import LoginRefused
from postscan.plugins.directory.kinds.active_directory import ActiveDirectory
from postscan.plugins.directory.kinds.openldap import OpenLdap
from postscan.plugins.directory.kinds.person import DirectoryKind, StoredProcess
from postscan.plugins.directory.settings import Settings

_NOTHING: Final = (
    "the log-in works, and no scan process can be read in the container; are the rights those of the page?"
)


class DirectoryReader:
    """Users and scan processes. Each method answers within *seconds*, or raises `DirectoryAway`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers = _servers(settings, settings.endpoints)
        self._kind = _kind(settings)

    def find_user(self, seconds: float, *, sid: str = "", upn: str = "", login: str = "") -> DirectoryUser | None:
        """Return the user with this SID, user principal name or login name; None if there is none."""
        found = self._servers.ask(
            lambda connection, until: self._kind.find_user(connection, until, sid=sid, upn=upn, login=login),
            AnswerDeadline(seconds),
        )
        return None if found is None else found.user

    def find_process(self, seconds: float, identifier: str, sid: str) -> StoredProcess | None:
        """Return the scan process with this GUID, and whether the user with this SID may use it; None without one."""

        def find(connection: LdapConnection, deadline: AnswerDeadline) -> StoredProcess | None:
            person = self._kind.find_user(connection, deadline, sid=sid)
            return self._kind.find_process(connection, deadline, identifier, person)

        return self._servers.ask(find, AnswerDeadline(seconds))

    def processes(self, seconds: float, sid: str) -> Sequence[StoredProcess]:
        """Return all scan processes, and whether the user with this SID may use them."""

        def find(connection: LdapConnection, deadline: AnswerDeadline) -> Sequence[StoredProcess]:
            person = self._kind.find_user(connection, deadline, sid=sid)
            return self._kind.processes(connection, deadline, person)

        return self._servers.ask(find, AnswerDeadline(seconds))

    def diagnose(self, seconds: float) -> Iterator[str]:
        """Yield a sentence for each server that does not answer; a log-in that is refused is tried once."""
        addresses = self._settings.endpoints
        for address in addresses:
            servers = _servers(self._settings, (address,))
            try:
                found = servers.ask(
                    lambda connection, until: self._kind.processes(connection, until, None),
                    AnswerDeadline(seconds / len(addresses)),
                )
            except LoginRefused as error:
                yield str(error)
                return
            except DirectoryAway as error:
                yield str(error)
            else:
                if not found:
                    yield f"{address[0]}:{address[1]}: {_NOTHING}"
            finally:
                servers.close()

    def close(self) -> None:
        """Close the connections that are kept."""
        self._servers.close()


def _servers(settings: Settings, addresses: tuple[tuple[str, int], ...]) -> DirectoryServers:
    return DirectoryServers(
        addresses,
        settings.context,
        _login(settings),
        start_tls=settings.tls == "starttls",
        connect_seconds=settings.connect_seconds,
    )


def _login(settings: Settings) -> Callable[[LdapConnection, str, AnswerDeadline], None]:
    """Return how the service account logs in; its password is read at each log-in, so that it can be changed."""
    return lambda connection, _, deadline: connection.log_in(settings.user, settings.secret(), deadline)


def _kind(settings: Settings) -> DirectoryKind:
    if settings.is_active_directory:
        return ActiveDirectory(settings.base, settings.processes)
    return OpenLdap(settings.base, settings.processes, settings.group_depth)
