"""Which values of a plugin's settings are secret, and whether a text gives one away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from postscan.core.filters import parameters

_TELLING: Final = ("password", "secret", "token", "key")
_SHORTEST: Final = 4  # characters: what is shorter is found in any text
_SHORTEST_GUESSED: Final = 6


def secrets(declared: type | None, table: Mapping[str, Any]) -> frozenset[str]:
    """Return the secret texts in a table of settings, tables inside it too.

    A setting is secret if the dataclass *declared* says so, or if its name sounds like it; then a path is none, since
    it only says where the secret is.
    """
    said: list[Any] = []
    if declared is not None and dataclasses.is_dataclass(declared):
        said = [table.get(one.name, one.default) for one in parameters.settings(declared) if one.secret]
    certain = {text for value in said for text in _texts(value) if len(text) >= _SHORTEST}
    guessed = {text for text in _sounding(table) if len(text) >= _SHORTEST_GUESSED and not text.startswith("/")}
    return frozenset(certain | guessed)


def betrayed(secrets: Iterable[str], texts: Iterable[str]) -> bool:
    """Return whether one of the secrets is in one of the texts."""
    everything = "\0".join(texts)
    return any(secret in everything for secret in secrets)


def without(secrets: Iterable[str], text: str) -> str:
    """Return a text with each secret blotted out."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
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


def _sounding(value: Any) -> Iterator[str]:
    """Yield the texts under names that sound secret, however deep."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            if isinstance(one, str) and any(word in str(name).casefold() for word in _TELLING):
                yield one
            else:
                yield from _sounding(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _sounding(one)
