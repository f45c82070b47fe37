"""The caller itself, the subscriptions of devices, and the audit trail."""

from __future__ import annotations

import uuid
from datetime import UTC
from typing import Final

from pydantic import BaseModel, Field

from postscan.console.api.operations import ApiAnswer, ApiQuery, NoQuery, Text, Time, next_page, paged
from postscan.console.request import ConsoleRequest
from postscan.core.errors import SubscriptionNotFound
from postscan.core.model.principal import Right, Role
from postscan.core.service.access import require
from postscan.core.service.administration.audit_trail import AuditQuery
from postscan.core.service.administration.records import AuditRecord
from postscan.core.service.administration.subscription_records import SubscriptionRecord, described

MOST_LINES: Final = 1000
"""Most lines of the audit trail in one response."""


class CallerRecord(BaseModel):
    """Who sends the request. `user` is the SID of the user whose jobs are its own, empty for none."""

    name: str
    proof: str
    role: Role | None
    rights: tuple[Right, ...]
    user: str


class SubscriptionsRecord(BaseModel):
    """The subscriptions of devices and administrators."""

    subscriptions: tuple[SubscriptionRecord, ...]


class AuditParameters(ApiQuery):
    """Which lines of the audit trail are wanted: those that fulfil every parameter that is given."""

    who: Text = Field("", description="With this text in the name of the caller.")
    verb: Text = Field("", description="About this action.")
    outcome: Text = Field("", description="With this outcome.")
    token: Text = Field("", description="About this job, or what else the column JOB of the trail has.")
    begin: Time | None = Field(None, alias="from", description="Written at this time or later.")
    end: Time | None = Field(None, alias="to", description="Written before this time.")
    before: int | None = Field(None, ge=1, le=1 << 62, description="Where the page begins: `next` has it.")
    limit: int = Field(100, ge=1, le=MOST_LINES, description="Most lines of the page.")

    @property
    def wanted(self) -> AuditQuery:
        """The query of the service."""
        begin, end = (moment.astimezone(UTC) if moment else None for moment in (self.begin, self.end))
        return AuditQuery(self.who, self.verb, self.outcome, self.token, begin, end)


class AuditLinesRecord(BaseModel):
    """A page of the audit trail, the newest line first; `next` is null behind the oldest one."""

    lines: tuple[AuditRecord, ...]
    next: str | None


def get_me(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Return who the caller is, and what it may do."""
    by = request.by
    rights = tuple(right for right in Right if by.may(right))
    return ApiAnswer(CallerRecord(name=by.name, proof=str(by.proof), role=by.role, rights=rights, user=by.sid))


def list_subscriptions(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """Return the subscriptions of devices and administrators to events."""
    require(request.by, Right.ADMINISTER)
    found = described(request.console.engine.subscriptions)
    return ApiAnswer(SubscriptionsRecord(subscriptions=tuple(found)))


def end_subscription(request: ConsoleRequest, _query: NoQuery) -> ApiAnswer:
    """End a subscription; the running server tells its subscriber."""
    require(request.by, Right.ADMINISTER)
    text = str(request.http.path_params["id"])
    try:
        id = str(uuid.UUID(text))
    except ValueError:
        raise SubscriptionNotFound("") from None
    request.console.engine.subscriptions.cancel(id, request.by)
    return ApiAnswer(None)


def list_audit(request: ConsoleRequest, query: AuditParameters) -> ApiAnswer:
    """Return a page of the audit trail. A search ends after a second, with the lines that it has found until then."""
    require(request.by, Right.ADMINISTER)
    found = request.console.engine.audit_trail.search(request.by, query.wanted, query.before, query.limit)
    link = next_page(request.http, before=str(found.before)) if found.before is not None else None
    return paged(AuditLinesRecord(lines=tuple(map(AuditRecord.of, found.lines)), next=link), link)
