"""The search form of the jobs page: the parameters of its URL to a query, and back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import urlencode

from postscan.core.errors import InvalidArgument
from postscan.core.model.states import JobReason, JobState
from postscan.core.service.administration.listing import JobGroup, JobQuery, SearchCursor

TABS: Final = {"open": JobGroup.OPEN, "attention": JobGroup.FAILED, "ended": JobGroup.ENDED, "all": None}
"""The groups of jobs that the page shows as tabs, by the parameter `tab`."""

TEXTS: Final[tuple[str, ...]] = ("process", "user", "device", "destination", "text")
MOST_CHARACTERS: Final = 512

_FIELDS: Final[tuple[str, ...]] = ("state", "reason", *TEXTS, "from", "to")


class SearchParameter(NamedTuple):
    """One parameter of a URL."""

    name: str
    value: str


@dataclass(slots=True)
class SearchForm:
    """What a URL asks for: the values as they were written, the query that they mean, and an error for a field.

    `query` has only the fields without an error.
    """

    tab: str
    values: dict[str, tuple[str, ...]]
    query: JobQuery
    after: SearchCursor | None
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def narrowing(self) -> list[SearchParameter]:
        """The fields that are filled in, each of which may keep jobs from being found."""
        return [SearchParameter(name, value) for name in _FIELDS for value in self.values.get(name, ())]

    def value(self, name: str) -> str:
        """Return what was written into a field."""
        return next(iter(self.values.get(name, ())), "")

    def url(self, *, tab: str = "", after: SearchCursor | None = None, without: SearchParameter | None = None) -> str:
        """Return the URL of this search, in another tab, behind a job, or without one of its parameters."""
        shown = [one for one in self.narrowing if one != without]
        tab = tab or self.tab
        return path([*([("tab", tab)] if tab != "all" else []), *shown, *([("after", str(after))] if after else [])])


def path(parameters: Sequence[tuple[str, str]]) -> str:
    """Return the URL of the list of jobs with these parameters."""
    return f"/jobs?{urlencode(parameters)}" if parameters else "/jobs"


def read(parameters: Iterable[tuple[str, str]]) -> SearchForm:
    """Return what the parameters of a URL ask for; unknown names are ignored."""
    given: dict[str, tuple[str, ...]] = {}
    for name, value in parameters:
        if value.strip():
            given[name] = (*given.get(name, ()), value.strip())
    values = {name: given[name] for name in _FIELDS if name in given}
    tab = next(iter(given.get("tab", ())), "all")
    errors: dict[str, str] = {}
    if tab not in TABS:
        errors["tab"], tab = "There is no such tab.", "all"
    query = JobQuery(
        states=_states(values, errors),
        reason=_reason(values, errors),
        begin=_moment("from", values, errors),
        end=_moment("to", values, errors),
        group=TABS[tab],
        **{name: _text(name, values, errors) for name in TEXTS},
    )
    return SearchForm(tab, values, query, _after(given, errors), errors)


def _text(name: str, values: Mapping[str, Sequence[str]], errors: dict[str, str]) -> str:
    text = values.get(name, ("",))[0]
    if len(text) > MOST_CHARACTERS or "\0" in text:
        errors[name] = f"At most {MOST_CHARACTERS} characters, none of them NUL."
        return ""
    return text


def _states(values: Mapping[str, Sequence[str]], errors: dict[str, str]) -> tuple[JobState, ...]:
    try:
        return tuple(dict.fromkeys(JobState(one) for one in values.get("state", ())))
    except ValueError:
        errors["state"] = "There is no such state."
        return ()


def _reason(values: Mapping[str, Sequence[str]], errors: dict[str, str]) -> JobReason | None:
    try:
        return JobReason(values["reason"][0]) if "reason" in values else None
    except ValueError:
        errors["reason"] = "There is no such reason."
        return None


def _moment(name: str, values: Mapping[str, Sequence[str]], errors: dict[str, str]) -> datetime | None:
    """Return a date or a time; in UTC unless it has a zone."""
    if name not in values:
        return None
    try:
        found = datetime.fromisoformat(values[name][0])
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        errors[name] = "A date or a time in UTC, as 2026-03-02 or 2026-03-02T09:41."
        return None


def _after(given: Mapping[str, Sequence[str]], errors: dict[str, str]) -> SearchCursor | None:
    try:
        return SearchCursor.parse(given["after"][0]) if "after" in given else None
    except InvalidArgument:
        errors["after"] = "This is no place in the list: begin at its first page."
        return None
