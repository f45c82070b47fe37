"""The requests of file managers and devices, as their sources, documents and logs have them, from mount to copied file.

Windows: the order in logs of Microsoft-WebDAV-MiniRedir, the properties of [MS-WDVME]. macOS: `webdav_network.c` of
Apple's webdavfs. Epson and Konica Minolta: what their users reported of their requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import httpx2
import image_files
import pytest
from lxml import etree
from web_site import ANN, StartSite, WebSite

PNG = image_files.saved(image_files.noise(), "PNG")

WINDOWS = {"user-agent": "Microsoft-WebDAV-MiniRedir/10.0.22631", "translate": "f"}
MACOS = {"user-agent": "WebDAVFS/3.0.0 (03008000) Darwin/23.0.0 (arm64)", "accept": "*/*"}

WIN32 = """<?xml version="1.0" encoding="utf-8" ?>
<D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop>
<Z:Win32CreationTime>Mon, 30 Nov 2026 08:00:00 GMT</Z:Win32CreationTime>
<Z:Win32LastAccessTime>Mon, 30 Nov 2026 08:00:00 GMT</Z:Win32LastAccessTime>
<Z:Win32LastModifiedTime>Mon, 30 Nov 2026 08:00:00 GMT</Z:Win32LastModifiedTime>
<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes>
</D:prop></D:set></D:propertyupdate>"""

WINDOWS_LOCK = """<?xml version="1.0" encoding="utf-8" ?>
<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>
<D:locktype><D:write/></D:locktype><D:owner><D:href>DESKTOP\\ann</D:href></D:owner></D:lockinfo>"""

MACOS_LOCK = """<?xml version="1.0" encoding="utf-8"?>
<D:lockinfo xmlns:D="DAV:">
<D:lockscope><D:exclusive/></D:lockscope>
<D:locktype><D:write/></D:locktype>
<D:owner>
<D:href>http://www.apple.com/webdav_fs/</D:href>
</D:owner>
</D:lockinfo>
"""

MACOS_STAT = """<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:">
<D:prop>
<D:getlastmodified/>
<D:getcontentlength/>
<D:creationdate/>
<D:resourcetype/>
</D:prop>
</D:propfind>
"""

MACOS_SPACE = """<?xml version="1.0" encoding="utf-8"?>
<D:propfind xmlns:D="DAV:">
<D:prop>
<D:quota-available-bytes/>
<D:quota-used-bytes/>
<D:quota/>
<D:quotaused/>
</D:prop>
</D:propfind>
"""


def found(response: httpx2.Response, name: str) -> list[str | None]:
    """Return the texts of all properties of this name that a 207 response has found."""
    assert response.status_code == 207
    root = etree.fromstring(response.content)
    stats = [one for one in root.iter("{DAV:}propstat") if " 200 " in (one.findtext("{DAV:}status") or "")]
    return [one.text for stat in stats for one in stat.iter(f"{{DAV:}}{name}")]


def hrefs(response: httpx2.Response) -> list[str]:
    """Return the paths of a 207 response."""
    assert response.status_code == 207
    return [one.findtext("{DAV:}href") or "" for one in etree.fromstring(response.content).iter("{DAV:}response")]


def token_of(response: httpx2.Response) -> str:
    """Return the token of a new lock, which the field and the body have to agree on."""
    token = response.headers["lock-token"].strip("<>")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", token)
    assert etree.fromstring(response.content).findtext(".//{DAV:}locktoken/{DAV:}href") == token
    return token


class Sender:
    """A client with the fields that it sends in each request."""

    def __init__(self, client: httpx2.Client, fields: dict[str, str]) -> None:
        self._client = client
        self._fields = fields

    def __call__(
        self, method: str, path: str, content: bytes | str | Iterable[bytes] = b"", **fields: str
    ) -> httpx2.Response:
        more = {name.rstrip("_").replace("_", "-"): value for name, value in fields.items()}
        return self._client.request(method, path, content=content, headers={**self._fields, **more})


# --- Windows -------------------------------------------------------------------------------------------------------


@pytest.fixture
def explorer(start: StartSite) -> tuple[WebSite, Sender]:
    """Explorer with an account, over TLS, as it insists on with Basic."""
    site = start(secure=True)
    return site, Sender(site.client(ANN), WINDOWS)


def test_explorer_maps_a_drive(explorer: tuple[WebSite, Sender]) -> None:
    """It asks what the server can do, without a password at first, and what the folder is."""
    site, send = explorer
    options = Sender(site.client(), WINDOWS)("OPTIONS", "/")

    assert options.status_code == 200
    assert options.headers["dav"] == "1, 2"
    assert options.headers["ms-author-via"] == "DAV"
    assert {"PROPFIND", "PUT", "LOCK", "UNLOCK", "PROPPATCH"} <= set(options.headers["allow"].split(", "))
    assert Sender(site.client(), WINDOWS)("PROPFIND", "/", depth="0").status_code == 401
    assert found(send("PROPFIND", "/", depth="0"), "collection") == [None]
    assert hrefs(send("PROPFIND", "/", depth="1")) == ["/", "/Scans/", "/Invoices%20%28Ann%29/"]
    assert found(send("PROPFIND", "/Scans", depth="0"), "displayname") == ["Scans"]


def test_explorer_copies_a_file(explorer: tuple[WebSite, Sender]) -> None:
    """Empty file, lock, times, content, times, unlock; the job is made by the content, and once."""
    site, send = explorer
    name = "/Scans/letter.png"

    assert send("PROPFIND", name, depth="0").status_code == 404
    assert send("PUT", name).status_code == 201
    assert site.server.jobs == []

    lock = send("LOCK", name, WINDOWS_LOCK, timeout="Second-3600", content_type='text/xml; charset="utf-8"')
    token = token_of(lock)
    assert lock.status_code == 200
    held = f"(<{token}>)"
    assert b"HTTP/1.1 200 OK" in send("PROPPATCH", name, WIN32, if_=held).content
    assert send("HEAD", name).headers["content-length"] == "0"
    assert site.server.jobs == []

    put = send("PUT", name, PNG, if_=held)
    (job,) = site.server.in_state("Pending")
    assert put.status_code == 201
    assert job.pages == [PNG]
    assert job.request.name == "letter.png"

    patched = send("PROPPATCH", name, WIN32, if_=held)
    assert patched.status_code == 207
    assert b"HTTP/1.1 200 OK" in patched.content
    assert send("UNLOCK", name, lock_token=f"<{token}>").status_code == 204
    after = send("PROPFIND", name, depth="0")
    assert found(after, "getcontentlength") == [str(len(PNG))]
    assert b"Win32LastModifiedTime" in after.content
    assert hrefs(send("PROPFIND", "/Scans/", depth="1")) == ["/Scans/", name]
    assert len(site.server.jobs) == 1


def test_explorer_keeps_other_programs_away_from_its_file(explorer: tuple[WebSite, Sender]) -> None:
    """Without the token of the lock nothing changes."""
    site, send = explorer
    send("PUT", "/Scans/a.png")
    send("LOCK", "/Scans/a.png", WINDOWS_LOCK)

    for method, fields in (("PUT", {}), ("DELETE", {}), ("MOVE", {"destination": "/Scans/b.png"}), ("PROPPATCH", {})):
        body = WIN32 if method == "PROPPATCH" else PNG if method == "PUT" else b""
        assert send(method, "/Scans/a.png", body, **fields).status_code == 423
    assert site.server.jobs == []


def test_explorer_deletes_the_empty_file_of_a_copy_that_failed(explorer: tuple[WebSite, Sender]) -> None:
    """And gets the reason before."""
    site, send = explorer
    send("PUT", "/Scans/a.txt")
    token = token_of(send("LOCK", "/Scans/a.txt", WINDOWS_LOCK))

    assert send("PUT", "/Scans/a.txt", b"text", if_=f"(<{token}>)").status_code == 415
    assert send("UNLOCK", "/Scans/a.txt", lock_token=f"<{token}>").status_code == 204
    assert send("DELETE", "/Scans/a.txt").status_code == 204
    assert send("PROPFIND", "/Scans/a.txt", depth="0").status_code == 404
    assert site.server.jobs == []


# --- macOS ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def finder(start: StartSite) -> tuple[WebSite, Sender]:
    """Finder with an account."""
    site = start(secure=True)
    return site, Sender(site.client(ANN), MACOS)


def test_finder_mounts_for_writing(finder: tuple[WebSite, Sender]) -> None:
    """It needs class 2, the kind and times of the root, and the free space; what it looks for beside is not there."""
    _, send = finder
    root = send("PROPFIND", "/", MACOS_STAT, depth="0")
    space = send("PROPFIND", "/", MACOS_SPACE, depth="0")

    assert "2" in send("OPTIONS", "/").headers["dav"]
    assert found(root, "collection") == [None]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found(root, "creationdate")[0] or "")
    assert int(found(space, "quota-available-bytes")[0] or "") > 0
    assert found(space, "quota-used-bytes") == ["0"]
    assert found(space, "quota") == []
    for name in ("/.DS_Store", "/._.", "/Scans/.hidden", "/Scans/._.", "/.metadata_never_index"):
        assert send("PROPFIND", name, MACOS_STAT, depth="0").status_code == 404


def test_finder_copies_a_file(finder: tuple[WebSite, Sender]) -> None:
    """Empty files, locks, content in chunks with its length beside; its own file is kept and is no job."""
    site, send = finder
    name, beside = "/Scans/Brief%20a%CC%88.png", "/Scans/._Brief%20a%CC%88.png"
    double = b"\x00\x05\x16\x07" + b"\0" * 4092

    assert send("PROPFIND", name, MACOS_STAT, depth="0").status_code == 404
    assert send("PUT", name, content_length="0").status_code == 201
    assert found(send("PROPFIND", name, MACOS_STAT, depth="0"), "getcontentlength") == ["0"]
    token = token_of(send("LOCK", name, MACOS_LOCK, depth="0", timeout="Second-600", content_type="text/xml"))

    assert send("PROPFIND", beside, MACOS_STAT, depth="0").status_code == 404
    assert send("PUT", beside, content_length="0").status_code == 201
    beside_token = token_of(send("LOCK", beside, MACOS_LOCK, depth="0", timeout="Second-600"))
    assert send("GET", beside).content == b""
    assert (
        send("PUT", beside, iter([double]), x_expected_entity_length="4096", if_=f"(<{beside_token}>)").status_code
        == 204
    )
    assert send("GET", beside).content == double
    assert send("UNLOCK", beside, lock_token=f"<{beside_token}>").status_code == 204
    assert site.server.jobs == []

    renewed = send("LOCK", name, depth="0", timeout="Second-600", if_=f"(<{token}>)")
    assert renewed.status_code == 200
    pieces = (PNG[at : at + 500] for at in range(0, len(PNG), 500))
    put = send("PUT", name, pieces, x_expected_entity_length=str(len(PNG)), if_=f"(<{token}>)")
    assert put.status_code == 201
    assert "date" in put.headers
    assert found(send("PROPFIND", name, MACOS_STAT, depth="0"), "getcontentlength") == [str(len(PNG))]
    assert send("UNLOCK", name, lock_token=f"<{token}>").status_code == 204

    (job,) = site.server.in_state("Pending")
    assert job.pages == [PNG]
    assert len(hrefs(send("PROPFIND", "/Scans/", MACOS_STAT, depth="1"))) == 3


def test_finder_locks_a_file_that_is_not_there(finder: tuple[WebSite, Sender]) -> None:
    """Then there is an empty one (RFC 4918 section 9.10.4)."""
    _, send = finder

    assert send("LOCK", "/Scans/._a.png", MACOS_LOCK, depth="0").status_code == 201
    assert send("GET", "/Scans/._a.png").content == b""


def test_finder_copies_a_folder(finder: tuple[WebSite, Sender]) -> None:
    """Each file in it is a job of the destination."""
    site, send = finder

    assert send("MKCOL", "/Scans/May/").status_code == 201
    assert send("PROPFIND", "/Scans/May/", MACOS_STAT, depth="1").status_code == 207
    assert send("PUT", "/Scans/May/a.png", PNG).status_code == 201
    assert hrefs(send("PROPFIND", "/Scans/May/", depth="1")) == ["/Scans/May/", "/Scans/May/a.png"]
    assert site.server.jobs[0].request.destination == "d1"


def test_finder_loses_no_file_to_a_connection_that_breaks(finder: tuple[WebSite, Sender]) -> None:
    """A body that is shorter than announced is none, though its chunks have an end."""
    site, send = finder
    send("PUT", "/Scans/a.png")

    assert send("PUT", "/Scans/a.png", iter([PNG]), x_expected_entity_length=str(len(PNG) + 1)).status_code == 400
    assert site.server.jobs == []


# --- devices -------------------------------------------------------------------------------------------------------


def test_a_scanner_of_epson_sends_a_file(start: StartSite) -> None:
    """It looks at the folder by GET, first without its password; then empty file, short lock, content."""
    site = start(secure=True)
    without, send = Sender(site.client(), {}), Sender(site.client(ANN), {})

    assert without("GET", "/Scans").status_code == 401
    assert send("GET", "/Scans").status_code == 200
    assert send("HEAD", "/Scans/EPSON001.PNG").status_code == 404
    assert send("PUT", "/Scans/EPSON001.PNG").status_code == 201
    token = token_of(send("LOCK", "/Scans/EPSON001.PNG", WINDOWS_LOCK, timeout="Second-5"))
    assert send("PUT", "/Scans/EPSON001.PNG", PNG, if_=f"(<{token}>)").status_code == 201
    assert send("UNLOCK", "/Scans/EPSON001.PNG", lock_token=f"<{token}>").status_code == 204
    assert len(site.server.in_state("Pending")) == 1


def test_a_device_of_konica_minolta_checks_the_connection(site: WebSite) -> None:
    """By OPTIONS of a file that nobody has."""
    assert site.client().request("OPTIONS", "/Scans/**_Connection%20Check_**").status_code == 200


@pytest.mark.parametrize("temporary", ["scan.tmp", "SCAN.PART", "~scan.png", "scan.png.filepart"])
def test_a_device_renames_a_file_when_it_is_complete(site: WebSite, client: httpx2.Client, temporary: str) -> None:
    """That is when the job is made, with the last name."""
    send = Sender(client, {})

    assert send("PUT", f"/Scans/{temporary}", PNG).status_code == 201
    assert site.server.jobs == []
    assert found(send("PROPFIND", f"/Scans/{temporary}", depth="0"), "getcontentlength") == [str(len(PNG))]

    moved = send("MOVE", f"/Scans/{temporary}", destination=f"{site.url}Scans/scan.png", overwrite="T")
    (job,) = site.server.in_state("Pending")
    assert moved.status_code == 201
    assert moved.headers["location"].startswith(f"/jobs/{job.id}.")
    assert (job.request.name, job.pages) == ("scan.png", [PNG])
    assert hrefs(send("PROPFIND", "/Scans/", depth="1")) == ["/Scans/", "/Scans/scan.png"]
    assert list(site.server.started.workdir.iterdir()) == []
