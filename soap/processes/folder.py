"""Stored scan processes in a folder: `<GUID>.xml` is the process, `<GUID>.toml` its display name and its users.

Source: scan-process.md sections 3, 4, 8 and 10; O-4 to O-6. The scan ticket is validated when a
process is stored, not when a job is made of it; it is read for sources alone.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lxml import etree

from postscan.core.errors import InvalidArgument, StoredProcessInvalid
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.model.process import Instructions, ScanProcess
from postscan.core.settings import Settings
from postscan.soap.processes import files, instructions, properties, ticket
from postscan.soap.processes.files import ProcessFiles
from postscan.soap.xml import namespaces, parser
from postscan.soap.xml.parser import XmlError
from postscan.soap.xml.reading import boolean, children, guid, required, tag, text

LONGEST: Final = 524_288
"""Most characters of a scan process."""

READ: Final = 64
"""Documents of directories that are kept as they were read."""

_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_SCHEMAS: Final = Path(__file__).parents[1] / "wsdl"

_Stamp = tuple[tuple[int, int, int], ...]


class ProcessFolder:
    """The scan processes of one folder; each is read again when one of its two files changes.

    *server_names* are the names of this server that a process may have; none means any. With *lenient*, a device may
    send any instructions.
    """

    def __init__(self, folder: Path, server_names: tuple[str, ...] = (), lenient: bool = False) -> None:
        self._folder = folder
        self._server_names = frozenset(map(_host, server_names))
        self._lenient = lenient
        self._known: dict[str, tuple[_Stamp, ScanProcess]] = {}
        self._tickets: dict[str, tuple[_Stamp, ScanTicket]] = {}
        self._of_directories = functools.lru_cache(READ)(_read_of_directory)

    @classmethod
    def of(cls, settings: Settings) -> ProcessFolder:
        """Return the folder of these settings."""
        return cls(settings.processes_dir, settings.processes.server_names, settings.processes.lenient)

    def names(self) -> list[str]:
        """Return the identifiers of all stored processes, usable or not."""
        found = (guid(path.stem) for path in self._folder.glob("*.xml"))
        return sorted({name for name in found if name})

    def find(self, identifier: str) -> ScanProcess | None:
        """Return the process with this GUID, in any case and with or without braces; None if there is none.

        A process of another server is not found. Raises `StoredProcessInvalid` if the process is invalid.
        """
        name = guid(identifier)
        path = files.path(self._folder, name) if name else None
        if name is None or path is None:
            return None
        try:
            process = self._read(name, path)
        except (InvalidArgument, OSError) as error:
            raise StoredProcessInvalid(f"the scan process {path} cannot be used: {error}") from error
        return process if self._serves(process.repository) else None

    def read(self, identifier: str, display_name: str, xml: str) -> ScanProcess | None:
        """Return the process of a document of a directory; None if it is that of another server.

        What the declaration of the document says about its encoding does not count. Raises `StoredProcessInvalid`.
        """
        try:
            process = self._of_directories(identifier, display_name, xml)
        except InvalidArgument as error:
            raise StoredProcessInvalid(
                f"the scan process {identifier} of the directory cannot be used: {error}"
            ) from None
        return process if self._serves(process.repository) else None

    def ticket(self, identifier: str) -> ScanTicket:
        """Return what the process with this GUID asks a device for; an empty ticket if there is none.

        Raises `StoredProcessInvalid` if the ticket is invalid, or cannot be read. The rest of the process may be.
        """
        name = guid(identifier)
        try:
            path = files.path(self._folder, name) if name else None
            if name is None or path is None:
                return ScanTicket()
            stamp = (_stamp(path),)  # before reading, so that a later change has another stamp
            known = self._tickets.get(name)
            if known is None or known[0] != stamp:
                xml = files.read(self._folder, name).xml
                known = stamp, ScanTicket() if xml is None else read_ticket(xml)
                self._tickets[name] = known
            return known[1]
        except (InvalidArgument, OSError) as error:
            raise StoredProcessInvalid(f"the scan ticket of {identifier} cannot be used: {error}") from error

    def admit(self, process: ScanProcess, sent: Instructions) -> None:
        """Raise `InvalidArgument` if a device may not run *sent* as this process."""
        if not self._lenient:
            instructions.check_sent(process, sent)

    def add(
        self, xml: bytes, *, display_name: str, users: Iterable[str] = (), identifier: str | None = None
    ) -> ScanProcess:
        """Validate a process with its scan ticket and store it; replaces a process of the same *identifier*.

        Raises `InvalidArgument` if it is invalid. *users* are SIDs and `user@domain` names; none means all.
        """
        name = guid_of(str(uuid.uuid4()) if identifier is None else identifier)
        stored = ProcessFiles(xml, properties.write(display_name, users))
        process = self.check(name, stored)
        files.write(self._folder, name, stored)
        return process

    def check(self, identifier: str, stored: ProcessFiles) -> ScanProcess:
        """Return the process of these files, validated with its scan ticket; raise `InvalidArgument`."""
        process = parse(guid_of(identifier), stored)
        _check_schema(stored.xml or b"")
        if not self._serves(process.repository):
            raise InvalidArgument(namespaces.psp("ScanRepository"), process.repository, "a name of this server")
        return process

    def stored(self, identifier: str) -> ProcessFiles:
        """Return what is stored of a process, valid or not; raise `InvalidArgument` for what is no GUID."""
        return files.read(self._folder, guid_of(identifier))

    def replace(self, identifier: str, before: ProcessFiles, after: ProcessFiles) -> ScanProcess:
        """Validate a process and store it in place of the one *before*, which may be `files.NONE`.

        Raises `InvalidArgument` if it is invalid, and `StoredProcessChanged` if another one is stored.
        """
        process = self.check(identifier, after)
        files.replace(self._folder, process.identifier, before, after)
        return process

    def remove(self, identifier: str, before: ProcessFiles) -> None:
        """Remove a process, valid or not; raise `StoredProcessChanged` if it is not the one *before*."""
        files.remove(self._folder, guid_of(identifier), before)

    def _serves(self, repository: str) -> bool:
        return not self._server_names or _host(repository) in self._server_names

    def _read(self, name: str, path: Path) -> ScanProcess:
        files.complete(self._folder, name)
        stamp = (
            _stamp(path),
            _stamp(path.with_suffix(".toml")),
        )  # before reading, so that a later change has another stamp
        known = self._known.get(name)
        if known and known[0] == stamp:
            return known[1]
        process = parse(name, files.read(self._folder, name))
        self._known[name] = (stamp, process)
        return process


def _read_of_directory(identifier: str, display_name: str, xml: str) -> ScanProcess:
    return _process(identifier, xml.encode(), display_name, frozenset())


def parse(identifier: str, stored: ProcessFiles) -> ScanProcess:
    """Return the process of two files; raise `InvalidArgument` if one is missing or invalid. The ticket is not read."""
    if stored.xml is None or stored.properties is None:
        raise InvalidArgument(f"{identifier}.{'xml' if stored.xml is None else 'toml'}", "", "a file of that name")
    shown, users = properties.read(f"{identifier}.toml", stored.properties)
    return _process(identifier, stored.xml, shown, users)


def read_process(xml: bytes) -> tuple[str, Instructions, bool, bool]:
    """Return repository, instructions, and whether names and paths may be changed, of a PostScanProcess.

    The scan ticket is not read. Raises `InvalidArgument` with the Clark name of the invalid element.
    """
    root, found = _root(xml)
    repository = text(required(found, namespaces.PSP, "ScanRepository"))
    inner = required(found, namespaces.PSP, "PostScanInstructions")
    return (
        repository,
        instructions.read(inner),
        _allows("AllowDeviceFileNameChange", root, inner),
        _allows("AllowDeviceFilePathChange", root, inner),
    )


def read_ticket(xml: bytes) -> ScanTicket:
    """Return the scan ticket of a PostScanProcess; raise `InvalidArgument`. The rest of it is not read."""
    _, found = _root(xml)
    return ticket.read(required(found, namespaces.PSP, "ScanTicket"))


def _root(xml: bytes) -> tuple[etree._Element, dict[str, etree._Element]]:
    """Return the root of a PostScanProcess and its three children."""
    root = _parse(xml)
    if tag(root) != namespaces.psp("PostScanProcess"):
        raise InvalidArgument(tag(root), "", "a PostScanProcess")
    return root, children(root, namespaces.PSP, ("ScanRepository", "ScanTicket", "PostScanInstructions"))


def _allows(flag: str, *places: etree._Element) -> bool:
    """Return a permission, from either of two places, since its place is not published; raise if they differ."""
    name = f"{{{namespaces.SPX}}}{flag}"
    values = {boolean(element) for place in places for element in place.findall(name)}
    if len(values) > 1:
        raise InvalidArgument(name, "true and false", "one value")
    return values == {True}


def _parse(xml: bytes) -> etree._Element:
    """Return the root of a stored process, whose declaration may name an encoding that it no longer has."""
    if len(xml) > LONGEST and len(xml.decode("utf-16" if xml[:2] in _UTF16 else "utf-8", "replace")) > LONGEST:
        raise InvalidArgument(namespaces.psp("PostScanProcess"), f"{len(xml)} bytes", f"at most {LONGEST} characters")
    try:
        return parser.parse(xml, heed_declaration=False)
    except XmlError as error:
        start = xml[:40].decode("utf-8", "replace")
        raise InvalidArgument(namespaces.psp("PostScanProcess"), start, f"XML that can be read, but: {error}") from None


def _process(name: str, xml: bytes, shown: str, users: frozenset[str]) -> ScanProcess:
    repository, wanted, name_change, path_change = read_process(xml)
    return ScanProcess(name, shown, repository, wanted, users, name_change, path_change)


@functools.cache
def _schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(_SCHEMAS / "psp.xsd"))


def _check_schema(xml: bytes) -> None:
    """Validate a process and its ticket against our schema."""
    try:
        _schema().assertValid(_parse(xml))
    except etree.DocumentInvalid as error:
        line = f"line {error.error_log[0].line}"
        raise InvalidArgument(
            namespaces.psp("PostScanProcess"), line, f"content that the schema allows, but: {error}"
        ) from None


def guid_of(text: str) -> str:
    """Return the GUID of a process as its files are named; raise `InvalidArgument` for what is none."""
    name = guid(text)
    if name is None:
        raise InvalidArgument("PSP_Identifier", text, "a GUID")
    return name


def _host(name: str) -> str:
    return name.strip().rstrip(".").lower()


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino
