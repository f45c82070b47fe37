"""The health at the API: what the doctor has found, for those who see all jobs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from api_client import ApiClient
from works import until

from postscan.core.engine import Engine
from postscan.core.model.principal import Role
from postscan.doctor import examination

Api = Callable[..., ApiClient]


def test_findings_are_said_as_the_command_line_says_them(api: Api, core: Engine) -> None:
    """Those about this machine at once; the others are checked on request, and have their time then."""
    client = api(Role.OPERATOR)
    before = client.get("/health").json()
    begun = client.post("/health/check")
    until(lambda: client.get("/health").json()["checked"], "for the checks to end")
    after = client.get("/health").json()

    checks = [one.as_json()["check"] for one in examination.examine_machine(core.settings)]
    assert [one["check"] for one in before["findings"]] == checks
    assert all(one.keys() == {"check", "verdict", "sentence", "fix"} for one in before["findings"])
    assert (before["checked"], before["running"], begun.status_code, after["running"]) == (None, False, 202, False)


@pytest.mark.parametrize(("role", "statuses"), [(Role.OWNER, (403, 403)), (Role.VIEWER, (200, 403))])
def test_each_role_does_what_it_may(api: Api, role: Role, statuses: tuple[int, int]) -> None:
    client = api(role)

    assert (client.get("/health").status_code, client.post("/health/check").status_code) == statuses
