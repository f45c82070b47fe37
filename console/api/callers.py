"""The caller itself, the subscriptions of devices, and the audit trail."""

from __future__ import annotations

import uuid
from typing import Final

from pydantic import BaseModel, Field

from postscan.console.api.operations import ApiAnswer, ApiQuery, NoQuery
from postscan.console.request import ConsoleRequest
from postscan.core.errors import SubscriptionNotFound
from postscan.core.model.principal import Right, Role
from postscan.core.service.access import require
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
    """Which lines of the audit trail are wanted."""

    token: str = Field(
        "",
        max_length=255,
        pattern=r"^[^\x00]*$",
        description="About this: the token of a job, or what the column JOB of the trail has. Default: about all.",
    )
    limit: int = Field(100, ge=1, le=MOST_LINES, description="Most lines, the newest.")


class AuditLinesRecord(BaseModel):
    """Lines of the audit trail, the newest first."""

    lines: tuple[AuditRecord, ...]


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
    """Return the newest lines of the audit trail."""
    require(request.by, Right.ADMINISTER)
    lines = request.console.engine.service.audit(request.by, query.token or None, query.limit)
    return ApiAnswer(AuditLinesRecord(lines=tuple(map(AuditRecord.of, reversed(lines)))))
