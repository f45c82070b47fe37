"""Find the secret values in a plugin's settings, and remove them from texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from postscan.core.filters import parameters
from postscan.core.filters.parameters import Parameter

_SECRET_WORDS: Final = ("password", "secret", "token", "key")
_SHORTEST: Final = 4  # characters: a shorter text occurs in any other
_SHORTEST_GUESSED: Final = 6
_HIDDEN: Final = "***"


def secrets(declared: type | None, table: Mapping[str, Any]) -> frozenset[str]:
    """Return the secret texts in a table of settings, tables inside it too.

    A setting is secret if the dataclass *declared* marks it, or if its name contains a word for a secret; in the second
    case a path is not one, since it only names the place of the secret.
    """
    is_known = declared is not None and dataclasses.is_dataclass(declared)
    return of_parameters(parameters.settings(declared) if declared is not None and is_known else (), table)


def of_parameters(declared: Iterable[Parameter], table: Mapping[str, Any]) -> frozenset[str]:
    """Return what `secrets` returns, with the settings that a plugin has declared as data."""
    marked = [table.get(one.name, one.default) for one in declared if one.secret]
    certain = {text for value in marked for text in _texts(value) if len(text) >= _SHORTEST}
    guessed = {text for text in _by_name(table) if len(text) >= _SHORTEST_GUESSED and not text.startswith("/")}
    return frozenset(certain | guessed)


def contains_secret(secrets: Iterable[str], texts: Iterable[str]) -> bool:
    """Return whether any of the secrets is in any of the texts."""
    everything = "\0".join(texts)
    return any(secret in everything for secret in secrets)


def without(secrets: Iterable[str], text: str, *, is_cut: bool = False) -> str:
    """Return a text with each secret replaced by asterisks.

    One that *is_cut* may end within a secret: then the begin of the secret at its end is replaced as well.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, _HIDDEN)
        if is_cut:
            begun = next((size for size in range(len(secret) - 1, 0, -1) if text.endswith(secret[:size])), 0)
            if begun >= _SHORTEST:
                text = text[:-begun] + _HIDDEN
    return text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)


def _by_name(value: Any) -> Iterator[str]:
    """Yield the texts under names that contain a word for a secret, at any depth."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            if isinstance(one, str) and any(word in str(name).casefold() for word in _SECRET_WORDS):
                yield one
            else:
                yield from _by_name(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _by_name(one)
