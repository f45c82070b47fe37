"""WebDAV beyond the usual course: what is refused, what stays, and what one sender sees of another."""

from __future__ import annotations

import httpx2
import image_files
import pytest
from lxml import etree
from web_site import ANN, BOB, StartSite, WebSite

from postscan.core.filters.source.messages import InletBusy, OpenRequest, Request
from postscan.plugins.sources.web.dav.files import MOST_HELD_OF_SENDER
from postscan.plugins.sources.web.dav.xml import MOST_BYTES
from postscan.plugins.sources.web.transfer import BESIDE_BYTES

PNG = image_files.saved(image_files.noise(), "PNG")
LOCK = b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:%b/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>'
EXCLUSIVE, SHARED = LOCK % b"exclusive", LOCK % b"shared"


def ask(client: httpx2.Client, method: str, path: str, content: bytes = b"", **fields: str) -> httpx2.Response:
    """Send a request; `if_` is the field If."""
    headers = {name.rstrip("_").replace("_", "-"): value for name, value in fields.items()}
    return client.request(method, path, content=content, headers=headers)


def listed(client: httpx2.Client, path: str = "/Scans/") -> list[str]:
    """Return the paths in a folder."""
    response = ask(client, "PROPFIND", path, depth="1")
    return [one.text or "" for one in etree.fromstring(response.content).iter("{DAV:}href")][1:]


def propstats(response: httpx2.Response) -> dict[str, list[str]]:
    """Return the names of properties by their status."""
    assert response.status_code == 207
    return {
        (one.findtext("{DAV:}status") or "")[9:12]: [etree.QName(prop).localname for prop in one.find("{DAV:}prop")]
        for one in etree.fromstring(response.content).iter("{DAV:}propstat")
    }


# --- listings ------------------------------------------------------------------------------------------------------


def test_a_sender_does_not_see_the_files_of_another(start: StartSite) -> None:
    """Neither in a listing, nor by name, nor can it lock or delete them."""
    site = start(secure=True)
    ann, bob = site.client(ANN), site.client(BOB)
    ann.put("/Scans/a.png", content=PNG)
    ann.put("/Scans/b.png")

    assert listed(ann) == ["/Scans/a.png", "/Scans/b.png"]
    assert listed(bob) == []
    assert bob.head("/Scans/a.png").status_code == 404
    assert ask(bob, "DELETE", "/Scans/b.png").status_code == 404
    assert ask(bob, "LOCK", "/Scans/b.png", EXCLUSIVE).status_code == 201
    assert ann.put("/Scans/b.png", content=PNG).status_code == 201


def test_a_file_that_was_sent_cannot_be_read_back(client: httpx2.Client) -> None:
    """Its size can be seen."""
    client.put("/Scans/a.png", content=PNG)

    assert client.get("/Scans/a.png").status_code == 403
    assert client.head("/Scans/a.png").headers["content-length"] == str(len(PNG))
    assert client.head("/Scans/a.png").headers["etag"] == client.head("/Scans/a.png").headers["etag"]


@pytest.mark.parametrize("depth", ["infinity", "2", ""])
def test_only_one_level_is_listed(client: httpx2.Client, depth: str) -> None:
    """RFC 4918 section 9.1 allows a server to refuse the rest."""
    assert ask(client, "PROPFIND", "/", depth=depth).status_code == 403


def test_a_property_that_is_not_there_is_said_so(client: httpx2.Client) -> None:
    """Beside those that are."""
    body = b'<D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getetag/><x xmlns="urn:x"/></D:prop></D:propfind>'

    assert propstats(ask(client, "PROPFIND", "/Scans/", body, depth="0")) == {
        "200": ["resourcetype"],
        "404": ["getetag", "x"],
    }


def test_all_properties_are_listed_without_a_body(client: httpx2.Client) -> None:
    """Or when all are asked for; the free space is not among them (RFC 4331 section 3)."""
    client.put("/Scans/a.png", content=PNG)
    everything = b'<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>'

    names = propstats(ask(client, "PROPFIND", "/Scans/a.png", depth="0"))["200"]
    assert names == propstats(ask(client, "PROPFIND", "/Scans/a.png", everything, depth="0"))["200"]
    assert {"resourcetype", "getcontentlength", "getetag", "getlastmodified", "supportedlock", "lockdiscovery"} <= set(
        names
    )
    assert "quota-available-bytes" not in names


@pytest.mark.parametrize("method", ["PROPFIND", "PROPPATCH", "LOCK"])
@pytest.mark.parametrize(
    ("body", "status"),
    [(b"<x", 400), (b"<other/>", 400), (b"<!DOCTYPE x><x/>", 400), (b" " * (MOST_BYTES + 1), 413)],
)
def test_a_body_that_is_something_else_is_refused(client: httpx2.Client, method: str, body: bytes, status: int) -> None:
    """And changes nothing."""
    assert ask(client, method, "/Scans/a.png", body, depth="0").status_code == status
    assert listed(client) == []


# --- properties ----------------------------------------------------------------------------------------------------


def patch(*properties: str, namespace: str = "urn:x") -> bytes:
    """Return the body of a PROPPATCH that sets these."""
    inner = "".join(f"<z:{one} xmlns:z='{namespace}'>value</z:{one}>" for one in properties)
    return f'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop>{inner}</D:prop></D:set></D:propertyupdate>'.encode()


def test_a_property_is_kept_and_can_be_removed(client: httpx2.Client) -> None:
    """Also when the content comes after it, as Explorer sends it."""
    client.put("/Scans/a.png")
    assert propstats(ask(client, "PROPPATCH", "/Scans/a.png", patch("one", "two"))) == {"200": ["one", "two"]}
    client.put("/Scans/a.png", content=PNG)
    assert {"one", "two"} <= set(propstats(ask(client, "PROPFIND", "/Scans/a.png", depth="0"))["200"])

    remove = patch("one").replace(b"D:set", b"D:remove")
    assert propstats(ask(client, "PROPPATCH", "/Scans/a.png", remove)) == {"200": ["one"]}
    assert "one" not in propstats(ask(client, "PROPFIND", "/Scans/a.png", depth="0"))["200"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (patch("one").replace(b"value", b"v" * 2000), {"403": ["one"]}),
        (patch("one").replace(b"value", b"<deep/>"), {"403": ["one"]}),
        (patch("getetag", namespace="DAV:"), {"403": ["getetag"]}),
        (patch(*(f"p{number}" for number in range(9))), {"403": [f"p{number}" for number in range(9)]}),
        (
            patch("one").replace(b"</D:prop>", b"<D:getetag>x</D:getetag></D:prop>"),
            {"424": ["one"], "403": ["getetag"]},
        ),
    ],
    ids=["long", "deep", "ours", "many", "all-or-none"],
)
def test_a_property_that_cannot_be_kept_is_refused(
    client: httpx2.Client, body: bytes, expected: dict[str, list[str]]
) -> None:
    """And then none of the others is set (RFC 4918 section 9.2)."""
    client.put("/Scans/a.png")

    assert propstats(ask(client, "PROPPATCH", "/Scans/a.png", body)) == expected
    assert "one" not in propstats(ask(client, "PROPFIND", "/Scans/a.png", depth="0"))["200"]


def test_a_destination_takes_no_property(client: httpx2.Client) -> None:
    """It belongs to the settings."""
    assert propstats(ask(client, "PROPPATCH", "/Scans/", patch("one"))) == {"403": ["one"]}


# --- folders, removal ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [("/Scans/May", 201), ("/Scans/May/June", 409), ("/Scans", 405), ("/New", 405), ("/", 403), ("/New/May", 409)],
)
def test_folders_are_made_below_destinations_alone(client: httpx2.Client, path: str, status: int) -> None:
    """One after another, as RFC 4918 section 9.3.1 says."""
    assert ask(client, "MKCOL", path).status_code == status


def test_a_folder_is_made_once_and_without_a_body(client: httpx2.Client) -> None:
    """405 and 415 are those of RFC 4918."""
    assert ask(client, "MKCOL", "/Scans/May", b"x").status_code in (413, 415)
    assert ask(client, "MKCOL", "/Scans/May").status_code == 201
    assert ask(client, "MKCOL", "/Scans/May").status_code == 405
    assert client.put("/Scans/May", content=PNG).status_code == 405


def test_a_job_is_not_cancelled_by_deleting_its_file(site: WebSite, client: httpx2.Client) -> None:
    """So it cannot be deleted; what is no job yet can."""
    client.put("/Scans/a.png", content=PNG)
    client.put("/Scans/b.png")

    assert ask(client, "DELETE", "/Scans/a.png").status_code == 403
    assert ask(client, "DELETE", "/Scans/b.png").status_code == 204
    assert ask(client, "DELETE", "/Scans/b.png").status_code == 404
    assert ask(client, "DELETE", "/Scans/").status_code == 403
    assert site.server.in_state("Pending")


def test_a_large_file_of_a_file_manager_is_not_kept(site: WebSite, client: httpx2.Client) -> None:
    """But taken, so that the copy goes on; one that is larger than any is not."""
    assert client.put("/Scans/._a.png", content=b"x" * 100_000).status_code == 201
    assert client.get("/Scans/._a.png").status_code == 403
    assert client.head("/Scans/._a.png").headers["content-length"] == "100000"
    assert client.put("/Scans/._b.png", content=b"x" * (BESIDE_BYTES + 1)).status_code == 413
    assert site.server.jobs == []


# --- locks ---------------------------------------------------------------------------------------------------------


def test_a_lock_is_shown_in_the_listing(client: httpx2.Client) -> None:
    """With its token, depth and root."""
    token = ask(client, "LOCK", "/Scans/a.png", EXCLUSIVE, depth="0").headers["lock-token"].strip("<>")
    root = etree.fromstring(ask(client, "PROPFIND", "/Scans/a.png", depth="0").content)

    assert root.findtext(".//{DAV:}activelock/{DAV:}locktoken/{DAV:}href") == token
    assert root.findtext(".//{DAV:}activelock/{DAV:}depth") == "0"
    assert root.findtext(".//{DAV:}activelock/{DAV:}lockroot/{DAV:}href") == "/Scans/a.png"


def test_shared_locks_are_given_beside_one_another(client: httpx2.Client) -> None:
    """And an exclusive one is not."""
    assert ask(client, "LOCK", "/Scans/a.png", SHARED).status_code == 201
    assert ask(client, "LOCK", "/Scans/a.png", SHARED).status_code == 200
    assert ask(client, "LOCK", "/Scans/a.png", EXCLUSIVE).status_code == 423


@pytest.mark.parametrize("path", ["/", "/Scans", "/Scans/"])
def test_a_destination_cannot_be_locked(client: httpx2.Client, path: str) -> None:
    """It is not a file of the sender."""
    assert ask(client, "LOCK", path, EXCLUSIVE).status_code == 403


def test_an_unlock_needs_the_token_of_a_lock(client: httpx2.Client) -> None:
    """Of this file."""
    token = ask(client, "LOCK", "/Scans/a.png", EXCLUSIVE).headers["lock-token"]

    assert ask(client, "UNLOCK", "/Scans/a.png").status_code == 400
    assert ask(client, "UNLOCK", "/Scans/b.png", lock_token=token).status_code == 409
    assert ask(client, "UNLOCK", "/Scans/a.png", lock_token=token).status_code == 204
    assert ask(client, "UNLOCK", "/Scans/a.png", lock_token=token).status_code == 409


# --- MOVE ----------------------------------------------------------------------------------------------------------


def test_a_move_without_room_is_tried_again(site: WebSite, client: httpx2.Client) -> None:
    """The file is still there, and then is one job."""
    client.put("/Scans/a.tmp", content=PNG)

    def busy(request: Request) -> InletBusy | None:
        return InletBusy(id=request.id, seconds=3.0) if isinstance(request, OpenRequest) else None

    site.server.on_request = busy
    assert ask(client, "MOVE", "/Scans/a.tmp", destination="/Scans/a.png").status_code == 503
    site.server.on_request = lambda _request: None
    assert ask(client, "MOVE", "/Scans/a.tmp", destination="/Scans/a.png").status_code == 201
    assert len(site.server.in_state("Pending")) == 1
    assert ask(client, "MOVE", "/Scans/a.tmp", destination="/Scans/a.png").status_code == 404


def test_half_a_file_does_not_become_a_job_by_its_rename(site: WebSite, client: httpx2.Client) -> None:
    """A device may rename what it broke off."""
    client.put("/Scans/a.tmp", content=PNG[:-3])

    assert ask(client, "MOVE", "/Scans/a.tmp", destination="/Scans/a.png").status_code == 422
    assert site.server.jobs == []


def test_the_rename_names_the_destination(site: WebSite, client: httpx2.Client) -> None:
    """Not the first path."""
    client.put("/Scans/a.tmp", content=PNG)

    assert ask(client, "MOVE", "/Scans/a.tmp", destination="/d2/a.png").status_code == 201
    assert site.server.jobs[0].request.destination == "d2"


def test_a_file_may_change_its_temporary_name(site: WebSite, client: httpx2.Client) -> None:
    """It waits on."""
    client.put("/Scans/a.tmp", content=PNG)
    ask(client, "MOVE", "/Scans/a.tmp", destination="/Scans/b.part")

    assert site.server.jobs == []
    assert listed(client) == ["/Scans/b.part"]
    assert ask(client, "MOVE", "/Scans/b.part", destination="/Scans/b.png").status_code == 201


def test_a_file_that_was_sent_gets_another_name_in_the_list(site: WebSite, client: httpx2.Client) -> None:
    """Its job goes on; it does not change its destination."""
    client.put("/Scans/a.png", content=PNG)

    assert ask(client, "MOVE", "/Scans/a.png", destination="/d2/b.png").status_code == 403
    assert ask(client, "MOVE", "/Scans/a.png", destination="/Scans/b.png").status_code == 201
    assert listed(client) == ["/Scans/b.png"]
    assert len(site.server.jobs) == 1


@pytest.mark.parametrize(
    ("source", "fields", "status"),
    [
        ("/Scans/a.tmp", {}, 400),
        ("/Scans/a.tmp", {"destination": "b.png"}, 400),
        ("/Scans/a.tmp", {"destination": "http://other/Scans/b.png"}, 502),
        ("/Scans/a.tmp", {"destination": "/Nowhere/b.png"}, 404),
        ("/Scans/a.tmp", {"destination": "/Scans"}, 403),
        ("/Scans/a.tmp", {"destination": "/Scans/there.png", "overwrite": "F"}, 412),
        ("/Scans/none.tmp", {"destination": "/Scans/b.png"}, 404),
        ("/Scans", {"destination": "/Scans/b.png"}, 403),
        ("/Scans/May", {"destination": "/Scans/June"}, 403),
    ],
)
def test_other_moves_are_refused(
    site: WebSite, client: httpx2.Client, source: str, fields: dict[str, str], status: int
) -> None:
    """And the file stays where it is."""
    client.put("/Scans/a.tmp", content=PNG)
    client.put("/Scans/there.png")
    ask(client, "MKCOL", "/Scans/May")

    assert ask(client, "MOVE", source, **fields).status_code == status
    assert "/Scans/a.tmp" in listed(client)
    assert site.server.jobs == []


def test_a_sender_holds_so_many_files_that_wait(client: httpx2.Client) -> None:
    """Each takes room on the disk."""
    for number in range(MOST_HELD_OF_SENDER):
        assert client.put(f"/Scans/{number}.tmp", content=PNG).status_code == 201

    refused = client.put("/Scans/more.tmp", content=PNG)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "600")
    assert ask(client, "MOVE", "/Scans/0.tmp", destination="/Scans/0.png").status_code == 201
    assert client.put("/Scans/more.tmp", content=PNG).status_code == 201


# --- conditions ----------------------------------------------------------------------------------------------------


def test_a_put_may_ask_that_nothing_is_there(client: httpx2.Client) -> None:
    """Or that it is what it was."""
    tag = client.put("/Scans/a.png").headers["etag"]

    assert client.put("/Scans/a.png", content=PNG, headers={"if-none-match": "*"}).status_code == 412
    assert client.put("/Scans/a.png", content=PNG, headers={"if-match": '"other"'}).status_code == 412
    assert client.put("/Scans/b.png", content=PNG, headers={"if-match": "*"}).status_code == 412
    assert client.put("/Scans/b.png", content=PNG, headers={"if-none-match": "*"}).status_code == 201
    assert client.put("/Scans/a.png", content=PNG, headers={"if-match": f'"x", {tag}'}).status_code == 201
