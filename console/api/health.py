"""The health of the installation: what `postscan doctor` finds, as it was found last."""

from __future__ import annotations

from pydantic import BaseModel

from postscan.console.api.operations import ApiAnswer, NoQuery
from postscan.console.request import ConsoleRequest
from postscan.core.model.principal import Right
from postscan.core.service.access import require
from postscan.core.service.administration.records import Moment
from postscan.doctor.findings import Severity


class FindingRecord(BaseModel):
    """One finding; `fix` is what corrects it, empty if all is in order."""

    check: str
    verdict: Severity
    sentence: str
    fix: str


class HealthRecord(BaseModel):
    """What was found: about this machine now, and about plugins and destinations when `checked`, null if never.

    `running` says that these are being checked again.
    """

    findings: tuple[FindingRecord, ...]
    checked: Moment | None
    running: bool


def get_health(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Return what the checks of the installation have found."""
    require(request.by, Right.SEE)
    return ApiAnswer(_health(request))


def check_health(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Begin to check plugins and destinations, unless that is being done; the findings are in a later `GET`."""
    require(request.by, Right.OPERATE)
    request.console.examinations.begin()
    return ApiAnswer(_health(request))


def _health(request: ConsoleRequest) -> HealthRecord:
    examinations = request.console.examinations
    last = examinations.last
    return HealthRecord(
        findings=tuple(FindingRecord.model_validate(one.as_json()) for one in examinations.current()),
        checked=last.ended if last else None,
        running=examinations.running is not None,
    )
