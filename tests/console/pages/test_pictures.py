"""The pictures of pages in the console: what each person gets, and what a page without a picture says."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import pytest
from conftest import ANNA as DEVICE
from console_browser import SID, Browser
from PIL import Image
from sourced import picture
from works import instructions

from postscan.core.engine import Engine
from postscan.core.errors import Unavailable
from postscan.core.model.principal import Principal, Proof, Role
from postscan.core.service.administration.pictures.job_pictures import SHOWN
from postscan.core.settings import Settings
from postscan.core.spool.pictures import StoredPicture, is_whole

OWNER = Principal(f"user:{SID}", Proof.CERTIFICATE, sid=SID)
ROOT = Principal("local:root", Proof.LOCAL, admin=True)
Open = Callable[..., Browser]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The user is known, so that a certificate may make jobs for it."""
    return Settings.model_validate({**dict(settings), "users": {SID: {"name": "anna@fabrikam.example"}}})


@pytest.fixture
def job(core: Engine) -> Callable[..., str]:
    """Make a job of these images, each with its format; return its path in the console."""

    def make(*images: tuple[bytes, str], owner: Principal = OWNER) -> str:
        token = core.service.create(owner, SID, "P", instructions("copy"))
        for number, (data, format) in enumerate(images, start=1):
            with core.service.open_image(token, owner, number, format) as image:
                image.write(data)
        return f"/jobs/{token}"

    return make


PNG = picture(), "png"


def encoded(image: Image.Image, kind: str, others: Sequence[Image.Image] = ()) -> bytes:
    """Return the bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **({"save_all": True, "append_images": others} if others else {}))
    return file.getvalue()


def huge() -> bytes:
    """Return a PNG of more pixels than a picture is made of. It is not made while tests are collected."""
    return encoded(Image.new("1", (10_001, 10_000)), "PNG")


def test_a_picture_is_a_webp_file_that_is_bounded_in_the_browser(browser: Open, job: Callable[..., str]) -> None:
    """T-C2, T-C5: no script could run in it, nothing keeps it, and no part of it is served."""
    one = browser(Role.OWNER)
    response = one.get(f"{job(PNG)}/pictures/1/1/small", range="bytes=0-3")

    assert (response.status_code, response.headers["content-type"]) == (200, "image/webp")
    assert is_whole(response.content)
    assert response.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "private, no-store"
    assert response.headers["accept-ranges"] == "none"


def test_the_small_pictures_lead_to_the_large_ones(browser: Open, job: Callable[..., str]) -> None:
    """Each has a text for who does not see it; a TIFF has its own pages before the next image comes."""
    tiff = encoded(Image.new("L", (9, 9)), "TIFF", [Image.new("L", (9, 9))])
    path = job(PNG, (tiff, "tiff-multi-uncompressed"), PNG)
    one = browser(Role.OWNER)
    one.get(f"{path}/pictures")
    assert all(f'alt="Page {number} of 3"' in one.page for number in (1, 2, 3))
    assert f'<a href="{path}/pictures/2/1">' in one.page

    ways = {}
    for place in ("1/1", "2/1", "2/2", "3/1"):
        assert one.get(f"{path}/pictures/{place}").status_code == 200
        assert f'src="{path}/pictures/{place}/large"' in one.page
        ways[place] = [link for link in ("1/1", "2/1", "2/2", "3/1") if f'href="{path}/pictures/{link}"' in one.page]
    assert ways == {"1/1": ["2/1"], "2/1": ["1/1", "2/2"], "2/2": ["2/1", "3/1"], "3/1": ["2/1"]}


def test_a_page_shows_so_many_pictures_and_leads_to_the_others(browser: Open, job: Callable[..., str]) -> None:
    """A job may have a thousand images."""
    path = job(*[PNG] * (SHOWN + 2))
    one = browser(Role.OWNER)
    one.get(f"{path}/pictures")
    first = one.page.count("<img")
    assert f"{path}/pictures?after={SHOWN}" in one.page
    one.get(f"{path}/pictures?after={SHOWN}")

    assert (first, one.page.count("<img")) == (SHOWN, 2)
    assert "?after=" not in one.page


@pytest.mark.parametrize(
    ("data", "format", "reason"),
    [
        (huge, "png", "10001 x 10000 pixels"),
        (lambda: picture()[:-20], "png", "cannot be read as png"),
        (picture, "tiff-single-g4", "no image of the format tiff-single-g4"),
        (lambda: b"%PDF-1.7", "pdf-a", "no pictures of the format pdf-a"),
        (picture, "<img onerror=alert(1)>", "no pictures of the format <img onerror=alert(1)>"),
    ],
    ids=["huge", "truncated", "wrong kind", "PDF", "hostile format"],
)
def test_a_page_without_a_picture_says_why(
    browser: Open, job: Callable[..., str], data: Callable[[], bytes], format: str, reason: str
) -> None:
    """In its place among the small ones, and on its own page; the text is no markup."""
    path = job((data(), format))
    one = browser(Role.OWNER)
    page = one.get(f"{path}/pictures/1/1")
    assert page.status_code == 200
    assert one.sees(reason)
    small = one.get(f"{path}/pictures/1/1/small")

    assert small.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in small.headers["content-security-policy"]
    assert "<img" not in small.text
    assert one.sees("No picture:")
    assert "<img onerror" not in one.get(f"{path}/pictures").text


def test_a_crowd_is_told_to_come_back(
    browser: Open, job: Callable[..., str], core: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with the sentence in the place of the picture."""

    def busy(*_: object) -> StoredPicture:
        raise Unavailable("too many pictures are asked for at the same time")

    monkeypatch.setattr(core.pictures, "picture", busy)
    path = job(PNG)
    one = browser(Role.OWNER)

    assert one.get(f"{path}/pictures/1/1/small").status_code == 503
    assert one.get(f"{path}/pictures/1/1").status_code == 503
    assert one.sees("too many pictures")


def test_what_only_a_device_has_named_stays_shut(browser: Open, job: Callable[..., str]) -> None:
    """D26: the job is the person's, and its pages may be of another."""
    path = job(PNG, owner=DEVICE)
    one = browser(Role.OWNER)

    assert one.get(f"{path}/pictures").status_code == 200
    assert one.sees("has not proven who its user is")
    assert "<img" not in one.page
    assert [one.get(f"{path}/pictures/1/1{size}").status_code for size in ("", "/small")] == [403, 403]


def test_who_may_see_the_job_of_another_may_not_see_its_pages(browser: Open, job: Callable[..., str]) -> None:
    """Viewers and operators see all jobs; pictures need a right of their own."""
    path = job(PNG, owner=DEVICE)
    for role in (Role.VIEWER, Role.OPERATOR):
        one = browser(Principal(f"link:{role}", Proof.LINK, role=role))
        assert one.get(f"{path}/pictures").status_code == 200
        assert one.sees("The right to see the pages of others is missing.")
        assert one.get(f"{path}/pictures/1/1/small").status_code == 403


def test_a_look_of_an_administrator_is_in_the_audit_trail(browser: Open, job: Callable[..., str], core: Engine) -> None:
    """D27; to see that there are pages is no look."""
    path = job(PNG, owner=DEVICE)
    token = path.rpartition("/")[2]
    one = browser(Role.ADMINISTRATOR)
    one.get(f"{path}/pictures")
    before = [line for line in core.service.audit(ROOT, token) if line.verb == "looked"]
    shown = [one.get(f"{path}/pictures/1/1/{size}").status_code for size in ("small", "large")]

    assert (before, shown) == ([], [200, 200])
    assert [line.who for line in core.service.audit(ROOT, token) if line.verb == "looked"] == ["link:administrator"]


def test_the_settings_may_forbid_administrators_to_look(browser: Open, job: Callable[..., str], core: Engine) -> None:
    """D27: `console.pictures_of_others = false`."""
    path = job(PNG, owner=DEVICE)
    console = core.settings.console.model_copy(update={"pictures_of_others": False})
    core.use(core.settings.model_copy(update={"console": console}))
    one = browser(Principal("link:root", Proof.LINK, admin=True, role=Role.ADMINISTRATOR))

    assert one.get(f"{path}/pictures/1/1/small").status_code == 403
    assert one.sees("console.pictures_of_others is false")


def test_a_foreign_job_and_a_page_that_is_not_there_are_not_there(browser: Open, job: Callable[..., str]) -> None:
    """The same page for both: not yours is not there."""
    path = job(PNG)
    stranger = browser(Principal("link:eve", Proof.LINK, sid="S-1-5-21-1-2-3-1002", role=Role.OWNER))
    unknown = "/jobs/00000000-0000-4000-8000-000000000000"
    pages = {
        stranger.get(f"{one}{below}").text
        for one in (path, unknown)
        for below in ("/pictures", "/pictures/1/1", "/pictures/1/1/small")
    }
    assert len(pages) == 1
    assert stranger.sees("There is no such job.")

    one = browser(Role.OWNER)
    wrong = ("2/1", "0/1", "-1/1", "x/1", "1/0", "99999999999/1", "1/1/huge", "٣/1")
    assert [one.get(f"{path}/pictures/{below}").status_code for below in wrong] == [404] * len(wrong)
    assert one.get(f"{path}/pictures?after=x").status_code == 404


def test_a_job_without_pages_says_so(browser: Open, job: Callable[..., str], core: Engine) -> None:
    """None have come yet, or they are removed."""
    empty, canceled = job(), job(PNG)
    core.service.cancel(canceled.rpartition("/")[2], OWNER)
    one = browser(Role.OWNER)

    one.get(f"{empty}/pictures")
    assert one.sees("No pages have come yet.")
    one.get(f"{canceled}/pictures")
    assert one.sees("The pages are removed")
    one.get(f"{canceled}/pictures/1/1")
    assert one.sees("the images of this job are removed")
