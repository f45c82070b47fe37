"""The e-mail filter: all documents in one mail to the recipients that the scan process names.

A mail is delivered at least once. It has the same Message-ID whenever it is sent, so a mailbox can recognise a second
copy. There is one if the reply to the end of the message was lost, or if the worker died between that reply and the
record of the server: `job.earlier` names what was *about* to be sent, not whether it was accepted. A part that is
followed by a later part was sent, since the grant for the next part is asked for only then; it is not sent again.

Source: scan-process.md section 6.2 (PSP-018 to PSP-023); ws-dsp.md section 6.5 (reasons).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final

from postscan.plugins import (
    CancellationToken,
    Filter,
    FilterContext,
    FilterFailed,
    FilterReason,
    FilterResult,
    element,
    hookimpl,
)
from postscan.plugins.filters.email.address import EXPECTED, domain_of, is_address
from postscan.plugins.filters.email.connection import ServerLimits
from postscan.plugins.filters.email.message import MailMessage, one_line
from postscan.plugins.filters.email.server import MailServer
from postscan.plugins.filters.email.settings import KEY, Settings

NAMESPACE = "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/email"

CHECK_SECONDS: Final = 4.0  # for a reply of the mail server in `diagnose`


@dataclass(frozen=True)
class Instructions:
    """EmailConfig: the recipients of the documents."""

    send_to_scan_user: bool = element("SendToScanUser", default=False, help="send to the user of the job as well")
    addresses: tuple[str, ...] = element(
        "SendToAddresses/EmailAddress", default=(), help="a recipient of the documents"
    )


class Email(Filter):
    """Send all documents as attachments of one mail to the recipients that the scan process names."""

    dialect = NAMESPACE
    title = "E-mail"
    Instructions = Instructions
    Settings = Settings

    def diagnose(self, job: FilterContext) -> Iterable[str]:
        """Check the addresses, and connect to the mail server, with TLS and login, without sending a mail."""
        failures: list[FilterFailed] = []
        _recipients(replace(job, instructions=replace(job.instructions, send_to_scan_user=False)), failures)
        try:
            _check_login(job)
        except FilterFailed as failure:
            failures.append(failure)
        return [failure.detail for failure in failures]

    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Send to all recipients that can be reached; then raise `FilterFailed` for the others."""
        failures: list[FilterFailed] = []
        recipients = _recipients(job, failures)
        if not recipients and not failures:
            return FilterResult(("the scan process names no EmailAddress: nothing was sent",))
        if not job.all_documents:
            return FilterResult(("the job has no document: nothing was sent",))
        if recipients:
            try:
                _send(job, recipients, failures)
            except FilterFailed as failure:
                failures.append(failure)
        if failures:
            raise FilterFailed.of(failures)
        return None


def _check_login(job: FilterContext) -> None:
    """Log in to the mail server, in one attempt of `CHECK_SECONDS`; raise `FilterFailed` if that fails."""
    settings: Settings = job.settings
    if settings.missing:
        raise FilterFailed(FilterReason.INVALID_SMTP_SERVER, settings.missing)
    with MailServer(
        replace(job, settings=replace(settings, tries=1, seconds=min(settings.seconds, CHECK_SECONDS)))
    ) as server:
        server.limits()


def _recipients(job: FilterContext, failures: list[FilterFailed]) -> tuple[str, ...]:
    """Return the recipients of the scan process, each once; add a failure for each that is refused."""
    wanted = list(job.instructions.addresses)
    if job.instructions.send_to_scan_user:
        if is_address(job.user.mail):
            wanted.append(job.user.mail)
        else:
            detail = f"the user {job.user.name} has no valid mail address; expected one in [users]"
            failures.append(FilterFailed(FilterReason.UNABLE_TO_SEND_EMAIL, detail))
    allowed = job.settings.domains
    good: dict[str, str] = {}
    for address in wanted:
        if not is_address(address):
            failures.append(_invalid_failure(f"{address!r} is not a mail address; expected {EXPECTED}"))
        elif allowed and domain_of(address) not in allowed:
            failures.append(
                _invalid_failure(f"{address}: mails to this domain are not allowed; see {KEY}.allowed_domains")
            )
        else:
            good.setdefault(address.lower(), address)
    return tuple(good.values())


def _invalid_failure(detail: str) -> FilterFailed:
    return FilterFailed(FilterReason.INVALID_ARGS, detail)


def _send(job: FilterContext, recipients: tuple[str, ...], failures: list[FilterFailed]) -> None:
    """Send all messages of the job; add a failure for each document and each recipient that is left out."""
    if job.settings.missing:
        raise FilterFailed(FilterReason.INVALID_SMTP_SERVER, job.settings.missing)
    with MailServer(job) as server:
        limits = server.limits()
        recipients = _addressable(job, recipients, limits, failures)
        parts, too_large = _message(job, recipients).split(_limit(job, limits)) if recipients else ([], [])
        for document in too_large:
            detail = f"{document.name} is too large: {document.size:,} bytes; a mail may have {_limit(job, limits):,}"
            failures.append(_unsent_failure(detail))
        refused: dict[str, str] = {}
        written = job.workdir / "message.eml"
        try:
            for part in _unsent_parts(job, parts):
                part.write(written, job.token)
                refused |= server.send(part, written)
                job.progress(part.part, part.of, "messages")
        finally:
            failures += [_unsent_failure(f"{address} was refused: {reply}") for address, reply in refused.items()]


def _addressable(
    job: FilterContext, recipients: tuple[str, ...], limits: ServerLimits, failures: list[FilterFailed]
) -> tuple[str, ...]:
    """Return the recipients whose addresses the mail server supports."""
    if limits.utf8:
        return recipients
    if not job.settings.sender.isascii():
        detail = f"{KEY}.sender is not ASCII, and the mail server does not offer SMTPUTF8"
        raise FilterFailed(FilterReason.INVALID_SMTP_SERVER, detail)
    for address in recipients:
        if not address.isascii():
            failures.append(_unsent_failure(f"{address} is not ASCII, and the mail server does not offer SMTPUTF8"))
    return tuple(filter(str.isascii, recipients))


def _limit(job: FilterContext, limits: ServerLimits) -> int:
    """Return the most bytes of a message: the lower of our limit and that of the mail server."""
    most: int = job.settings.most_bytes
    return min(most, limits.most_bytes or most)


def _message(job: FilterContext, recipients: tuple[str, ...]) -> MailMessage:
    """Return the mail with all documents."""
    settings: Settings = job.settings
    fields = {
        "process": one_line(job.job.process),
        "user": one_line(job.user.name),
        "date": f"{job.job.created:%Y-%m-%d %H:%M} UTC",
    }
    return MailMessage(
        job=job.job.token,
        sender=settings.sender,
        recipients=recipients,
        subject=settings.filled(settings.subject, **fields),
        text=settings.filled(settings.text, **fields),
        date=job.job.created,
        documents=job.all_documents,
    )


def _unsent_parts(job: FilterContext, parts: Sequence[MailMessage]) -> Sequence[MailMessage]:
    """Return the parts that an earlier, crashed run may not have sent: the last one begun, and those after it."""
    begun = list(takewhile(lambda part: job.earlier.get((None, part.destination)) == part.id, parts))
    return parts[max(0, len(begun) - 1) :]


def _unsent_failure(detail: str) -> FilterFailed:
    return FilterFailed(FilterReason.UNABLE_TO_SEND_EMAIL, detail)


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Return the e-mail filter."""
    return [Email()]
