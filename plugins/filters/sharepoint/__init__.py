"""The SharePoint filter: every document, unchanged, into the user's folder in every library.

Source: scan-process.md sections 6.3 and 6.4.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

from postscan.plugins import (
    CancellationToken,
    Filter,
    FilterContext,
    FilterFailed,
    FilterReason,
    FilterResult,
    element,
    hookimpl,
    setting,
)
from postscan.plugins.filters.sharepoint import graph, webdav
from postscan.plugins.filters.sharepoint.delivery import Address, LibraryDelivery
from postscan.plugins.http_client import check_reachable

NAMESPACE: Final = "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/sharepoint"
MY_SITE: Final = "MySite"
"""The destination that the server records for a user's own library."""

_KINDS: Final[Mapping[str, type[webdav.WebDavSite] | type[graph.GraphSite]]] = {
    "webdav": webdav.WebDavSite,
    "online": graph.GraphSite,
}
_KEY: Final = "filters.sharepoint.sites"
_EXPECTED: Final = {str: "a text", bool: "true or false", float: "a number of seconds above 0"}

Site = webdav.WebDavSite | graph.GraphSite
Backend = webdav.WebDavBackend | graph.GraphBackend


@dataclass(frozen=True)
class Instructions:
    """SharePointConfig: the libraries to which every document is delivered."""

    save_to_my_site: bool = element("SaveToMySite", default=False, help="also into the user's own library")
    site_urls: tuple[str, ...] = element(
        "SaveToSharePointSites/SaveToSharePointSiteURL", default=(), longest=2048, help="a library: https://host/path"
    )


@dataclass(frozen=True)
class Settings:
    """`[filters.sharepoint]`: the sites that may be written to, with their credentials."""

    sites: Mapping[str, Mapping[str, Any]] = setting({}, help="tables by URL prefix, each with a kind", secret=True)
    my_site: str = setting("", help="a user's own library: its URL with {user}, {account} or {personal} in it")

    def __post_init__(self) -> None:
        """Raise `ValueError` for settings that cannot be used."""
        _ = self.by_prefix
        if self.my_site:
            try:
                self._validate_my_site()
            except ValueError as error:
                raise ValueError(f"filters.sharepoint.my_site = {self.my_site!r}: {error}") from None

    def _validate_my_site(self) -> None:
        if re.search(r"[{}]", self.own_library("user@example")):
            raise ValueError("a word in braces is none of {user}, {account} and {personal}")
        library = Address.parse(self.own_library("user@example"))
        if library == Address.parse(self.own_library("other@example")):
            raise ValueError("the same for every user; expected {user}, {account} or {personal} in it")
        if self.site_of(library) is None:
            raise ValueError(f"no entry of {_KEY} covers it")

    @cached_property
    def by_prefix(self) -> dict[Address, Site]:
        """The sites by their parsed prefixes, the longest first."""
        if not isinstance(self.sites, Mapping):
            raise ValueError(f"{_KEY}: expected tables by URL prefix")  # noqa: TRY004  (a bad setting is a ValueError, whatever its type)
        found: dict[Address, Site] = {}
        for prefix, entry in self.sites.items():
            try:
                address = Address.parse(prefix)
                site = _site(entry)
                site.validate(address)
            except ValueError as error:
                raise ValueError(f"{_KEY}.{prefix!r}: {error}") from None
            if address in found:
                raise ValueError(f"{_KEY}.{prefix!r}: it appears twice; upper and lower case of a host are the same")
            found[address] = site
        return dict(sorted(found.items(), key=lambda item: -len(item[0].parts)))

    def site_of(self, library: Address) -> Address | None:
        """Return the longest prefix that covers *library*; None if there is none."""
        return next((prefix for prefix in self.by_prefix if prefix.covers(library)), None)

    def own_library(self, user: str) -> str:
        """Return the URL of a user's own library, from a name such as `anna@fabrikam.example`."""
        personal = re.sub(r"[^A-Za-z0-9]", "_", user)
        account = user.partition("@")[0]
        url = self.my_site
        for name, word in (("user", user), ("account", account), ("personal", personal)):
            url = url.replace(f"{{{name}}}", quote(word, safe=""))
        return url


class SharePoint(Filter):
    """Put every document into the folder `user@domain` in every library that the scan process names."""

    dialect = NAMESPACE
    title = "SharePoint"
    Instructions = Instructions
    Settings = Settings

    def diagnose(self, job: FilterContext) -> Iterable[str]:
        """Check that a site covers each library and that its hosts can be reached; there is no login."""
        failures: dict[str, FilterFailed] = {}
        for library, destination in _libraries(job, failures).items():
            try:
                for url, ca_file in _hosts(job.settings, library):
                    check_reachable(url, ca_file)
            except FilterFailed as failure:
                failures[destination] = failure
        return [_with_destination(destination, failure).detail for destination, failure in failures.items()]

    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Try every library for every document; one that failed once is not tried again."""
        if not job.instructions.site_urls and not job.instructions.save_to_my_site:
            return FilterResult(("the scan process names no library: nothing was delivered",))
        failures: dict[str, FilterFailed] = {}
        with ExitStack() as opened:
            backends = _Backends(job, opened)
            libraries = _libraries(job, failures)
            for document in job.documents:
                for library, destination in libraries.items():
                    if destination in failures:
                        continue
                    try:
                        backends.deliver(LibraryDelivery(job, document, destination, library))
                    except FilterFailed as failure:
                        failures[destination] = failure
        if failures:
            raise FilterFailed.of(
                [_with_destination(destination, failure) for destination, failure in failures.items()]
            )
        return None


class _Backends:
    """The backend of each site, opened for the first document that needs it."""

    def __init__(self, job: FilterContext, opened: ExitStack) -> None:
        self._job = job
        self._opened = opened
        self._backends: dict[Address, Backend] = {}

    def deliver(self, delivery: LibraryDelivery) -> None:
        """Deliver one document to its library; an address that no site covers is never called."""
        settings = self._job.settings
        prefix = settings.site_of(delivery.library)
        if prefix is None:
            raise FilterFailed(detail=f"no site covers it; add it to {_KEY}")
        if prefix not in self._backends:
            self._backends[prefix] = settings.by_prefix[prefix].open_backend(self._job, prefix, self._opened)
        self._backends[prefix].deliver(delivery)


def _libraries(job: FilterContext, failures: dict[str, FilterFailed]) -> dict[Address, str]:
    """Return each library once, with the name of its destination; add a failure for each that is invalid."""
    wanted = [(url, url) for url in job.instructions.site_urls]
    if job.instructions.save_to_my_site:
        if job.settings.my_site:
            wanted.append((MY_SITE, job.settings.own_library(job.user.name)))
        else:
            failures[MY_SITE] = FilterFailed(detail="its URL is not configured; set filters.sharepoint.my_site")
    found: dict[Address, str] = {}
    for destination, url in wanted:
        try:
            found.setdefault(Address.parse(url), destination)
        except ValueError as error:
            failures[destination] = FilterFailed(FilterReason.INVALID_ARGS, str(error))
    return found


def _hosts(settings: Settings, library: Address) -> list[tuple[str, str]]:
    """Return a URL on each host that a delivery to *library* calls, each with the file of its accepted CAs."""
    prefix = settings.site_of(library)
    if prefix is None:
        raise FilterFailed(detail=f"no site covers it; add it to {_KEY}")
    site = settings.by_prefix[prefix]
    urls = [site.authority, site.graph] if isinstance(site, graph.GraphSite) else [prefix.url]
    return [(url, site.ca_file) for url in urls]


def _with_destination(destination: str, failure: FilterFailed) -> FilterFailed:
    """Return the failure with its destination in front."""
    reason, *more = failure.reasons
    return FilterFailed(reason, f"{destination}: {failure.detail}", *more)


def _site(entry: object) -> Site:
    """Return an entry of `sites`, whose values have the right types; raise `ValueError` for anything else."""
    if not isinstance(entry, Mapping):
        raise ValueError('expected a table with kind = "webdav" or kind = "online"')  # noqa: TRY004  (a bad setting is a ValueError, whatever its type)
    kind: type[Site] | None = _KINDS.get(str(entry.get("kind", "")))
    if kind is None:
        raise ValueError(f"kind is {entry.get('kind')!r}; expected one of {', '.join(_KINDS)}")
    known = {field.name: type(field.default) for field in dataclasses.fields(kind)}
    values = {key: value for key, value in entry.items() if key != "kind"}
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"there is no setting {key!r}; there are: {', '.join(sorted(known))}")
        if not _fits(value, known[key]):
            raise ValueError(
                f"{key} has an invalid value; expected {_EXPECTED[known[key]]}"
            )  # without the value, which may be a secret
    return kind(**values)


def _fits(value: object, wanted: type) -> bool:
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    return isinstance(value, wanted)


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Return the SharePoint filter."""
    return [SharePoint()]
