"""Which destination a recipient names: the part before the @ is its id or its label, or the settings name one.

    [sources.mail.recipients]
    "invoices@scan.example" = "Invoices (Ann)"
    letters = "Letters"

A label is written as devices can enter it: "Rechnungen (Büro)" is `rechnungen-buro`. A label that two destinations
share, or that has no Latin letter or digit, can be named by an id or by the settings only.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from postscan.plugins.sources.smtp.replies import UNKNOWN, Rejected


class Labelled(Protocol):
    """A destination as a source sees it."""

    @property
    def id(self) -> str:
        """Its random and stable name."""

    @property
    def label(self) -> str:
        """What people call it."""


class Recipients:
    """The addresses of the inlet, and the id of the destination that each stands for."""

    def __init__(self, destinations: Sequence[Labelled], named: Mapping[str, str], domains: Sequence[str] = ()) -> None:
        """Take the destinations of the inlet, names from the settings, and the domains; none means every domain."""
        self._domains = frozenset(domain.lower() for domain in domains)
        self._ids: dict[str, str] = {}
        self.problems: list[str] = []
        by_label = defaultdict(list)
        for one in destinations:
            by_label[address_form(one.label)].append(one.id)
        for form, ids in by_label.items():
            if form and len(ids) == 1:
                self._ids[form] = ids[0]
        self._ids |= {one.id.lower(): one.id for one in destinations}
        self.problems += _unnamed(destinations, by_label, named)
        for recipient, wanted in named.items():
            found = {one.id for one in destinations if wanted in (one.id, one.label)}
            if len(found) == 1:
                self._ids[recipient.lower()] = found.pop()
            else:
                many = "several destinations are" if found else "no destination of this inlet is"
                self.problems.append(f"recipients.{recipient}: {many} named {wanted!r}")

    def destination(self, address: str) -> str:
        """Return the id of the destination of a recipient; raise `Rejected` if there is none."""
        folded = address.lower()
        local, at, domain = folded.rpartition("@")
        found = self._ids.get(folded)
        if found is None and (not at or not self._domains or domain in self._domains):
            found = self._ids.get((local if at else domain).strip('"'))
        if found is None:
            raise Rejected(UNKNOWN, f"{address} is no destination of this server")
        return found


def address_form(label: str) -> str:
    """Return a label as the local part of an address: lower case Latin letters and digits, joined by hyphens."""
    plain = unicodedata.normalize("NFKD", label.replace("ß", "ss"))
    return "-".join(re.findall(r"[a-z0-9]+", "".join(c for c in plain if not unicodedata.combining(c)).lower()))


def _unnamed(
    destinations: Sequence[Labelled], by_label: Mapping[str, Sequence[str]], named: Mapping[str, str]
) -> Iterator[str]:
    """Yield a sentence for each destination that has neither a label of its own nor a name in the settings."""
    for one in destinations:
        form = address_form(one.label)
        if (not form or len(by_label[form]) > 1) and not {one.id, one.label} & set(named.values()):
            yield f"the label {one.label!r} gives no address of its own; expected a name for it in recipients"
