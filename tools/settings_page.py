"""Write `docs/settings.md` out of `postscan.core.settings`: one table for each table of the file.

Run it as `python tools/settings_page.py > docs/settings.md`; a test compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from postscan.core.settings import Settings

HEAD: Final = """\
# Settings

The settings are one TOML file, given by `--config` or by the environment variable `POSTSCAN_CONFIG`. Without a file the
defaults below apply. The file is read when a command starts, and by a running server again at `postscan reload`, which
[takes over some of the settings](administration.md#reload). An unknown key or a value of the wrong type is an error: it
names the file, the key and the expected value. Relative paths start at the folder of the file.

This page is generated from `core/settings/` by `tools/settings_page.py`.
"""
KINDS: Final = {"boolean": "true or false", "integer": "whole number", "number": "number", "string": "text"}
BOUNDS: Final = {
    "exclusiveMinimum": "more than {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "maxLength": "at most {} characters",
}

ENTRIES: Final = {"users": '"<SID>"', "destinations": "<name>", "sources": "<name>", "accounts": "<name>"}
"""How the entries of tables of tables are called."""

Schema = Mapping[str, Any]


def page() -> str:
    """Return the whole page."""
    schema = Settings.model_json_schema()
    return "\n".join([HEAD, *_sections(schema["properties"], schema["$defs"])])


def _sections(properties: Mapping[str, Schema], tables: Mapping[str, Schema]) -> Iterator[str]:
    plain = {name: key for name, key in properties.items() if not _inner(key) and not _is_table_of_tables(key)}
    yield f"## Top of the file\n\nBefore the first table.\n\n{_table(plain, [])}"
    for name, key in properties.items():
        if _inner(key):
            yield from _section(f"{name}.{ENTRIES[name]}" if "additionalProperties" in key else name, key, tables)
    yield f"## `[filters.<plugin>]`\n\n{_sentence(properties['filters']['description'])}"
    yield "Those of the shipped filters: [filters.md](filters.md).\n"


def _section(name: str, key: Schema, tables: Mapping[str, Schema]) -> Iterator[str]:
    """Yield the section of a table, and those of the tables in it."""
    table = tables[_inner(key)]
    about = _sentence(table["description"].partition(": ")[2])
    keys = {within: _with_choices(one, tables) for within, one in table["properties"].items()}
    yield f"## `[{name}]`\n\n{about}\n\n{_table(keys, table.get('required', []))}"
    for within, one in keys.items():
        if "$ref" in one:
            yield from _section(f"{name}.{within}", one, tables)


def _with_choices(key: Schema, tables: Mapping[str, Schema]) -> Schema:
    """Return a key whose choices stand elsewhere with its choices; another key as it is."""
    found = tables.get(_inner(key), {})
    return {**found, **{name: value for name, value in key.items() if name != "$ref"}} if "enum" in found else key


def _inner(key: Schema) -> str:
    """Return the name of the table that a key stands for, or that each of its entries is; empty if neither."""
    entries = key.get("additionalProperties")
    reference = key.get("$ref") or (entries.get("$ref") if isinstance(entries, dict) else None) or ""
    return str(reference).rpartition("/")[2]


def _is_table_of_tables(key: Schema) -> bool:
    entries = key.get("additionalProperties")
    return isinstance(entries, dict) and entries.get("type") == "object"


def _table(keys: Mapping[str, Schema], required: list[str]) -> str:
    rows = (
        f"| `{name}` | {_kind(key)} | {'(required)' if name in required else _default(key)} | {key['description']} |"
        for name, key in keys.items()
    )
    return "\n".join(["| Key | Value | Default | Meaning |", "|---|---|---|---|", *rows]) + "\n"


def _kind(key: Schema) -> str:
    """Return what a value may be; one that may be left out is what it is when it is there."""
    if "anyOf" in key:
        return _kind(next(one for one in key["anyOf"] if one.get("type") != "null"))
    if "$ref" in key:
        return "table, see below"
    if "enum" in key:
        return " or ".join(f'`"{choice}"`' for choice in key["enum"])
    if key["type"] in ("array", "object"):
        return "list of texts" if key["type"] == "array" else "table of texts"
    kind = "path" if key.get("format") == "path" else KINDS[key["type"]]
    return ", ".join([kind, *(words.format(_number(key[rule])) for rule, words in BOUNDS.items() if rule in key)])


def _default(key: Schema) -> str:
    """Return the default as TOML; one that depends on another value is described in the meaning."""
    value = key.get("default")
    if value is None:
        return "(none)" if key.get("type") == "object" or "$ref" in key else "(see there)"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{_number(value)}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _number(value: float) -> str:
    """Return a number as TOML may write it: the long ones in groups of three."""
    return f"{value:_}" if value >= 1e6 else f"{value}"


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


if __name__ == "__main__":
    sys.stdout.write(page())
