"""The values of settings with their explanations, as an administrator reads them; without secrets.

What a plugin keeps secret is declared by its code, which runs in workers alone. So of the settings of plugins no value
is shown, only that it is set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from pydantic.fields import FieldInfo

from postscan.core.settings import Settings
from postscan.core.settings.engine import Table
from postscan.core.settings.reload import RELOADED

HIDDEN: Final = "(set, not shown)"
TOP: Final = "top of the file"

_SECRET_WORDS: Final = ("password", "secret", "token")
_QUOTED: Final = ("users", "accounts")
_ASTERISKS: Final = "***"


class ExplainedValue(NamedTuple):
    """One setting: its value as text, whether that is the default, what it means, and if a reload takes it over."""

    key: str
    value: str
    is_default: bool
    meaning: str
    is_reloaded: bool


class ExplainedTable(NamedTuple):
    """A table by the head that it has in the file, and what it is about."""

    name: str
    about: str
    values: tuple[ExplainedValue, ...]


def explain(settings: Settings) -> Iterator[ExplainedTable]:
    """Yield the tables of the settings, first the keys before the first table."""
    fields = Settings.model_fields
    plain = (_value("", key, value, fields[key]) for key, value in settings if not isinstance(value, Table | dict))
    yield ExplainedTable(TOP, "", tuple(plain))
    for name, value in settings:
        if isinstance(value, Table):
            yield from _tables(name, name, value)
        elif isinstance(value, dict):
            for entry, inner in value.items():
                yield from _entry(name, entry, inner)


def _entry(name: str, entry: str, inner: Any) -> Iterator[ExplainedTable]:
    """Yield the tables of one entry of a table of tables: of a user, an inlet, a plugin."""
    head = f'{name}."{entry}"' if name in _QUOTED else f"{name}.{entry}"
    if isinstance(inner, Table):
        yield from _tables(head, name, inner)
    else:
        yield ExplainedTable(head, "Settings of the plugin.", tuple(_of_plugin(inner)))


def _tables(head: str, name: str, table: Table) -> Iterator[ExplainedTable]:
    """Yield the table with this head, then those inside it; *name* is that of its field in `Settings`."""
    fields = type(table).model_fields
    inner = {key: value for key, value in ((key, getattr(table, key)) for key in fields) if isinstance(value, Table)}
    values = [_value(name, key, getattr(table, key), fields[key]) for key in fields if key not in inner]
    yield ExplainedTable(head, _about(table), (*values, *_of_plugin(table.model_extra or {})))
    for key, value in inner.items():
        yield from _tables(f"{head}.{key}", name, value)


def _about(table: Table) -> str:
    """Return the first sentence of the docstring of a table, behind its head."""
    about = (type(table).__doc__ or "").partition("\n")[0].partition(": ")[2].strip()
    return f"{about[:1].upper()}{about[1:]}"


def _value(table: str, key: str, value: Any, field: FieldInfo) -> ExplainedValue:
    is_default = not field.is_required() and value == field.get_default(call_default_factory=True)
    is_reloaded = bool({table, key, f"{table}.{key}"} & set(RELOADED)) if table else key in RELOADED
    shown = HIDDEN if value and _is_secret(key, value, field) else _text(value)
    return ExplainedValue(field.alias or key, shown, is_default, field.description or "", is_reloaded)


def _is_secret(key: str, value: Any, field: FieldInfo) -> bool:
    return not field.repr or (isinstance(value, str) and any(word in key for word in _SECRET_WORDS))


def _of_plugin(table: Mapping[str, Any], above: str = "") -> Iterator[ExplainedValue]:
    """Yield the settings of a plugin, those in tables inside too, by their dotted keys."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _of_plugin(value, f"{above}{key}.")
        else:
            yield ExplainedValue(f"{above}{key}", HIDDEN, False, "", False)


def _text(value: Any) -> str:
    """Return a value as an administrator would write it, without the password in a URL; "" for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:_}" if value >= 1e6 else f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_text(one)}" for name, one in value.items())
    if isinstance(value, tuple | list | frozenset | set):
        return ", ".join(map(_text, value))
    return _without_password(str(value))


def _without_password(text: str) -> str:
    """Return a URL without its password and its query, in which there may be another one; another text as it is."""
    if "://" not in text:
        return text
    try:
        url = urlsplit(text)
        before, at, host = url.netloc.rpartition("@")
        user, colon, _ = before.partition(":")
    except ValueError:
        return HIDDEN
    netloc = f"{user}{colon and f':{_ASTERISKS}'}{at}{host}"
    return url._replace(netloc=netloc, query=url.query and _ASTERISKS).geturl()
