"""What stands in front of each page: forms within their bounds, threads within theirs, and errors that lead on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from console_browser import ORIGIN, Browser
from starlette.responses import PlainTextResponse, Response

from postscan.console.http.app import create_app
from postscan.console.http.body import FORM, MOST_BYTES
from postscan.console.request import ConsoleRequest, ConsoleRoute
from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, JobNotFound, StoreBusy, Throttled, WrongState
from postscan.core.model.principal import Role

Open = Callable[..., Browser]


def one_page(core: Engine, function: Callable[[ConsoleRequest], Response], path: str = "/x") -> Browser:
    """Return a browser of an administrator at a console with one page, for reads and for writes."""
    rows = [ConsoleRoute(path, method, function) for method in ("GET", "POST")]
    return Browser(create_app(core, rows), core).sign_in(Role.ADMINISTRATOR)


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (JobNotFound("t"), 404, "There is no such job."),
        (WrongState("cancel", "Completed"), 409, "It is too late for this"),
        (InvalidArgument("from", "x", "a date"), 400, "expected a date"),
        (Throttled("you", 3.2), 429, "Try again in 4 seconds."),
        (StoreBusy("locked"), 503, "Try again in a few seconds."),
    ],
)
def test_an_error_of_the_core_is_a_page_that_says_what_to_do(
    core: Engine, error: Exception, status: int, sentence: str
) -> None:
    """With its status; 429 and 503 say when to come again."""

    def page(_request: ConsoleRequest) -> Response:
        raise error

    one = one_page(core, page)
    response = one.get("/x")

    assert response.status_code == status
    assert one.sees(sentence)
    assert ("retry-after" in response.headers) == (status in (429, 503))


def test_a_defect_has_a_reference_that_the_log_has_too(core: Engine, caplog: pytest.LogCaptureFixture) -> None:
    """The page shows nothing of the error: it may have a secret. A program gets a problem document."""

    def page(_request: ConsoleRequest) -> Response:
        raise RuntimeError("hunter2")

    one = one_page(core, page)
    response = one.get("/x")
    reference = caplog.records[-1].__dict__["reference"]
    api = one_page(core, page, "/api/v1/x").get("/api/v1/x")

    assert response.status_code == 500
    assert reference in response.text
    assert "hunter2" not in response.text + api.text
    assert api.headers["content-type"] == "application/problem+json"
    assert (api.json()["status"], api.json()["instance"]) == (500, "/api/v1/x")


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"&".join([b"a=1"] * 1001), "application/x-www-form-urlencoded", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"a=%00", "application/x-www-form-urlencoded", 400),
        (b"a=\xff", "application/x-www-form-urlencoded", 400),
        (b"--x\r\n\r\n1\r\n--x--", "multipart/form-data; boundary=x", 415),
        (b"", "", 415),
    ],
    ids=["fields", "no utf-8", "zero", "no ascii", "multipart", "no type"],
)
def test_a_form_beyond_its_bounds_is_refused(core: Engine, data: bytes, content_type: str, status: int) -> None:
    """Before the page's function is called."""
    one = one_page(core, lambda _request: PlainTextResponse("called"))
    headers = {"origin": ORIGIN} | ({"content-type": content_type} if content_type else {})

    assert one.http.post("/x", content=data, headers=headers).status_code == status


def test_a_form_that_is_declared_too_large_is_not_read(core: Engine) -> None:
    """It is refused by its length; here no byte of it is sent that could be counted."""
    one = one_page(core, lambda _request: PlainTextResponse("called"))
    headers = {"origin": ORIGIN, "content-type": FORM, "content-length": str(MOST_BYTES + 1)}

    assert one.http.post("/x", content=b"", headers=headers).status_code == 413


def test_a_form_that_is_sent_in_chunks_has_a_size(core: Engine) -> None:
    """It declares none, so its bytes are counted."""
    one = one_page(core, lambda _request: PlainTextResponse("called"))
    headers = {"origin": ORIGIN, "content-type": FORM}
    parts = iter([b"a=", *[b"x" * 65536] * 17])

    assert one.http.post("/x", content=parts, headers=headers).status_code == 413


def test_a_page_gets_the_fields_in_their_order(core: Engine) -> None:
    """The token of forms is not among them; empty values are."""

    def page(request: ConsoleRequest) -> Response:
        return PlainTextResponse(repr(dict(request.form)))

    one = one_page(core, page)

    assert one.post("/x", {"b": ["2", "1"], "a": ""}).text == "{'b': ['2', '1'], 'a': ['']}"


def test_a_notice_is_shown_once_and_only_if_it_is_ours(browser: Open) -> None:
    """Another program on the host could set a cookie, but it cannot compute the digest (T-C2)."""
    one = browser(Role.VIEWER)
    one.post("/logout")
    first = one.get("/login").text
    second = one.get("/login").text
    one.http.cookies.set("postscan-notice", "0" * 64 + ".Call%20555-1234", domain="127.0.0.1")
    forged = one.get("/login").text

    assert "You are logged out." in first
    assert "You are logged out." not in second
    assert "555-1234" not in forged
