"""What is said about installed plugins in JSON: the same by `--json` of the command line and by the API of the console.

The values of settings are in none of it, and no default of a secret one.
"""

from __future__ import annotations

from typing import Any

from postscan.core.filters.parameters import Parameter, Schema
from postscan.core.registry.catalogue import FilterInfo, Plugin, PluginKind, PluginState, SourceInfo
from postscan.core.service.administration.records import JsonRecord


class SettingRecord(JsonRecord):
    """One setting that a plugin declares."""

    key: str
    type: str
    many: bool
    required: bool
    default: Any
    choices: tuple[Any, ...]
    secret: bool
    help: str

    @classmethod
    def of(cls, key: Parameter) -> SettingRecord:
        """Return the record of a setting."""
        return cls(
            key=key.name,
            type=key.kind,
            many=key.many,
            required=key.required,
            default=None if key.secret else key.default,
            choices=tuple(key.choices),
            secret=key.secret,
            help=key.help,
        )


class ParameterRecord(JsonRecord):
    """One element of the instructions of a filter; `path` has the names of the elements from the outer one."""

    path: str
    type: str
    many: bool
    required: bool
    default: Any
    expected: str
    help: str

    @classmethod
    def of(cls, one: Parameter) -> ParameterRecord:
        """Return the record of an element."""
        return cls(
            path="/".join(one.path),
            type=one.kind,
            many=one.many,
            required=one.required,
            default=one.default,
            expected=one.expected,
            help=one.help,
        )


class SchemaRecord(JsonRecord):
    """The instructions of a filter; `judged` says that the filter checks them further by itself."""

    element: str
    help: str
    judged: bool
    parameters: tuple[ParameterRecord, ...]

    @classmethod
    def of(cls, schema: Schema) -> SchemaRecord:
        """Return the record of a schema."""
        parameters = tuple(map(ParameterRecord.of, schema.parameters))
        return cls(element=schema.element, help=schema.help, judged=schema.judged, parameters=parameters)


class FilterRecord(JsonRecord):
    """One filter of a plugin; `grace` is how many seconds it gets after a cancel, `lacks` what this machine has not."""

    dialect: str
    title: str
    summary: str
    grace: float
    lacks: tuple[str, ...]
    instructions: SchemaRecord | None
    settings: tuple[SettingRecord, ...]

    @classmethod
    def of(cls, one: FilterInfo) -> FilterRecord:
        """Return the record of a filter."""
        return cls(
            dialect=one.dialect,
            title=one.title,
            summary=one.summary,
            grace=one.grace,
            lacks=one.lacks,
            instructions=SchemaRecord.of(one.instructions) if one.instructions else None,
            settings=tuple(map(SettingRecord.of, one.settings)),
        )


class SourceRecord(JsonRecord):
    """The source of a plugin; `refused` has the reason for each inlet whose settings it refuses."""

    title: str
    summary: str
    proofs: tuple[str, ...]
    grace: float
    once: bool
    pulls: bool
    lacks: tuple[str, ...]
    settings: tuple[SettingRecord, ...]
    refused: dict[str, str]

    @classmethod
    def of(cls, source: SourceInfo) -> SourceRecord:
        """Return the record of a source."""
        return cls(
            title=source.title,
            summary=source.summary,
            proofs=source.proofs,
            grace=source.grace,
            once=source.once,
            pulls=source.pulls,
            lacks=source.lacks,
            settings=tuple(map(SettingRecord.of, source.settings)),
            refused=dict(source.refused),
        )


class PluginRecord(JsonRecord):
    """An installed plugin; `reason` and `traceback` say why one that is quarantined cannot be used."""

    name: str
    distribution: str
    version: str
    state: PluginState
    reason: str
    traceback: str
    filters: tuple[FilterRecord, ...]
    brings: PluginKind
    source: SourceRecord | None

    @classmethod
    def of(cls, plugin: Plugin) -> PluginRecord:
        """Return the record of a plugin."""
        return cls(
            name=plugin.name,
            distribution=plugin.distribution,
            version=plugin.version,
            state=plugin.state,
            reason=plugin.reason,
            traceback=plugin.traceback,
            filters=tuple(map(FilterRecord.of, plugin.filters)),
            brings=plugin.kind,
            source=SourceRecord.of(plugin.source) if plugin.source else None,
        )
