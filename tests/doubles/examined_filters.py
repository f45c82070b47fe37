"""Filters that do what a function says, and the defects that were found in one."""

from __future__ import annotations

from dataclasses import dataclass

from postscan.core.filters.filter import Filter
from postscan.core.filters.parameters import setting
from postscan.plugins.testing.contract import ContractReport
from postscan.plugins.testing.defects import DefectKind


@dataclass(frozen=True)
class Nothing:
    """TestConfig: nothing."""


@dataclass(frozen=True)
class Secretive:
    """A setting that is secret, and a table that may hold one."""

    folder: str = ""
    phrase: str = setting("", secret=True)
    servers: dict = setting({})  # noqa: RUF009  (as authors write it)


class Does(Filter):
    """Do what a test says."""

    dialect = "urn:test:does"
    title = "Does"
    grace = 10.0
    Instructions = Nothing

    def __init__(self, what):
        self.what = what

    def run(self, job, token):
        return self.what(job, token)


class Hurried(Does):
    """One with little time after the cancel."""

    grace = 0.2


class KeepsASecret(Does):
    """One with a secret setting."""

    Settings = Secretive


def kinds(found: ContractReport) -> list[DefectKind]:
    """Return the kinds of the defects of a filter that could be tried."""
    assert found.untried == ""
    return [one.kind for one in found.defects]
