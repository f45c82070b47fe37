"""Who sends a request: an account by its password, a device by its address, and no page of another origin."""

from __future__ import annotations

import base64
import threading

import httpx2
import image_files
import pytest
from web_site import ANN, BOB, StartSite, WebSite
from works import PATIENCE

from postscan.core.filters.source.messages import AccountChecked, InletBusy, PasswordRequest, Request
from postscan.plugins.sources.web.access import WAITING_OF_ADDRESS

PNG = image_files.saved(image_files.noise(), "PNG")


def bearer(account: tuple[str, str], alphabet: str = "+/", *, padded: bool = True) -> dict[str, str]:
    """Return the field with a token of this account."""
    token = base64.b64encode(":".join(account).encode()).decode().translate(str.maketrans("+/", alphabet))
    return {"authorization": f"Bearer {token if padded else token.rstrip('=')}"}


# --- accounts ------------------------------------------------------------------------------------------------------


def test_an_account_proves_itself_over_tls(start: StartSite) -> None:
    """By Basic, with any character in its password."""
    site = start(secure=True)

    response = site.client(ANN).put("/Scans/a.png", content=PNG)

    (job,) = site.server.jobs
    assert response.status_code == 201
    assert (job.request.proof, job.request.subject, job.request.account) == ("password", "ann", "ann")


@pytest.mark.parametrize("alphabet", ["+/", "-_"])
@pytest.mark.parametrize("padded", [True, False])
def test_a_bearer_token_is_account_and_password(start: StartSite, alphabet: str, padded: bool) -> None:
    """In base64, of either alphabet, with or without padding."""
    site = start(secure=True)

    response = site.client().put("/Scans/a.png", content=PNG, headers=bearer(ANN, alphabet, padded=padded))

    assert response.status_code == 201
    assert site.server.jobs[0].request.account == "ann"


def test_without_a_password_one_is_asked_for(start: StartSite) -> None:
    """With the challenge that browsers and file managers answer."""
    site = start(secure=True)

    response = site.client().put("/Scans/a.png", content=PNG)

    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Basic realm="postscan", charset="UTF-8"'
    assert site.server.passwords == []
    assert site.server.jobs == []


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic " + base64.b64encode(b"ann:wrong").decode(),
        "Basic " + base64.b64encode(b"carol:secret").decode(),
        "Basic " + base64.b64encode(b":secret").decode(),
        "Basic " + base64.b64encode(b"ann").decode(),
        "Basic " + base64.b64encode(b"ann:" + b"x" * 2000).decode(),
        "Basic " + base64.b64encode(b"ann:pass\0word").decode(),
        "Basic !!!",
        "Basic",
        "Digest username=ann",
        "Bearer secret",
    ],
)
def test_anything_else_is_refused(start: StartSite, authorization: str) -> None:
    """Wrong, unknown, malformed; also if the address is that of a device."""
    site = start(secure=True, devices=("127.0.0.1",))

    response = site.client().put("/Scans/a.png", content=PNG, headers={"authorization": authorization})

    assert response.status_code == 401
    assert site.server.jobs == []


def test_a_password_of_an_older_device_is_read(start: StartSite) -> None:
    """In Latin-1, as it was before RFC 7617."""
    site = start(secure=True)
    raw = base64.b64encode("ann:pass word:ä".encode("latin-1")).decode()

    response = site.client().put("/Scans/a.png", content=PNG, headers={"authorization": f"Basic {raw}"})

    assert response.status_code == 201


def test_a_password_in_clear_is_not_even_checked(site: WebSite) -> None:
    """Not without `allow_clear`; the client is told to use TLS."""
    response = site.client(ANN).put("/Scans/a.png", content=PNG)

    assert response.status_code == 403
    assert "https://" in response.json()["error"]
    assert site.server.passwords == []


def test_a_password_in_clear_is_said_to_be_one(start: StartSite) -> None:
    """The server decides what it is worth."""
    site = start(allow_clear=True, devices=())

    assert site.client(ANN).put("/Scans/a.png", content=PNG).status_code == 201
    assert site.server.jobs[0].request.proof == "clear"
    assert site.client().get("/").status_code == 401


def test_the_server_is_told_the_address(start: StartSite) -> None:
    """By which it counts wrong passwords."""
    site = start(secure=True)
    asked: list[Request] = []
    site.server.on_request = asked.append  # type: ignore[assignment]  # it returns None

    site.client(ANN).get("/")

    assert [one.address for one in asked if isinstance(one, PasswordRequest)] == ["127.0.0.1"]


def test_a_server_that_checks_no_more_passwords_is_passed_on(start: StartSite) -> None:
    """After too many wrong ones."""
    site = start(secure=True)
    site.server.on_request = lambda request: InletBusy(id=request.id, seconds=30.0)

    response = site.client(ANN).get("/")

    assert (response.status_code, response.headers["retry-after"]) == (503, "30")


def test_a_file_manager_has_its_password_checked_once_for_many_requests(start: StartSite) -> None:
    """But for each file: an account that was removed makes no further job."""
    site = start(secure=True)
    client = site.client(ANN)
    for _ in range(5):
        assert client.request("PROPFIND", "/Scans/", headers={"depth": "0"}).status_code == 207
    assert len(site.server.passwords) == 1

    client.put("/Scans/a.png", content=PNG)
    assert len(site.server.passwords) == 2

    site.server.on_request = lambda request: (
        AccountChecked(id=request.id, right=False) if isinstance(request, PasswordRequest) else None
    )
    assert client.put("/Scans/b.png", content=PNG).status_code == 401
    assert client.request("PROPFIND", "/Scans/", headers={"depth": "0"}).status_code == 401
    assert len(site.server.jobs) == 1


def test_another_password_is_not_believed(start: StartSite) -> None:
    """The account alone is no proof."""
    site = start(secure=True)

    assert site.client(ANN).get("/").status_code == 200
    assert site.client(("ann", BOB[1])).get("/").status_code == 401


def test_passwords_that_wait_for_their_check_are_bounded(start: StartSite) -> None:
    """A thousand guesses at once take a few threads, and the others are asked to come again."""
    site = start(secure=True)
    held = threading.Event()

    def wait(request: Request) -> None:
        if isinstance(request, PasswordRequest):
            held.wait(PATIENCE)

    site.server.on_request = wait
    statuses: list[int] = []
    clients = [site.client((f"user-{number}", "x")) for number in range(WAITING_OF_ADDRESS + 3)]
    threads = [
        threading.Thread(target=lambda client=client: statuses.append(client.get("/").status_code))  # type: ignore[misc]
        for client in clients
    ]
    for thread in threads:
        thread.start()
    site.server.wait_for(lambda: len(statuses) >= 3)
    held.set()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [401] * WAITING_OF_ADDRESS + [503] * 3


# --- devices -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("devices", [("127.0.0.1",), ("127.0.0.0/8",), ("10.0.0.0/24", "127.0.0.1")])
def test_a_device_needs_no_password(start: StartSite, devices: tuple[str, ...]) -> None:
    """If its address or network is in the settings."""
    assert start(devices=devices).client().put("/Scans/a.png", content=PNG).status_code == 201


def test_no_other_address_is_a_device(start: StartSite) -> None:
    """And without TLS there is nothing else that it could prove."""
    site = start(devices=("10.0.0.0/24",))

    assert site.client().put("/Scans/a.png", content=PNG).status_code == 403
    assert site.client().get("/destinations").status_code == 403
    assert site.server.jobs == []


def test_without_devices_none_is_one(start: StartSite) -> None:
    """An empty list is not everybody."""
    assert start(devices=()).client().put("/Scans/a.png", content=PNG).status_code == 403


def test_a_forwarded_address_does_not_count(start: StartSite) -> None:
    """Any client can write one."""
    site = start(devices=("10.0.0.9",))
    headers = {"x-forwarded-for": "10.0.0.9", "forwarded": "for=10.0.0.9", "x-forwarded-proto": "https"}

    assert site.client().put("/Scans/a.png", content=PNG, headers=headers).status_code == 403


# --- pages of other origins ----------------------------------------------------------------------------------------

OURS = {"x-postscan-page": "1"}


@pytest.mark.parametrize("method", ["POST", "PUT", "MOVE", "DELETE", "LOCK", "PROPPATCH", "MKCOL"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example", **OURS},
        {"origin": "null", **OURS},
        {"origin": "http://127.0.0.1:1", **OURS},
        {"sec-fetch-site": "cross-site", **OURS},
        {"sec-fetch-site": "same-site", **OURS},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_what_another_page_sends_is_refused(
    site: WebSite, client: httpx2.Client, headers: dict[str, str], method: str
) -> None:
    """A form, a script, an old browser, and ours without its field."""
    response = client.request(method, "/Scans/a.png", content=PNG, headers=headers)

    assert response.status_code == 403
    assert site.server.jobs == []


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain", "application/x-www-form-urlencoded"])
def test_a_form_of_an_old_browser_is_refused(site: WebSite, client: httpx2.Client, kind: str) -> None:
    """It names no origin, and any page can make it send one."""
    headers = {"user-agent": "Mozilla/4.0 (compatible; MSIE 8.0)", "content-type": kind}

    assert client.post("/Scans/a.png", content=PNG, headers=headers).status_code == 403
    assert site.server.jobs == []


def test_a_device_that_calls_itself_mozilla_may_put(site: WebSite, client: httpx2.Client) -> None:
    """No page can make a browser send PUT without asking first."""
    headers = {"user-agent": "Mozilla/5.0 (compatible; MFP)"}

    assert client.put("/Scans/a.png", content=PNG, headers=headers).status_code == 201
    assert client.get("/Scans/", headers=headers).status_code == 200


def test_our_page_may_send(site: WebSite, client: httpx2.Client) -> None:
    """From its own origin, with its field."""
    headers = {"origin": site.url.rstrip("/"), "sec-fetch-site": "same-origin", "user-agent": "Mozilla/5.0", **OURS}

    assert client.post("/Scans/a.png", content=PNG, headers=headers).status_code == 201


@pytest.mark.parametrize("path", ["/destinations", "/jobs/x.y", "/"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:8480", "127.0.0.1.evil.example", ""])
def test_a_page_that_was_reached_by_another_name_gets_nothing(client: httpx2.Client, path: str, host: str) -> None:
    """Its owner may have let the name resolve to our address, and so be of the same origin."""
    headers = {"host": host, "user-agent": "Mozilla/5.0", "sec-fetch-site": "same-origin"}

    response = client.get(path, headers=headers)

    assert response.status_code == 421
    assert "names" in response.json()["error"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8480", "[::1]:8480", "localhost", "LOCALHOST:1", "scans.example", "Scans.Example:80"]
)
def test_the_page_is_reached_by_addresses_and_by_our_names(start: StartSite, host: str) -> None:
    """Those of the settings, and localhost."""
    client = start(settings={"names": ["Scans.example"]}).client()
    headers = {"host": host, "user-agent": "Mozilla/5.0", "sec-fetch-site": "none"}

    assert client.get("/", headers=headers).status_code == 200


def test_a_preflight_of_another_origin_allows_nothing(client: httpx2.Client) -> None:
    """OPTIONS is answered to everybody, without the fields that a browser waits for."""
    headers = {"origin": "http://evil.example", "access-control-request-method": "PUT"}

    response = client.request("OPTIONS", "/Scans/a.png", headers=headers)

    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("access-control")]
