"""The file share filter: every document, unchanged, into the user's folder on every share.

A share is a folder of this machine, or one on an SMB server that the administrator has configured.

Source: scan-process.md sections 6.1 and 6.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from postscan.plugins import (
    CancellationToken,
    Document,
    Filter,
    FilterContext,
    FilterFailed,
    FilterReason,
    FilterResult,
    Shares,
    element,
    hookimpl,
    setting,
)
from postscan.plugins.filters.fileshare.servers import Servers, SmbDestination
from postscan.plugins.filters.fileshare.smb import Deliveries, check_reachable

NAMESPACE = "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/fileshare"


@dataclass(frozen=True)
class Instructions:
    """FileShareConfig: the shares to which every document is delivered."""

    share_uncs: tuple[str, ...] = element("FileShares/ShareUNC", default=(), help=r"a share: \\server\share[\folder]")

    @property
    def destinations(self) -> list[str]:
        """The shares in their order, each once."""
        return list({unc.rstrip("\\").casefold(): unc for unc in self.share_uncs}.values())


@dataclass(frozen=True)
class Settings:
    """`[filters.fileshare]`: where the shares of scan processes are."""

    shares: Mapping[str, str] = setting({}, help="folders on this machine by UNC prefix")
    servers: Mapping[str, Any] = setting({}, help="SMB servers by name: user, password ...", secret=True)

    def __post_init__(self) -> None:
        """Raise `ValueError` for a table that cannot be used."""
        _ = self.mapped, self.known_servers

    @cached_property
    def mapped(self) -> Shares:
        """The shares that are folders, parsed."""
        return Shares(self.shares, "filters.fileshare.shares")

    @cached_property
    def known_servers(self) -> Servers:
        """The servers, parsed."""
        return Servers(self.servers, "filters.fileshare.servers")

    def remote(self, unc: str) -> SmbDestination | None:
        """Return the destination of *unc* on a server; None if it is a folder, or unknown."""
        try:
            self.mapped.find(unc)
        except FilterFailed as failure:
            if FilterReason.INVALID_ARGS not in failure.reasons and not self._is_mapped(unc):
                return self.known_servers.find(unc)
        return None

    def _is_mapped(self, unc: str) -> bool:
        """Return whether *unc* is mapped to a folder, which may be missing at the moment."""
        return any(_as_prefix(unc).startswith(_as_prefix(prefix)) for prefix in self.shares)


class FileShare(Filter):
    """Put every document into the folder `user@domain` on every share that the scan process names."""

    dialect = NAMESPACE
    title = "File share"
    Instructions = Instructions
    Settings = Settings

    def diagnose(self, job: FilterContext) -> Iterable[str]:
        """Check each destination: write a hidden file to a folder; log on to a server and look for the folders."""
        for unc in job.instructions.destinations:
            try:
                remote = job.settings.remote(unc)
                if remote is None:
                    job.settings.mapped.probe(unc)
                else:
                    check_reachable(remote)
            except FilterFailed as failure:
                yield failure.detail

    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Try every destination for every document; a destination that failed once is not tried again."""
        destinations = job.instructions.destinations
        if not destinations:
            return FilterResult(("the scan process names no ShareUNC: nothing was delivered",))
        failures: dict[str, FilterFailed] = {}
        with Deliveries(job) as deliveries:
            for document in job.documents:
                for unc in destinations:
                    if unc not in failures:
                        try:
                            _deliver(job, document, unc, deliveries)
                        except FilterFailed as failure:
                            failures[unc] = failure
        if failures:
            raise FilterFailed.of(list(failures.values()))
        return None


def _deliver(job: FilterContext, document: Document, unc: str, deliveries: Deliveries) -> None:
    """Deliver one document to one destination, a folder or an SMB server."""
    remote = job.settings.remote(unc)
    if remote is None:
        job.settings.mapped.deliver(job, document, unc)
    else:
        deliveries.deliver(document, remote)


def _as_prefix(unc: str) -> str:
    """Return a UNC path in a form that can be compared as a prefix."""
    return unc.rstrip("\\").casefold() + "\\"


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Return the file share filter."""
    return [FileShare()]
