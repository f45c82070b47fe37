"""Stored scan processes: listed, shown, checked, tried; and the installed plugins, by which they are."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from postscan.console.api.jobs import JobTokenRecord
from postscan.console.api.operations import BASE, ApiAnswer, NoQuery
from postscan.console.pages.processes import checks, stored
from postscan.console.request import ConsoleRequest
from postscan.core.engine import is_served
from postscan.core.errors import InvalidArgument, StoredProcessInvalid, Unavailable
from postscan.core.model.principal import Right
from postscan.core.service.access import require
from postscan.core.service.administration import test_job
from postscan.core.service.administration.plugin_records import PluginRecord
from postscan.core.service.administration.records import Moment
from postscan.soap.processes import fields, records
from postscan.soap.processes.folder import parse


class ListedProcessRecord(BaseModel):
    """A stored scan process; `problem` says why no job can be made of it, and the other values are null then."""

    id: str
    name: str | None
    filters: tuple[str, ...] | None
    users: tuple[str, ...] | None
    problem: str


class ProcessesRecord(BaseModel):
    """The stored scan processes."""

    processes: tuple[ListedProcessRecord, ...]


class FilterOfProcessRecord(BaseModel):
    """A filter of a scan process; `values` is null without a schema, and if the XML does not fit it."""

    number: int
    name: str
    dialect: str
    values: dict[str, Any] | None
    xml: str | None
    problem: str


class ProcessRecord(BaseModel):
    """A stored scan process with the values of its filters; the revision is a hash of its files."""

    id: str
    name: str
    users: tuple[str, ...]
    server: str
    document_root: str
    continue_on_error: bool
    allow_name_change: bool
    allow_path_change: bool
    revision: str
    filters: tuple[FilterOfProcessRecord, ...]


class CheckedProcessRecord(BaseModel):
    """What the filters of a scan process say to their instructions: `argument` is refused, null if nothing is."""

    argument: str | None
    expected: str


class PluginsRecord(BaseModel):
    """The installed plugins, as they were loaded at that time."""

    plugins: tuple[PluginRecord, ...]
    loaded: Moment


def list_processes(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Return the stored scan processes."""
    require(request.by, Right.OPERATE)
    folder = stored.folder(request.console)
    found = (ListedProcessRecord.model_validate(records.listed(folder, name)) for name in folder.names())
    return ApiAnswer(ProcessesRecord(processes=tuple(found)))


def get_process(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Return a stored scan process with the values of its filters; secrets are not in them."""
    require(request.by, Right.ADMINISTER)
    name, files = stored.files(request)
    try:
        process = parse(name, files)
    except InvalidArgument as error:
        raise StoredProcessInvalid(f"the scan process {name} cannot be used: {error}") from None
    dialects = [one.dialect for one in process.instructions.filters]
    known = fields.of(dialects, checks.catalogue(request.console.engine))
    return ApiAnswer(ProcessRecord.model_validate(records.whole(process, files, known)))


def check_process(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Check a stored scan process by its filters, as a server does before it creates a job."""
    require(request.by, Right.ADMINISTER)
    process = stored.usable(request)
    try:
        checks.check(request.console.engine, process.instructions)
    except InvalidArgument as error:
        return ApiAnswer(CheckedProcessRecord(argument=error.argument, expected=error.expected))
    return ApiAnswer(CheckedProcessRecord(argument=None, expected=""))


def send_test_page(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Send a generated page through a scan process, whose filters really deliver it."""
    require(request.by, Right.OPERATE)
    settings, engine = request.console.settings, request.console.engine
    process = stored.usable(request)
    if not is_served(settings.storage.data_dir):
        raise Unavailable("no server is running")
    user = test_job.user_of(process, settings.users, request.by)
    token = test_job.send(engine.service, settings, process, user, request.by)
    return ApiAnswer(JobTokenRecord(token=token), {"Location": f"{BASE}/jobs/{token}"})


def list_plugins(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Return the installed plugins."""
    require(request.by, Right.ADMINISTER)
    reading = request.console.engine.remembered_catalogue.current(checks.CATALOGUE_SECONDS)
    return ApiAnswer(PluginsRecord(plugins=tuple(map(PluginRecord.of, reading.catalogue.plugins)), loaded=reading.at))
