"""In continuous integration (`CI=true`) a skipped test is a failure: what was left out was not tested."""

from __future__ import annotations

import os

import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session that went well but for tests that did not run."""
    if session.exitstatus == pytest.ExitCode.OK and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the tests that did not run."""
    skipped = _skipped(config)
    if skipped:
        terminalreporter.section("CI=true: skipped tests are failures", red=True)
        for one in skipped:
            terminalreporter.line(one)


def _skipped(config: pytest.Config) -> list[str]:
    """Return each skipped test with its reason; none outside of continuous integration, and in a worker of xdist."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None:
        return []
    return [f"{report.nodeid}: {_reason(report)}" for report in reporter.stats.get("skipped", [])]


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
