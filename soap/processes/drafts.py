"""The files of a new scan process, and of a changed one, made of values; nothing is stored."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from postscan.core.model.process import FilterInstructions, Instructions
from postscan.soap.processes import arrangement, changes, new_process, properties
from postscan.soap.processes.fields import FilterFields
from postscan.soap.processes.files import ProcessFiles
from postscan.soap.xml import namespaces

NAMED: Final = {
    "PSP_DisplayName": "name",
    "users": "users",
    "--root": "document_root",
    namespaces.psp("DocumentRootName"): "document_root",
    namespaces.psp("ContinueOnError"): "continue_on_error",
    namespaces.psp("ScanRepository"): "server",
}
"""The values of a process beside its filters, by what an `InvalidArgument` about them names."""


def new(
    name: str,
    users: Iterable[str],
    filters: Sequence[FilterInstructions],
    *,
    server: str,
    author: str,
    root: str = "",
    continue_on_error: bool = False,
) -> ProcessFiles:
    """Return the files of a new process. *server* is the host name by which devices find the server.

    *author* is who makes it, and *root* the root name of the documents, by default the name. Raises `InvalidArgument`
    for texts that it cannot have.
    """
    (parameter,) = (one for one in changes.COMMON.parameters if one.name == "document_root")
    xml = new_process.write(
        Instructions(str(parameter.read("--root", root or name)), tuple(filters), continue_on_error),
        repository=server,
        title=name[: properties.LONGEST_NAME],
        author=author,
    )
    return ProcessFiles(xml, properties.write(name, users))


def server_name(names: Sequence[str]) -> str:
    """Return the host name of new processes: the first of `processes.server_names`, else that of this machine."""
    return next(iter(names), socket.gethostname())


def changed(
    before: ProcessFiles,
    filters: Sequence[FilterFields],
    values: Mapping[int, Mapping[str, Any]],
    *,
    common: Mapping[str, Any] | None = None,
    display_name: str | None = None,
    users: Collection[str] | None = None,
    order: Sequence[int | FilterInstructions] | None = None,
) -> ProcessFiles:
    """Return the files of a process with other values; all else in them stays byte for byte.

    *values* are by the number of the filter and the name of the field; None for one that gets its default. *common* has
    values of `changes.COMMON`. *order* is that of `arrangement.arrange`, with the numbers of *filters*. What is None
    stays. Raises `InvalidArgument` for values that a process cannot have.
    """
    xml = changes.change_common(before.xml or b"", common or {})
    for one in filters:
        if one.schema and values.get(one.number):
            xml = changes.change_filter(xml, one.number, one.schema, values[one.number])
    if order is not None:
        xml = arrangement.arrange(xml, order)
    return ProcessFiles(xml, properties.change(before.properties or b"", display_name=display_name, users=users))
