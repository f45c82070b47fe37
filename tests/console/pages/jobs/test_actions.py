"""What can be done with one job: the page that says what will happen, and its form, which does it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from conftest import BORIS
from console_browser import Browser, person
from job_scene import deliver, fail_second, put

from postscan.core.engine import Engine
from postscan.core.model.principal import Role
from postscan.core.model.states import JobState
from postscan.core.service.administration.actions import JobAction

Open = Callable[..., Browser]
OTHER = "S-1-5-21-1-2-3-2002"


def followed(one: Browser, path: str, form: dict[str, str] | None = None) -> str:
    """Send a form, and get the page to which it leads; return its path."""
    location: str = one.post(path, form).headers["location"]
    one.get(location)
    return location


def test_a_job_is_canceled_by_two_clicks_from_the_dashboard(browser: Open, core: Engine) -> None:
    """A link and a button; the page of the job then says that nothing runs any more."""
    token = put(core, "Processing")
    one = browser(Role.OPERATOR)
    one.get("/")
    linked = f'<a href="/jobs/{token}/cancel" data-dialog>Cancel...</a>' in one.page
    one.get(f"/jobs/{token}/cancel")
    asked = core.store.load(token).state
    button = re.search(f'<form method="post" action="/jobs/{token}/cancel">.*?<button', one.page, re.DOTALL)

    location = followed(one, f"/jobs/{token}/cancel")

    assert linked
    assert button
    assert asked is JobState.PROCESSING
    assert location == f"/jobs/{token}"
    assert core.store.load(token).state is JobState.TERMINATING
    assert one.sees("The cancel is stored. Its filters are being stopped; nothing more will be delivered.")


def test_a_cancel_of_a_job_without_a_running_filter_is_its_end(browser: Open, core: Engine) -> None:
    """Its owner may do it, too."""
    token = put(core)
    one = browser(Role.OWNER)

    followed(one, f"/jobs/{token}/cancel")

    assert one.sees("The job is canceled: none of its filters runs any more.")
    assert core.store.load(token).state is JobState.CANCELED


def test_a_cancel_says_what_was_delivered_and_stays(browser: Open, core: Engine) -> None:
    """Before it is done."""
    token = put(core, "Processing")
    deliver(core, token, name="first page.png")
    one = browser(Role.OWNER)

    one.get(f"/jobs/{token}/cancel")

    assert one.sees("1 output was delivered and stays:")
    assert one.sees("first page.png, /srv/scans")


@pytest.mark.parametrize("action", list(JobAction))
def test_a_lost_race_says_how_the_job_ended(browser: Open, core: Engine, action: JobAction) -> None:
    """The job has ended after the page of the form was made; a job without images can be nothing else any more."""
    token = put(core, "Completed")
    core.service.discard(token, person(Role.OPERATOR))
    one = browser(Role.OPERATOR)

    asked = one.get(f"/jobs/{token}/{action}")
    followed(one, f"/jobs/{token}/{action}")

    assert asked.status_code == 409
    assert re.search(r"It had ended already \(Completed, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)", asked.text)
    assert one.sees("It had ended already (Completed, ")


def test_a_retry_is_planned_and_leads_to_the_new_job(browser: Open, core: Engine) -> None:
    """By three clicks from the dashboard at most; the failed job stays as it ended."""
    token = put(core, "Failed")
    one = browser(Role.OPERATOR)
    one.get("/")
    linked = f'<a href="/jobs/{token}/retry" data-dialog>Retry...</a>' in one.page
    one.get(f"/jobs/{token}/retry")
    planned = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", one.page))

    location = followed(one, f"/jobs/{token}/retry", {"from": "2"})

    assert linked
    assert "copy: does not run again (CompletedSuccessfully)" in planned
    assert "sleep: runs again (CompletedWithErrors)" in planned
    new = core.store.load(location.rpartition("/")[2])
    assert (new.state, [step.dialect for step in new.steps]) == (JobState.PENDING, ["urn:acme:sleep"])
    assert one.sees("This is the new job.")
    assert core.store.load(token).state is JobState.ABORTED


def test_a_retry_from_an_earlier_filter_says_what_may_be_delivered_again(browser: Open, core: Engine) -> None:
    """The number is chosen in the page; one that there is not is refused."""
    token = put(core, "Processing")
    deliver(core, token)
    with core.store.change(token) as job:
        fail_second(job)
    one = browser(Role.OPERATOR)

    one.get(f"/jobs/{token}/retry?from=1")

    assert one.sees("It has delivered 1 output already, and may deliver it again.")
    assert 'name="from" value="1"' in one.page
    assert [one.get(f"/jobs/{token}/retry?from={wrong}").status_code for wrong in ("9", "0", "x", "-1")] == [400] * 4


def test_a_job_is_held_and_released(browser: Open, core: Engine) -> None:
    """Each by its page and its form."""
    token = put(core, "Pending")
    one = browser(Role.OPERATOR)
    followed(one, f"/jobs/{token}/hold")
    held = core.store.load(token).state
    followed(one, f"/jobs/{token}/release")

    assert (held, core.store.load(token).state) == (JobState.HELD, JobState.PENDING)
    assert one.sees("The job was released.")


def test_the_images_of_a_job_that_timed_out_become_a_new_job(browser: Open, core: Engine) -> None:
    """The page says so before, and leads there."""
    token = put(core, "TimedOut")
    one = browser(Role.OPERATOR)
    one.get(f"/jobs/{token}/release")
    said = one.sees("The image that came becomes a new job")

    new = followed(one, f"/jobs/{token}/release").rpartition("/")[2]

    assert said
    assert new != token
    assert core.store.load(new).state is JobState.PENDING


def test_the_images_of_a_job_are_discarded(browser: Open, core: Engine) -> None:
    """Then it needs no attention any more."""
    token = put(core, "Failed")
    one = browser(Role.OPERATOR)

    followed(one, f"/jobs/{token}/discard")
    one.get("/")

    assert not core.store.load(token).images_kept
    assert one.sees("No failed job waits for a decision.")


def test_a_job_of_another_is_one_that_does_not_exist(browser: Open, core: Engine) -> None:
    """T-O1: the same page, whatever is asked; and nothing happens to it."""
    token = put(core, by=BORIS, sid=OTHER)
    one = browser(Role.OWNER)
    gets = [(one.get(f"/jobs/{name}{rest}"), rest) for name in (token, "none") for rest in ("", "/cancel", "/support")]
    posts = [one.post(f"/jobs/{name}/cancel") for name in (token, "none")]

    assert {response.status_code for response, _ in gets} | {response.status_code for response in posts} == {404}
    assert len({response.text.replace(token, "none") for response, _ in gets}) == 1
    assert len({response.text.replace(token, "none") for response in posts}) == 1
    assert core.store.load(token).state is JobState.CREATING


def test_the_page_of_a_job_has_the_actions_of_its_state_and_of_who_asks(browser: Open, core: Engine) -> None:
    """No button leads to a refusal."""
    token, failed = put(core, "Pending"), put(core, "Failed")
    found = {}
    for role in Role:
        one = browser(role)
        for name in (token, failed):
            one.get(f"/jobs/{name}")
            found[role, name] = re.findall(rf'class="button [a-z]+" href="/jobs/{name}/(\w+)"', one.page)

    operators = {(role, token): ["cancel", "hold"] for role in (Role.OPERATOR, Role.ADMINISTRATOR)}
    operators |= {(role, failed): ["retry", "discard"] for role in (Role.OPERATOR, Role.ADMINISTRATOR)}
    others = {(role, token): ["cancel"] for role in (Role.OWNER, Role.VIEWER)}
    others |= {(role, failed): [] for role in (Role.OWNER, Role.VIEWER)}
    assert found == operators | others
