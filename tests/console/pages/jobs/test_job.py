"""The page of a job: its timeline, receipts and deliveries, its log, and the text for a supporter."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from console_browser import Browser
from job_scene import HOSTILE, WAYS, deliver, note, put, write_line
from works import SID, Works

from postscan.core.engine import Engine
from postscan.core.model.job import Job, JobTurn, Receipt, RunStatus
from postscan.core.model.principal import Role, User
from postscan.core.model.states import FilterVerb
from postscan.plugins.testing.runner import EXAMPLE_TIME

Open = Callable[..., Browser]


def shown(one: Browser) -> str:
    """Return the text of the last page with single spaces."""
    return " ".join(re.sub(r"<[^>]*>", " ", one.page).split())


@pytest.mark.parametrize("way", WAYS)
def test_a_job_has_a_page_in_each_state(browser: Open, core: Engine, way: str) -> None:
    """So have the list and the dashboard."""
    token = put(core, way)
    state = core.store.load(token).state
    for role in (Role.OWNER, Role.ADMINISTRATOR):
        one = browser(role)
        for path in (f"/jobs/{token}", "/jobs", "/"):
            assert one.get(path).status_code == 200
            if path != "/":
                assert re.search(rf'<span class="badge badge-{state.lower()}">{state}</span>', one.page)


def test_the_page_of_a_job_that_ran_shows_receipts_and_deliveries(browser: Open, works: Works) -> None:
    """What the server observed of each filter, and when each output was granted."""
    token = works.start("copy", "fail acme:torn")
    works.ended(token)
    one = browser(Role.OWNER)

    one.get(f"/jobs/{token}")

    text = shown(one)
    assert re.search(
        r"1 copy from .* for .* completed, [\d.]+ s completed, \d+ token checks, longest gap 0\.\d+ s", text
    )
    assert "1 output delivered" in text
    assert re.search(r"2 fail from .* failed, [\d.]+ s acme:torn", text)
    [name] = works.delivered()
    row = re.search(rf"<tr><td>1</td><td>1</td><td>.*?{re.escape(name)}.*?</tr>", one.page, re.DOTALL)
    assert row
    assert "<time" in row[0]


def test_what_a_device_did_not_offer_stands_beside_its_pages(browser: Open, core: Engine) -> None:
    """Also for the user of the job: the row *receiving* has the notes of its source."""
    token = put(core)
    note(core, token, "the color mode Grayscale8 in place of RGB24", "150 dpi in place of 300 dpi")
    one = browser(Role.OWNER)
    one.get(f"/jobs/{token}")

    assert re.search(
        r"receiving from .* 1 image, [\d.]+ m?s the color mode Grayscale8 in place of RGB24 150 dpi in place of 300",
        shown(one),
    )


def test_a_cancel_is_drawn_with_its_receipts(browser: Open, works: Works) -> None:
    """When it was stored, and after how long the filter had stopped."""
    token = works.start("sleep 60")
    works.await_trace(token, "sleep")
    one = browser(Role.OWNER)

    one.post(f"/jobs/{token}/cancel")
    works.ended(token)
    one.get(f"/jobs/{token}")

    text = shown(one)
    assert re.search(r"canceling from .* stored \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC , stopped after [\d.]+ s", text)
    assert re.search(r"stopped, \d+ token checks, longest gap [\d.]+ s, stopped [\d.]+ s after the cancel", text)


def test_a_run_that_died_has_a_row_of_its_own(browser: Open, core: Engine) -> None:
    """With the run after it."""
    token = put(core, "Again")
    one = browser(Role.OWNER)

    one.get(f"/jobs/{token}")

    assert "1 copy run 1" in shown(one)
    assert "died: it ended without a report, and was started again" in shown(one)
    assert "1 copy run 2" in shown(one)


def hostile(job: Job) -> None:
    """Let a job have hostile texts wherever a device or a filter may write one."""
    job.end(EXAMPLE_TIME)
    job.claim(EXAMPLE_TIME)
    job.start(0, EXAMPLE_TIME)
    job.report(
        0, FilterVerb.FAIL, EXAMPLE_TIME, (HOSTILE,), HOSTILE + "x" * 10_000, receipt=Receipt(RunStatus.FAILED, 1, 0.1)
    )
    job.finish(EXAMPLE_TIME)


def test_texts_of_devices_and_filters_stay_text(browser: Open, core: Engine) -> None:
    """T-C2: a name, a reason, a detail of 10 kB, a destination, a line of the log; on each page that shows them."""
    token = put(core, name=HOSTILE)
    with core.store.change(token) as job:
        job.user = User(SID, HOSTILE)
        job.process_name = job.process_id = HOSTILE
        hostile(job)
    other = put(core, "Processing", name=HOSTILE)
    deliver(core, other, HOSTILE, HOSTILE)
    core.store.record_progress(JobTurn(other, 1), 0, HOSTILE)
    write_line(core, token, HOSTILE)
    note(core, token, HOSTILE)
    note(core, other, HOSTILE)
    one = browser(Role.ADMINISTRATOR)
    paths = [f"/jobs/{token}", f"/jobs/{token}/retry", f"/jobs/{other}", f"/jobs/{other}/cancel", "/jobs", "/"]
    paths += ["/jobs?text=%3Cimg%20src%3Dx%3E", "/jobs?destination=%3Cimg%3E&process=%22%3E%3Cimg%3E"]

    for path in paths:
        assert one.get(path).status_code in (200, 409)
        assert "<img" not in one.page.replace('<img src="/jobs/', "")  # that of a page of the job
        assert "60481729" not in one.page
        assert len(one.page) < 40_000
        assert "&lt;img" in one.page


def test_the_log_is_for_operators_and_the_audit_trail_for_administrators(browser: Open, core: Engine) -> None:
    """Others get no line of them, and no heading."""
    token = put(core, "Processing")
    write_line(core, token, "page 3 of 10")
    found = {}
    for role in Role:
        one = browser(role)
        one.get(f"/jobs/{token}")
        found[role] = ("page 3 of 10" in one.page, 'id="log"' in one.page, "Audit trail" in one.page)
        one.get(f"/jobs/{token}/support")
        found[role] = (*found[role], "page 3 of 10" in one.page)

    assert found == {
        Role.OWNER: (False, False, False, False),
        Role.VIEWER: (False, False, False, False),
        Role.OPERATOR: (True, True, False, True),
        Role.ADMINISTRATOR: (True, True, True, True),
    }


def test_the_log_of_one_filter_can_be_read_alone(browser: Open, core: Engine) -> None:
    """By its number."""
    token = put(core, "Processing")
    write_line(core, token, "page 3 of 10")
    one = browser(Role.OPERATOR)

    assert "page 3 of 10" in one.get(f"/jobs/{token}?log=1").text
    assert "page 3 of 10" not in one.get(f"/jobs/{token}?log=2").text
    assert "page 3 of 10" in one.get(f"/jobs/{token}?log=x").text


def test_the_text_for_a_supporter_names_nobody(browser: Open, core: Engine) -> None:
    """Neither the user, the document, the process, the device nor what was delivered; each line is one fact."""
    token = put(core, name="Dismissal of Boris")
    with core.store.change(token) as job:
        job.user = User(SID, "anna@fabrikam.example")
        hostile(job)
    one = browser(Role.ADMINISTRATOR)

    response = one.get(f"/jobs/{token}/support")

    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert f"Job {token}\n" in response.text
    assert "State Completed (PostScanJobCompletedWithErrors)" in response.text
    assert "receipt failed, 1 token checks, longest gap 0.100 s" in response.text
    assert "\\u202e" in response.text
    for name in ("Dismissal", "anna", SID, "192.0.2.7", "Test process", "\u202e"):
        assert name not in response.text


def test_a_region_has_no_form_and_no_token(browser: Open, core: Engine) -> None:
    """The same text is sent to each browser of a role: what is a person's own is outside of it."""
    put(core, "Failed")
    token = put(core, "Processing")
    one = browser(Role.OPERATOR)
    for path, names in (("/", ("running", "attention", "today")), ("/jobs", ("rows",)), (f"/jobs/{token}", ("job",))):
        one.get(path)
        for name in names:
            [region] = re.findall(rf'<(?:div|section) id="{name}".*?\n</(?:div|section)>\n', one.page, re.DOTALL)
            assert "<form" not in region
            assert "csrf" not in region
