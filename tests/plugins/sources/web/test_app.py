"""Files by PUT and POST: a success means that the job is stored, and everything else says why it is not."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import image_files
import pytest
from web_site import ANN, BOB, StartSite, WebSite

from postscan.core.filters.source.messages import EndRequest, InletBusy, PageRequest, Request, RequestRefused

PNG = image_files.saved(image_files.noise(), "PNG")
JPEG = image_files.baseline()


# --- a job ---------------------------------------------------------------------------------------------------------


def test_a_file_becomes_a_job(site: WebSite, client: httpx2.Client) -> None:
    """With its name, and with who sent it; the response has the address of the job."""
    response = client.put("/Scans/letter.png", content=PNG)

    (job,) = site.server.in_state("Pending")
    assert response.status_code == 201
    assert response.json() == {"job": job.id, "state": response.headers["location"], "repeated": False}
    assert job.pages == [PNG]
    assert job.whole == [True]
    assert (job.request.destination, job.request.name) == ("d1", "letter.png")
    assert (job.request.proof, job.request.subject, job.request.account) == ("device", "127.0.0.1", "")


def test_the_folder_of_a_destination_is_called_by_label_or_id(site: WebSite, client: httpx2.Client) -> None:
    """As it is typed into a device, whatever folders are below it."""
    for path in ("/Invoices%20(Ann)/a.png", "/invoices%20(ann)/May/b.png", "/d2/c.png"):
        assert client.put(path, content=PNG).status_code == 201

    assert [job.request.destination for job in site.server.jobs] == ["d2"] * 3


def test_a_posted_body_is_a_file(site: WebSite, client: httpx2.Client) -> None:
    """With or without a name."""
    headers = {"content-type": "image/png", "content-disposition": 'attachment; filename="C:\\a.png"'}

    assert client.post("/Scans/", content=PNG).status_code == 201
    assert client.post("/Scans/", content=JPEG, headers=headers).status_code == 201
    assert client.post("/Scans/b.png", content=JPEG).status_code == 201
    assert [job.request.name for job in site.server.in_state("Pending")] == ["", "a.png", "b.png"]


def test_the_files_of_a_form_are_the_pages_of_one_job(site: WebSite, client: httpx2.Client) -> None:
    """In their order; the other fields do not count."""
    files = [("page", ("a.png", PNG, "image/png")), ("page", ("b.jpg", JPEG, "image/jpeg"))]

    response = client.post("/Scans", data={"note": "hello"}, files=files)

    (job,) = site.server.in_state("Pending")
    assert response.status_code == 201
    assert job.pages == [PNG, JPEG]
    assert job.request.name == "a.png"


def test_a_body_in_chunks_is_a_file(site: WebSite, client: httpx2.Client) -> None:
    """Many devices send so, since they do not know the length before."""
    response = client.put("/Scans/a.png", content=(PNG[at : at + 100] for at in range(0, len(PNG), 100)))

    assert response.status_code == 201
    assert site.server.in_state("Pending")[0].pages == [PNG]


def test_nothing_is_left_in_the_work_folder(site: WebSite, client: httpx2.Client) -> None:
    """Neither of what became a job nor of what was refused."""
    client.put("/Scans/a.png", content=PNG)
    client.put("/Scans/b.png", content=PNG[:-1])
    client.put("/Scans/c.png", content=b"text")
    client.post("/Scans/", files=[("page", ("a.png", PNG)), ("page", ("b.png", PNG[:-1]))])
    client.post("/Scans/", content=b"--x\r\n", headers={"content-type": "multipart/form-data; boundary=x"})

    assert list(site.server.started.workdir.iterdir()) == []
    assert len(site.server.jobs) == 1


def test_the_response_is_sent_after_the_job_is_stored(site: WebSite, client: httpx2.Client) -> None:
    """Not before its page is durable and its end is stored."""
    order: list[str] = []

    def note(request: Request) -> None:
        order.append(request.type)

    site.server.on_request = note
    client.put("/Scans/a.png", content=PNG, extensions={"trace": lambda name, _info: order.append(name)})

    assert order.index("end") < order.index("http11.receive_response_headers.complete")


# --- the same file again -------------------------------------------------------------------------------------------


def test_the_same_file_again_is_the_same_job(site: WebSite, client: httpx2.Client) -> None:
    """Who did not get the response sends it again: 200 and the same address."""
    first = client.put("/Scans/a.png", content=PNG)
    second = client.put("/Scans/a.png", content=PNG)
    third = client.post("/Scans/a.png", content=PNG)

    assert [first.status_code, second.status_code, third.status_code] == [201, 200, 200]
    assert first.headers["location"] == second.headers["location"] == third.headers["location"]
    assert second.json()["repeated"] is True
    assert len(site.server.jobs) == 1


def test_another_name_content_destination_or_sender_is_another_job(start: StartSite) -> None:
    """Each of them is a part of the key."""
    site = start(allow_clear=True)
    ann, device = site.client(ANN), site.client()
    for client, path, content in (
        (device, "/Scans/a.png", PNG),
        (device, "/Scans/b.png", PNG),
        (device, "/Scans/a.png", JPEG),
        (device, "/d2/a.png", PNG),
        (device, "/Scans/May/a.png", PNG),
        (ann, "/Scans/a.png", PNG),
    ):
        assert client.put(path, content=content).status_code == 201

    assert len(site.server.jobs) == 6


def test_a_key_of_the_client_names_the_file_instead_of_its_path(site: WebSite, client: httpx2.Client) -> None:
    """For thirty days, and not for ten minutes."""
    first = client.put("/Scans/a.png", content=PNG, headers={"idempotency-key": "k1"})
    again = client.put("/Scans/b.png", content=PNG, headers={"idempotency-key": "k1"})
    other = client.put("/Scans/a.png", content=PNG, headers={"idempotency-key": "k2"})

    assert [first.status_code, again.status_code, other.status_code] == [201, 200, 201]
    assert first.headers["location"] == again.headers["location"] != other.headers["location"]
    assert {job.request.remember_seconds for job in site.server.jobs} == {30 * 86400.0}


def test_one_key_for_all_files_loses_none_of_them(site: WebSite, client: httpx2.Client) -> None:
    """Some clients send a fixed one."""
    for content in (PNG, JPEG):
        assert client.put("/Scans/a", content=content, headers={"idempotency-key": "k"}).status_code == 201

    assert len(site.server.jobs) == 2


def test_without_a_key_the_file_is_remembered_for_ten_minutes(site: WebSite, client: httpx2.Client) -> None:
    """The same letter may be scanned again tomorrow."""
    client.put("/Scans/a.png", content=PNG)

    assert site.server.jobs[0].request.remember_seconds == 600.0


# --- what is not taken ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [PNG[:-1], PNG[:40], JPEG[:-2]])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_file_that_is_cut_is_refused(site: WebSite, client: httpx2.Client, content: bytes, method: str) -> None:
    """Although its body was complete: a device may close a file that it broke off."""
    response = client.request(method, "/Scans/a.png", content=content)

    assert response.status_code == 422
    assert "not complete" in response.json()["error"]
    assert site.server.jobs == []


@pytest.mark.parametrize("content", [b"hello", b"GIF89a" + b"x" * 100, b"<html></html>"])
def test_a_file_of_unknown_kind_is_refused(site: WebSite, client: httpx2.Client, content: bytes) -> None:
    """The response says which kinds there are."""
    response = client.put("/Scans/a.png", content=content)

    assert response.status_code == 415
    assert "PDF, JPEG, PNG" in response.json()["error"]
    assert site.server.jobs == []


def test_one_bad_file_of_a_form_is_enough(site: WebSite, client: httpx2.Client) -> None:
    """All pages, or no job."""
    response = client.post("/Scans/", files=[("page", ("a.png", PNG)), ("page", ("b.png", b"text"))])

    assert response.status_code == 415
    assert site.server.jobs == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/Nowhere/a.png", 404),
        ("PUT", "/a.png", 404),
        ("PUT", "/Scans/", 405),
        ("PUT", "/Scans", 405),
        ("POST", "/", 404),
        ("PUT", "/jobs/a.png", 405),
        ("PUT", "/Scans/%2e%2e/a.png", 400),
        ("PATCH", "/Scans/a.png", 405),
        ("COPY", "/Scans/a.png", 405),
        ("GET", "/nothing", 404),
        ("GET", "/jobs/x.y", 404),
    ],
)
def test_other_addresses_and_methods_are_refused(
    site: WebSite, client: httpx2.Client, method: str, path: str, status: int
) -> None:
    """Each with a sentence."""
    response = client.request(method, path, content=PNG)

    assert response.status_code == status
    assert response.json()["error"]
    assert site.server.jobs == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-range": "bytes 0-9/100"}, 400),
        ({"content-encoding": "gzip"}, 415),
        ({"idempotency-key": "k" * 256}, 400),
        ({"x-expected-entity-length": str(len(PNG) + 1)}, 400),
        ({"if-match": '"other"'}, 412),
    ],
)
def test_a_part_of_a_file_or_an_encoded_one_is_refused(
    site: WebSite, client: httpx2.Client, headers: dict[str, str], status: int
) -> None:
    """RFC 9110 section 14.4 says so of Content-Range; macOS announces the length beside its chunks."""
    assert client.put("/Scans/a.png", content=PNG, headers=headers).status_code == status
    assert site.server.jobs == []


def test_a_body_that_is_too_large_is_refused(start: StartSite) -> None:
    """By the length that it declares before it is sent, else when it has grown beyond the limit."""
    site = start(settings={"most_bytes": len(PNG)})
    client = site.client()

    assert client.put("/Scans/a.png", content=PNG).status_code == 201
    assert client.put("/Scans/b.png", content=PNG + b"x").status_code == 413
    assert client.put("/Scans/b.png", content=iter([PNG, b"x"])).status_code == 413
    assert len(site.server.jobs) == 1


def test_an_empty_file_by_post_is_refused(site: WebSite, client: httpx2.Client) -> None:
    """Only file managers create empty files, and they use PUT."""
    assert client.post("/Scans/a.png", content=b"").status_code == 400
    assert client.post("/Scans/", files=[("page", ("a.png", b""))]).status_code == 400
    assert site.server.jobs == []


@pytest.mark.parametrize(("full", "status"), [(False, 503), (True, 507)])
@pytest.mark.parametrize("kind", ["open", "page", "end"])
def test_a_server_without_room_is_passed_on(
    site: WebSite, client: httpx2.Client, full: bool, status: int, kind: str
) -> None:
    """At each step, with the seconds after which the client may come again; and then it is a job."""

    def busy(request: Request) -> InletBusy | None:
        return InletBusy(id=request.id, seconds=7.2, full=full) if request.type == kind else None

    site.server.on_request = busy
    refused = client.put("/Scans/a.png", content=PNG)
    site.server.on_request = lambda _request: None
    taken = client.put("/Scans/a.png", content=PNG)

    assert (refused.status_code, refused.headers["retry-after"]) == (status, "8")
    assert taken.status_code == 201
    assert len(site.server.in_state("Pending")) == 1


def test_what_the_server_refuses_is_passed_on(site: WebSite, client: httpx2.Client) -> None:
    """With its sentence."""

    def refuse(request: Request) -> RequestRefused | None:
        return RequestRefused(id=request.id, reason="no process for this") if isinstance(request, PageRequest) else None

    site.server.on_request = refuse
    response = client.put("/Scans/a.png", content=PNG)

    assert (response.status_code, response.json()) == (403, {"error": "no process for this"})
    assert site.server.in_state("Pending") == []


def test_a_job_that_is_cancelled_while_it_is_stored_is_no_success(site: WebSite, client: httpx2.Client) -> None:
    """409, and the key stays taken: the client is not to send it again."""

    def cancel(request: Request) -> None:
        if isinstance(request, EndRequest):
            site.server.cancel(site.server.jobs[0], "not wanted")

    site.server.on_request = cancel
    response = client.put("/Scans/a.png", content=PNG)

    assert response.status_code == 409
    assert "not wanted" in response.json()["error"]
    assert site.server.jobs[0].told == ["stopped"]


@pytest.mark.parametrize("kind", ["open", "page", "end"])
def test_a_server_that_dies_is_no_success(start: StartSite, kind: str) -> None:
    """Whether the job was stored is not known then; the client comes again."""
    site = start(stops=False)
    client = site.client()

    def die(request: Request) -> None:
        if request.type == kind:
            site.server.die()

    site.server.on_request = die
    response = client.put("/Scans/a.png", content=PNG)

    assert response.status_code == 503
    assert response.headers["retry-after"]


# --- the state of a job --------------------------------------------------------------------------------------------


def test_who_sent_a_job_sees_its_state(site: WebSite, client: httpx2.Client) -> None:
    """At the address of the response."""
    sent = client.put("/Scans/a.png", content=PNG)
    response = client.get(sent.headers["location"])

    assert response.json() == {"job": sent.json()["job"], "state": "Pending", "reasons": [], "ended": False}
    site.server.jobs[0].state = "Completed"
    assert client.get(sent.headers["location"]).json()["ended"] is True


def test_nobody_else_sees_it(start: StartSite) -> None:
    """Not even with the whole address; nor does who guesses a code."""
    site = start(allow_clear=True)
    location = site.client(ANN).put("/Scans/a.png", content=PNG).headers["location"]
    token = location.removeprefix("/jobs/").partition(".")[0]

    for client, path in (
        (site.client(BOB), location),
        (site.client(), location),
        (site.client(ANN), f"/jobs/{token}"),
        (site.client(ANN), f"/jobs/{token}."),
        (site.client(ANN), location[:-1] + ("A" if location[-1] != "A" else "B")),
    ):
        assert client.get(path).status_code == 404
    assert site.client(ANN).get(location).status_code == 200


def test_the_address_holds_after_a_restart(start: StartSite) -> None:
    """The secret behind it is kept with the inlet, for nobody else to read."""
    first = start()
    location = first.client().put("/Scans/a.png", content=PNG).headers["location"]
    secret = first.server.started.folder / "job-addresses.key"
    second = start()
    second.server.jobs.extend(first.server.jobs)

    assert second.client().get(location).status_code == 200
    assert secret.stat().st_mode & 0o777 == 0o600


# --- the head ------------------------------------------------------------------------------------------------------


def test_every_response_may_be_kept_by_nobody(client: httpx2.Client) -> None:
    """And is what its media type says."""
    for response in (client.get("/"), client.put("/Scans/a", content=b"x"), client.request("OPTIONS", "/")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"


def test_the_destinations_are_listed_for_the_page(client: httpx2.Client) -> None:
    """With the folders to send to."""
    found: Any = json.loads(client.get("/destinations").content)

    assert found["destinations"] == [
        {"label": "Scans", "folder": "/Scans/"},
        {"label": "Invoices (Ann)", "folder": "/Invoices (Ann)/"},
    ]


def test_a_refusal_is_logged_once(site: WebSite, client: httpx2.Client) -> None:
    """With its reason; the same again within a minute is not."""
    for _ in range(3):
        client.put("/Scans/a.png", content=b"text")
    site.wait_for_logged("not a scan")
    client.put("/Scans/a.png", content=PNG[:-1])
    site.wait_for_logged("not complete")

    assert [line.fields["status"] for line in site.server.log if line.message == "request refused"] == ["415", "422"]
