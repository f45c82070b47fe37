"""A job of one generated page, by which an administrator or an operator tries a scan process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

from postscan.core.model.formats import test_page
from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import Principal, Right, is_sid
from postscan.core.model.process import Instructions, ScanProcess
from postscan.core.service.access import require
from postscan.core.service.images import ImageSink
from postscan.core.settings import Settings
from postscan.core.settings.engine import UserSettings


class PageVerbs(Protocol):
    """The verbs of the service that make a job of one page; they have its arguments and its errors."""

    def create(self, by: Principal, user_sid: str, process_id: str, instructions: Instructions) -> JobToken: ...

    def open_image(self, token: str, by: Principal, document_id: int, format: str) -> ImageSink: ...

    def end(self, token: str, by: Principal) -> None: ...

    def cancel(self, token: str, by: Principal) -> Job: ...


def send(service: PageVerbs, settings: Settings, process: ScanProcess, user: str, by: Principal) -> JobToken:
    """Create a job of one page and end it; return its token. The running server processes it with its real filters.

    *user* is the SID of the job's user. Raises `NotAdministrator`, and as `create`, `open_image` and `end` of the
    service; the job is canceled if its page cannot be stored.
    """
    require(by, Right.OPERATE)
    # A server that demands client certificates takes the SID from them alone; this caller has no certificate.
    caller = dataclasses.replace(by, sid=user if settings.tls.mode == "client" else "")
    token = service.create(caller, user, process.identifier, process.instructions)
    try:
        with service.open_image(token, by, 1, "png") as image:
            image.write(test_page.png(1))
        service.end(token, by)
    except BaseException:
        service.cancel(token, by)
        raise
    return token


def user_of(process: ScanProcess, users: Mapping[str, UserSettings], by: Principal) -> str:
    """Return the SID for a test page: that of the caller, if the process is for this user, or the first that it is for.

    *users* are those of the settings, by SID.
    """
    allowed = [sid for sid in sorted(process.users) if is_sid(sid)]
    allowed += [sid for sid, one in sorted(users.items()) if one.name in process.users]
    if by.sid and (not process.users or by.sid in allowed):
        return by.sid
    return allowed[0] if allowed else next(iter(sorted(users)), test_page.USER)
