"""The list of jobs: who sees which, the search form, pages, and an action on several jobs."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from conftest import BORIS
from console_browser import Browser
from job_scene import put

from postscan.console.pages.jobs import found
from postscan.core.engine import Engine
from postscan.core.model.principal import Role
from postscan.core.model.states import JobState
from postscan.core.service.administration import listing
from postscan.core.store.database import pages

Open = Callable[..., Browser]
OTHER = "S-1-5-21-1-2-3-2002"


def listed(one: Browser) -> list[str]:
    """Return the tokens of the jobs in the last page, in their order."""
    return re.findall(r'<tr id="row-([^"]+)"', one.page)


def test_each_sees_the_jobs_that_are_theirs_to_see(browser: Open, core: Engine) -> None:
    """Owners their own, newest first, also at first, without boxes; who may see all jobs, all of them."""
    mine, other = put(core), put(core, by=BORIS, sid=OTHER)
    owner, viewer, operator = browser(Role.OWNER), browser(Role.VIEWER), browser(Role.OPERATOR)
    for one, expected in ((owner, [mine]), (viewer, [other, mine]), (operator, [other, mine])):
        one.get("/jobs")
        assert listed(one) == expected
    owner.get("/")

    assert listed(owner) == [mine]
    assert 'type="checkbox"' not in owner.page + viewer.page
    assert operator.page.count('type="checkbox"') == 2


def test_the_fields_of_the_form_narrow_the_list(browser: Open, core: Engine) -> None:
    """The form shows what was asked for; tabs and pages keep it."""
    wanted, _ = put(core, "Failed", name="Contract"), put(core, "Failed")
    one = browser(Role.VIEWER)

    one.get("/jobs?tab=attention&text=contract&state=Aborted")

    assert listed(one) == [wanted]
    assert 'name="text" type="text" value="contract"' in one.page
    assert "<option selected>Aborted</option>" in one.page
    assert 'href="/jobs?tab=open&amp;state=Aborted&amp;text=contract"' in one.page


def test_a_search_without_a_hit_names_what_narrows(browser: Open, core: Engine) -> None:
    """Each field with a link that leaves it out."""
    put(core)
    one = browser(Role.VIEWER)

    one.get("/jobs?text=nowhere&state=Creating")

    assert one.sees("No jobs found.")
    assert 'href="/jobs?text=nowhere"' in one.page
    assert 'href="/jobs?state=Creating"' in one.page


def test_without_any_job_the_list_says_so(browser: Open) -> None:
    """And has no link to clear a search that was not made."""
    one = browser(Role.OWNER)

    assert one.get("/jobs").status_code == 200
    assert one.sees("No jobs found.")
    assert "narrowed" not in one.page


def test_what_cannot_be_meant_is_shown_at_its_field(browser: Open, core: Engine) -> None:
    """And no job is shown, as if the field had been left out."""
    put(core)
    one = browser(Role.VIEWER)

    assert one.get("/jobs?from=soon").status_code == 400
    assert listed(one) == []
    assert 'aria-invalid="true" aria-describedby="from-wrong"' in one.page
    assert one.sees("A date or a time in UTC")


def test_a_long_list_has_pages(browser: Open, core: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each leads to the next one, and none has a job twice."""
    tokens = [put(core) for _ in range(3)]
    monkeypatch.setattr(found, "FOUND", 2)
    one = browser(Role.VIEWER)
    one.get("/jobs?text=invoice")
    first = listed(one)
    [following] = re.findall(r'<a href="([^"]+)" rel="next">', one.page)

    one.get(following.replace("&amp;", "&"))

    assert [*first, *listed(one)] == tokens[::-1]
    assert 'rel="next"' not in one.page
    assert 'href="/jobs?text=invoice"' in one.page


def test_a_search_that_takes_long_says_how_far_it_came(
    browser: Open, core: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on from there."""
    put(core, name="Contract")
    put(core)
    monkeypatch.setattr(listing, "SECONDS", 0)
    monkeypatch.setattr(pages, "PART", 1)
    one = browser(Role.VIEWER)

    one.get("/jobs?text=contract")

    assert listed(one) == []
    assert one.sees("Searched back to")
    assert re.search(r'<a href="/jobs\?text=contract&amp;after=[^"]+">Go on</a>', one.page)


# --- several jobs at once --------------------------------------------------------------------------------------------


def test_several_jobs_are_canceled_after_a_confirmation(browser: Open, core: Engine) -> None:
    """The first form changes nothing; then those that had ended are counted, and the list is the one from before."""
    tokens = [put(core), put(core), put(core, "Completed")]
    one = browser(Role.OPERATOR)
    form = {"job": tokens, "action": "cancel", "back": "tab=open&text=a%26b"}

    asked = one.post("/jobs", form)
    before = {core.store.load(token).state for token in tokens}
    done = one.post("/jobs", form | {"confirmed": "yes"})
    one.get("/jobs")

    assert (asked.status_code, before) == (200, {JobState.CREATING, JobState.COMPLETED})
    assert all(f'name="job" value="{token}"' in asked.text for token in tokens)
    assert (done.status_code, done.headers["location"]) == (303, "/jobs?tab=open&text=a%26b")
    assert one.sees("2 canceled, 1 had ended or changed before.")
    assert [core.store.load(token).state for token in tokens] == [
        JobState.CANCELED,
        JobState.CANCELED,
        JobState.COMPLETED,
    ]


@pytest.mark.parametrize(
    ("action", "ways", "sentence"),
    [
        ("hold", ["Pending", "Creating"], "1 held, 1 had ended or changed before."),
        ("release", ["Pending-Held", "TimedOut"], "2 released."),
        ("retry", ["Failed", "Completed"], "1 retried, 1 had ended or changed before."),
        ("discard", ["Failed", "Completed"], "2 discarded."),
    ],
)
def test_each_action_can_be_done_with_several_jobs(
    browser: Open, core: Engine, action: str, ways: list[str], sentence: str
) -> None:
    """One that its state does not allow keeps none of the others from it."""
    one = browser(Role.OPERATOR)

    one.post("/jobs", {"job": [put(core, way) for way in ways], "action": action, "confirmed": "yes"})
    one.get("/jobs")

    assert one.sees(sentence)


def test_a_form_changes_a_bounded_number_of_jobs(browser: Open) -> None:
    """One job more is refused, and so is an action that there is not; none is no error."""
    one = browser(Role.OPERATOR)
    many = [f"job-{number}" for number in range(found.MOST_AT_ONCE + 1)]

    assert one.post("/jobs", {"job": many, "action": "cancel"}).status_code == 400
    assert one.post("/jobs", {"job": many[:1], "action": "remove"}).status_code == 400
    assert one.post("/jobs", {"action": "cancel"}).headers["location"] == "/jobs"
    one.get("/jobs")
    assert one.sees("no job was chosen")


def test_a_form_ends_before_its_thread_is_held_for_long(
    browser: Open, core: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left is counted, and stays as it is."""
    monkeypatch.setattr(found, "SECONDS", 0)
    token = put(core)
    one = browser(Role.OPERATOR)

    one.post("/jobs", {"job": [token], "action": "cancel", "confirmed": "yes"})
    one.get("/jobs")

    assert one.sees("0 canceled, 1 left as they are")
    assert core.store.load(token).state is JobState.CREATING
