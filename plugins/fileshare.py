"""The file share filter: every document, unchanged, into the user's folder on every share.

Source: scan-process digest, sections 6.1 and 6.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from lxml import etree

from postscan.plugins import (
    CancellationToken,
    Filter,
    FilterContext,
    FilterFailed,
    FilterReason,
    FilterResult,
    Shares,
    hookimpl,
)

NAMESPACE = "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/fileshare"


@dataclass(frozen=True)
class Settings:
    """`[filters.fileshare]`: `shares` maps UNC prefixes to folders."""

    shares: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a table that cannot be used, before any job needs it."""
        _ = self.mapped

    @cached_property
    def mapped(self) -> Shares:
        """The same, ready for use."""
        return Shares(self.shares, "filters.fileshare.shares")


class FileShare(Filter):
    """Put every document into the folder `user@domain` on every share that the scan process names."""

    dialect = NAMESPACE
    title = "File share"
    Settings = Settings

    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Try every destination for every document; a destination that failed once is not tried again."""
        destinations = share_uncs(job.instructions)
        if not destinations:
            return FilterResult(("the scan process names no ShareUNC: nothing was delivered",))
        failures: dict[str, FilterFailed] = {}
        for document in job.documents:
            for unc in destinations:
                if unc in failures:
                    continue
                try:
                    job.settings.mapped.deliver(job, document, unc)
                except FilterFailed as failure:
                    failures[unc] = failure
        if failures:
            raise FilterFailed.of(list(failures.values()))
        return None


def share_uncs(instructions: bytes) -> list[str]:
    """Return the ShareUNC values of a FileShareConfig in their order, each share once."""
    try:
        config = etree.fromstring(instructions, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise FilterFailed(FilterReason.INVALID_ARGS, f"FileShareConfig is not well-formed: {error}") from None
    if config.tag != f"{{{NAMESPACE}}}FileShareConfig":
        raise FilterFailed(FilterReason.INVALID_ARGS, f"{config.tag!r}: expected FileShareConfig of {NAMESPACE}")
    path = f"{{{NAMESPACE}}}FileShares/{{{NAMESPACE}}}ShareUNC"
    values = [(share.text or "").strip() for share in config.iterfind(path)]
    return list({value.rstrip("\\").casefold(): value for value in values}.values())


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Bring the file share filter."""
    return [FileShare()]
