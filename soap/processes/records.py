"""Stored scan processes as plain values, for lists and pages, and for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from postscan.core.errors import InvalidArgument, StoredProcessInvalid
from postscan.core.model.process import FilterInstructions, ScanProcess
from postscan.soap.processes.fields import HIDDEN, FilterFields
from postscan.soap.processes.files import ProcessFiles
from postscan.soap.processes.folder import ProcessFolder


def listed(folder: ProcessFolder, identifier: str) -> dict[str, Any]:
    """Return a stored process for a list; `problem` says why no job can be made of it."""
    process: ScanProcess | None = None
    problem = "it names another server, or was removed just now"
    try:
        process = folder.find(identifier)
    except StoredProcessInvalid as error:
        problem = str(error)
    return {
        "id": identifier,
        "name": process.display_name if process else None,
        "filters": [one.dialect for one in process.instructions.filters] if process else None,
        "users": sorted(process.users) if process else None,
        "problem": "" if process else problem,
    }


def whole(process: ScanProcess, files: ProcessFiles, filters: Sequence[FilterFields]) -> dict[str, Any]:
    """Return a stored process with the values of its filters."""
    wanted = process.instructions
    return {
        "id": process.identifier,
        "name": process.display_name,
        "users": sorted(process.users),
        "server": process.repository,
        "document_root": wanted.document_root,
        "continue_on_error": wanted.continue_on_error,
        "allow_name_change": process.allow_name_change,
        "allow_path_change": process.allow_path_change,
        "revision": files.revision,
        "filters": [of_filter(*pair) for pair in zip(filters, wanted.filters, strict=True)],
    }


def of_filter(filter: FilterFields, instructions: FilterInstructions) -> dict[str, Any]:
    """Return a filter with its values; `values` is null without a schema, and if the XML does not fit it."""
    values, problem = values_of(filter, instructions)
    secret = {one.name for one in filter.schema.parameters if one.secret} if filter.schema else set()
    return {
        "number": filter.number,
        "name": filter.name,
        "dialect": filter.dialect,
        "values": values and {name: HIDDEN if name in secret else value for name, value in values.items()},
        "xml": instructions.xml.decode() if values is None and not secret else None,
        "problem": problem,
    }


def values_of(filter: FilterFields, instructions: FilterInstructions) -> tuple[dict[str, Any] | None, str]:
    """Return the values of a filter, None without a schema, and what is wrong with its XML; "" if nothing is."""
    try:
        return filter.values(instructions), ""
    except InvalidArgument as error:
        return None, str(error)
