"""The e-mail filter: all documents in one mail to everybody whom the scan process names.

A mail is delivered at least once. It has the same Message-ID whenever it is sent, so a mailbox can tell a second copy.
There is one if the answer to the last dot was lost, or if the worker died between the dot and the server's record:
`job.earlier` names what was *about* to be sent, and whether the dot was answered nobody knows. A part with a later
part behind it was sent for certain, since leave for the next is asked only after; such a part is not sent again.

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
from postscan.plugins.filters.email.connection import Offer
from postscan.plugins.filters.email.message import MailMessage, one_line
from postscan.plugins.filters.email.server import MailServer
from postscan.plugins.filters.email.settings import KEY, Settings

NAMESPACE = "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/email"

SOON: Final = 4.0  # seconds for an answer of the mail server when we only look


@dataclass(frozen=True)
class Instructions:
    """EmailConfig: who gets the documents."""

    send_to_scan_user: bool = element("SendToScanUser", default=False, help="send to the user of the job as well")
    addresses: tuple[str, ...] = element("SendToAddresses/EmailAddress", default=(), help="one who gets the documents")


class Email(Filter):
    """Send all documents as attachments of one mail to everybody whom the scan process names."""

    dialect = NAMESPACE
    title = "E-mail"
    Instructions = Instructions
    Settings = Settings

    def diagnose(self, job: FilterContext) -> Iterable[str]:
        """Look at the addresses, and go as far with the mail server as without a mail: TLS, log in, goodbye."""
        failures: list[FilterFailed] = []
        _recipients(replace(job, instructions=replace(job.instructions, send_to_scan_user=False)), failures)
        try:
            _greet(job)
        except FilterFailed as failure:
            failures.append(failure)
        return [failure.detail for failure in failures]

    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Send to everybody who can be sent to; then tell of the others."""
        failures: list[FilterFailed] = []
        recipients = _recipients(job, failures)
        if not recipients and not failures:
            return FilterResult(("the scan process names no EmailAddress: nothing was sent",))
        if not job.all_documents:
            return FilterResult(("there is no document: nothing was sent",))
        if recipients:
            try:
                _send(job, recipients, failures)
            except FilterFailed as failure:
                failures.append(failure)
        if failures:
            raise FilterFailed.of(failures)
        return None


def _greet(job: FilterContext) -> None:
    """Let the mail server let us in, once and soon; raise `FilterFailed` if it does not."""
    settings: Settings = job.settings
    if settings.missing:
        raise FilterFailed(FilterReason.INVALID_SMTP_SERVER, settings.missing)
    with MailServer(replace(job, settings=replace(settings, tries=1, seconds=min(settings.seconds, SOON)))) as server:
        server.offer()


def _recipients(job: FilterContext, failures: list[FilterFailed]) -> tuple[str, ...]:
    """Return whom the scan process names, each once; note who cannot be sent to, and why."""
    wanted = list(job.instructions.addresses)
    if job.instructions.send_to_scan_user:
        if is_address(job.user.mail):
            wanted.append(job.user.mail)
        else:
            detail = f"the user {job.user.name} has no mail address that can be used; expected one in [users]"
            failures.append(FilterFailed(FilterReason.UNABLE_TO_SEND_EMAIL, detail))
    allowed = job.settings.domains
    good: dict[str, str] = {}
    for address in wanted:
        if not is_address(address):
            failures.append(_invalid(f"{address!r} is no mail address; expected {EXPECTED}"))
        elif allowed and domain_of(address) not in allowed:
            failures.append(_invalid(f"{address}: mails to this domain are not allowed; see {KEY}.allowed_domains"))
        else:
            good.setdefault(address.lower(), address)
    return tuple(good.values())


def _invalid(detail: str) -> FilterFailed:
    return FilterFailed(FilterReason.INVALID_ARGS, detail)


def _send(job: FilterContext, recipients: tuple[str, ...], failures: list[FilterFailed]) -> None:
    """Send all messages of the job; note which documents and which recipients could not be served."""
    if job.settings.missing:
        raise FilterFailed(FilterReason.INVALID_SMTP_SERVER, job.settings.missing)
    with MailServer(job) as server:
        offer = server.offer()
        recipients = _readable(job, recipients, offer, failures)
        parts, too_large = _message(job, recipients).split(_limit(job, offer)) if recipients else ([], [])
        for document in too_large:
            detail = f"{document.name} is too large: {document.size:,} bytes; a mail may have {_limit(job, offer):,}"
            failures.append(_unsent(detail))
        refused: dict[str, str] = {}
        written = job.workdir / "message.eml"
        try:
            for part in _left(job, parts):
                part.write(written, job.token)
                refused |= server.send(part, written)
                job.progress(part.part, part.of, "messages")
        finally:
            failures += [_unsent(f"{address} was refused: {words}") for address, words in refused.items()]


def _readable(
    job: FilterContext, recipients: tuple[str, ...], offer: Offer, failures: list[FilterFailed]
) -> tuple[str, ...]:
    """Return the recipients whose addresses the mail server can read."""
    if offer.utf8:
        return recipients
    if not job.settings.sender.isascii():
        detail = f"{KEY}.sender is not ASCII, and the mail server does not offer SMTPUTF8"
        raise FilterFailed(FilterReason.INVALID_SMTP_SERVER, detail)
    for address in recipients:
        if not address.isascii():
            failures.append(_unsent(f"{address} is not ASCII, and the mail server does not offer SMTPUTF8"))
    return tuple(filter(str.isascii, recipients))


def _limit(job: FilterContext, offer: Offer) -> int:
    """Return the most bytes of a message: ours, or the mail server's if that is less."""
    most: int = job.settings.most_bytes
    return min(most, offer.most_bytes or most)


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


def _left(job: FilterContext, parts: Sequence[MailMessage]) -> Sequence[MailMessage]:
    """Return the parts that an earlier, crashed run may not have sent: from the last one that it began with."""
    begun = list(takewhile(lambda part: job.earlier.get((None, part.destination)) == part.id, parts))
    return parts[max(0, len(begun) - 1) :]


def _unsent(detail: str) -> FilterFailed:
    return FilterFailed(FilterReason.UNABLE_TO_SEND_EMAIL, detail)


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Bring the e-mail filter."""
    return [Email()]
