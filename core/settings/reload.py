"""What a running server takes over from its changed settings file, and what needs a restart.

`RELOADED` is the whole list; `docs/administration.md` explains it. A value is in it if all parts of the server read it
when it uses it, and if nothing that was announced to a device depends on it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from postscan.core.errors import SettingsError
from postscan.core.settings import Settings
from postscan.core.settings.engine import Table

RELOADED: Final = (
    "accounts",
    "allow_unknown_users",
    "console.connections",
    "console.connections_per_address",
    "console.metrics_from",
    "console.oidc",
    "console.pictures_of_others",
    "console.proxy",
    "console.public_url",
    "identity",
    "limits.caller_bytes",
    "limits.images_per_job",
    "limits.open_jobs",
    "limits.silence_seconds",
    "log_level",
    "retention",
    "tls.certificate",
    "tls.client_ca",
    "tls.crl",
    "tls.key",
    "users",
)
"""Keys, and tables with all their keys."""

_MISSING: Final = object()


class SettingsChange(NamedTuple):
    """Keys whose values differ in a changed file: those that are `taken` over, and those that need a `restart`."""

    taken: tuple[str, ...]
    restart: tuple[str, ...]


def difference(running: Settings, read: Settings) -> SettingsChange:
    """Return the keys whose values differ; an entry of a table of tables, such as a user, is one key."""
    before, now = _values(running), _values(read)
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key, _MISSING) != now.get(key, _MISSING))
    taken = tuple(key for key in changed if _is_taken(key, running, read))
    return SettingsChange(taken, tuple(key for key in changed if key not in taken))


def taken_over(running: Settings, read: Settings) -> Settings:
    """Return the running settings with those values of *read* that are taken over.

    Raises `SettingsError` if these do not fit the values that need a restart.
    """
    values: dict[str, Any] = dict(running)
    for key in RELOADED:
        table, _, inner = key.partition(".")
        if not inner:
            values[table] = getattr(read, table)
        elif _is_taken(key, running, read):
            values[table] = values[table].model_copy(update={inner: getattr(getattr(read, table), inner)})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        reasons = "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
        raise SettingsError(f"what is taken over does not fit what needs a restart: {reasons}") from None


def _is_taken(key: str, running: Settings, read: Settings) -> bool:
    """Return whether a key is taken over; the files of TLS are not, where TLS is turned on or off."""
    table = key.partition(".")[0]
    if table == "tls" and running.tls.mode != read.tls.mode:
        return False
    return key in RELOADED or table in RELOADED


def _values(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings:
        if isinstance(value, Table | dict):
            found |= {f"{name}.{key}": one for key, one in dict(value).items()}
        else:
            found[name] = value
    return found
