"""What an administrator should look at, for the dashboard: what the doctor finds, and what the jobs of a day show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote, urlencode

from postscan.core.engine import Engine, is_served
from postscan.core.model.principal import Principal, Right
from postscan.core.model.process import short_name
from postscan.core.registry.catalogue import PluginState
from postscan.core.service.administration.metrics.overview import DayOfFilters
from postscan.doctor import machine
from postscan.doctor.certificates import certificates
from postscan.doctor.findings import Finding, Severity, problem


class DashboardProblem(NamedTuple):
    """One problem or warning: what is wrong, what corrects it, and where the console has more, for whom."""

    severity: Severity
    sentence: str
    fix: str
    url: str = ""
    right: Right = Right.SEE


def problems(engine: Engine, by: Principal, day: DayOfFilters) -> list[DashboardProblem]:
    """Return what is wrong now, the problems before the warnings. Reads files; raises `StoreBusy`."""
    found = [*_of_machine(engine), *_of_plugins(engine), *_of_inlets(engine, by), *_of_filters(day)]
    return sorted(found, key=lambda one: one.severity is not Severity.PROBLEM)


def no_server(engine: Engine) -> list[DashboardProblem]:
    """Return the problem that no server runs on this machine with the data; none if one does."""
    if is_served(engine.settings.storage.data_dir):
        return []
    return [
        DashboardProblem(Severity.PROBLEM, "No server runs: nothing is received or processed now.", "postscan serve")
    ]


def _of_machine(engine: Engine) -> Iterator[DashboardProblem]:
    findings: list[Finding] = [*certificates(engine.settings)]
    try:
        findings += machine.spool(engine.settings)
    except OSError as error:
        findings.append(problem("spool", f"cannot be read: {error}", "postscan doctor"))
    for one in findings:
        if one.severity is not Severity.OK:
            yield DashboardProblem(one.severity, f"{one.check}: {one.sentence}", one.fix, "/health")


def _of_plugins(engine: Engine) -> Iterator[DashboardProblem]:
    """Yield a problem for each plugin in quarantine.

    The plugins are loaded for the first one who looks while a server runs, in processes that this does not wait for;
    the problem is there when they have been loaded.
    """
    catalogue = engine.remembered_catalogue
    if catalogue.newest is None and is_served(engine.settings.storage.data_dir):
        catalogue.begin()
    for one in catalogue.newest.catalogue.plugins if catalogue.newest is not None else ():
        if one.state is PluginState.QUARANTINED:
            url = f"/plugins/{quote(one.name, safe='')}"
            sentence = f"Plugin {one.name} is in quarantine: {one.reason}"
            fix = "Correct what it says, or disable the plugin."
            yield DashboardProblem(Severity.PROBLEM, sentence, fix, url, Right.ADMINISTER)


def _of_inlets(engine: Engine, by: Principal) -> Iterator[DashboardProblem]:
    for name, row in engine.inlets.list(by).items():
        if row.quarantine:
            fix = f"postscan sources start {name}"
            sentence = f"Source {name} is in quarantine: {row.quarantine}"
            yield DashboardProblem(Severity.PROBLEM, sentence, fix, "/devices", Right.ADMINISTER)


def _of_filters(day: DayOfFilters) -> Iterator[DashboardProblem]:
    for one in day.failures:
        name = short_name(one.filter.dialect)
        times = "once" if one.failed == 1 else f"{one.failed} times"
        sentence = f"Filter {name} of {one.filter.process_name} failed {times} in 24 hours: {one.detail or 'no reason'}"
        where = urlencode({"tab": "attention", "process": one.filter.process_id})
        fix = "Correct what it says; then retry the jobs."
        yield DashboardProblem(Severity.WARNING, sentence, fix, f"/jobs?{where}")
