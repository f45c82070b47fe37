"""The SharePoint filter and libraries on premises: a real WebDAV server on loopback."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import webdav
from cancelled import run_until
from certificates import Authority

from postscan.core.filters.parameters import read
from postscan.core.model.states import FilterState
from postscan.plugins.filters.sharepoint import NAMESPACE, Instructions, Settings, SharePoint
from postscan.plugins.filters.sharepoint.delivery import Address
from postscan.plugins.testing import run_filter

USER = "anna@fabrikam.example"
NAMES = [f"Scan_{USER}_20260302-094107_{id:03d}.{suffix}" for id, suffix in ((1, "png"), (2, "tif"))]
FOLDER = f"docs/{USER}"


@pytest.fixture
def dav(tmp_path):
    """A server with an empty library."""
    with webdav.serve(tmp_path / "dav") as running:
        yield running


@pytest.fixture
def pages(tmp_path):
    """Two pages, each of more than one piece."""
    paths = [tmp_path / "page.png", tmp_path / "page.tif"]
    for path in paths:
        path.write_bytes(os.urandom(600_000))
    return paths


def settings(dav, **more):
    """Return the settings for a server; `more` changes its entry."""
    entry = {"kind": "webdav", "user": webdav.USER, "password": webdav.PASSWORD, "seconds": 60, **more}
    return {"sites": {dav.url: entry}}


def run(dav, files, *urls, table=None, my_site=False, **how):
    """Run the filter for these libraries, or for the server's own, and return its result."""
    instructions = Instructions(my_site, urls or (dav.library,))
    return run_filter(SharePoint(), files, instructions=instructions, settings=table or settings(dav), **how)


def stored(dav):
    """Return the files below the server's root, once it has noticed which uploads were broken off."""
    end = time.monotonic() + 60
    while any(name.endswith(".part") for name in dav.files()) and time.monotonic() < end:
        time.sleep(0.02)
    return dav.files()


# --- what is delivered -----------------------------------------------------------------------------------------------


def test_every_document_goes_to_every_library_into_the_users_folder(dav, pages):
    """PSP-024; and its bytes stay as they are (PSP-026)."""
    (dav.root / "docs" / "hr").mkdir()
    result = run(dav, pages, dav.library, f"{dav.library}/hr")
    contents = [page.read_bytes() for page in pages]

    assert result.outcome is FilterState.SUCCEEDED
    assert dav.files() == {
        f"{folder}/{USER}/{name}": content
        for folder in ("docs", "docs/hr")
        for name, content in zip(NAMES, contents, strict=True)
    }


def test_the_server_hears_of_every_output(dav, pages):
    """Document, destination as the scan process spells it, and name."""
    result = run(dav, pages, f"{dav.library}/")

    assert result.published == [(1, f"{dav.library}/", NAMES[0]), (2, f"{dav.library}/", NAMES[1])]


def test_the_users_folder_is_made_once_and_nothing_above_it(dav, pages):
    """One MKCOL for all documents; a library that is not there is not made."""
    run(dav, pages)
    result = run(dav, pages, f"{dav.library}/missing")

    assert dav.methods().count("MKCOL") == 2
    assert result.reasons == ("UnknownError",)
    assert result.detail == f"{dav.library}/missing: there is no such library, or no such folder in it"
    assert not (dav.root / "docs" / "missing").exists()


def test_a_library_that_is_named_twice_gets_each_document_once(dav, pages):
    """The case of the host, a slash at the end and the way of escaping make no second library (I20)."""
    run(dav, pages[:1], dav.library, dav.library.replace("http", "HTTP").replace("docs", "d%6Fcs/"))

    assert list(dav.files()) == [f"{FOLDER}/{NAMES[0]}"]


def test_blanks_and_umlauts_may_be_written_as_they_are(dav, pages):
    """People copy such addresses from their browsers."""
    (dav.root / "docs" / "Größe 100%").mkdir()
    result = run(dav, pages[:1], f"{dav.library}/Größe 100%25")

    assert result.outcome is FilterState.SUCCEEDED
    assert list(dav.files()) == [f"docs/Größe 100%/{USER}/{NAMES[0]}"]


def test_a_name_that_somebody_has_is_left_alone(dav, pages):
    """The next free one is taken (D9)."""
    theirs = dav.root / FOLDER / NAMES[0]
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")
    result = run(dav, pages[:1])

    assert theirs.read_bytes() == b"theirs"
    assert result.published == [(1, dav.library, NAMES[0].replace(".png", "-2.png"))]
    assert len(dav.files()) == 2


def test_running_twice_after_a_crash_does_no_harm(dav, pages):
    """What was published is recognised by name and hash, and not even sent again (I20)."""
    first = run(dav, pages)
    before = len(dav.requests)
    second = run(dav, pages, earlier=first.published)

    assert (second.outcome, second.published) == (FilterState.SUCCEEDED, [])
    assert sorted(dav.files()) == [f"{FOLDER}/{name}" for name in NAMES]
    assert "PUT" not in dav.methods()[before:]


@pytest.mark.parametrize("content", [b"theirs", bytes(600_000), None])
def test_what_was_granted_but_never_appeared_is_delivered(dav, pages, content):
    """Another file of the name is not ours, even one of the same size."""
    if content is not None:
        (dav.root / FOLDER).mkdir()
        (dav.root / FOLDER / NAMES[0]).write_bytes(content)
    result = run(dav, pages[:1], earlier=[(1, dav.library, NAMES[0])])

    assert len(result.published) == 1
    assert (dav.root / FOLDER / result.published[0][2]).read_bytes() == pages[0].read_bytes()


def test_without_destinations_it_warns(dav, pages):
    """Legal, and nothing is done (P-5)."""
    nothing = read(Instructions, f"<SharePointConfig xmlns='{NAMESPACE}'/>".encode(), NAMESPACE)
    result = run_filter(SharePoint(), pages, instructions=nothing, settings=settings(dav))

    assert result.outcome is FilterState.WARNINGS
    assert result.warnings == ("the scan process names no library: nothing was delivered",)


def test_the_instructions_are_those_of_the_schema():
    """PSP-006 and PSP-008: names, order and the length of an address."""
    long = f"https://sharepoint.example/{'x' * 2021}"
    xml = f"""<s:SharePointConfig xmlns:s='{NAMESPACE}'><s:SaveToMySite> 1 </s:SaveToMySite><s:SaveToSharePointSites>
        <s:SaveToSharePointSiteURL>{long}</s:SaveToSharePointSiteURL></s:SaveToSharePointSites></s:SharePointConfig>"""

    assert read(Instructions, xml.encode(), SharePoint.dialect) == Instructions(True, (long,))
    with pytest.raises(ValueError, match="at most 2048 characters"):
        read(Instructions, xml.replace("xxx", "xxxxx", 1).encode(), SharePoint.dialect)


# --- the user's own library ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "folder"),
    [("{user}", USER), ("personal/{account}", "personal/anna"), ("{personal}", "anna_fabrikam_example")],
)
def test_the_users_own_library_is_one_more_destination(dav, pages, template, folder):
    """PSP-025: where it is, the settings say."""
    (dav.root / "docs" / folder).mkdir(parents=True)
    table = {**settings(dav), "my_site": f"{dav.library}/{template}"}
    result = run(dav, pages[:1], dav.library, my_site=True, table=table)

    assert sorted(dav.files()) == sorted([f"{FOLDER}/{NAMES[0]}", f"docs/{folder}/{USER}/{NAMES[0]}"])
    assert result.published == [(1, dav.library, NAMES[0]), (1, "MySite", NAMES[0])]


def test_without_a_place_for_own_libraries_the_others_are_served(dav, pages):
    """And the sentence says which setting is missing (PSP-029, PSP-030)."""
    result = run(dav, pages[:1], my_site=True)

    assert result.reasons == ("UnknownError",)
    assert result.detail == "MySite: its URL is not configured; set filters.sharepoint.my_site"
    assert len(dav.files()) == 1


# --- where it goes, and where not ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://sharepoint.example/docs",
        r"\\sharepoint\docs",
        "/docs",
        "",
        "https://",
        "https://svc:pw@sharepoint.example/docs",
        "https://sharepoint.example/docs/../admin",
        "https://sharepoint.example/docs/%2e%2e/admin",
        "https://sharepoint.example/docs/a%2fb",
        "https://sharepoint.example/docs/a%5cb",
        "https://sharepoint.example/docs?cmd=x",
        "https://sharepoint.example/docs#x",
        "https://sharepoint.example/do\ncs",
        "https://sharepoint.example/%ff",
        "https://sharepoint.example:99999/docs",
        "https://share point.example/docs",
    ],
)
def test_what_is_no_address_of_a_library_is_refused(dav, pages, url):
    """InvalidArgs, the other libraries are served, and nobody is called (PSP-029, PSP-030, T-F6)."""
    result = run(dav, pages[:1], url, dav.library)

    assert result.reasons == ("InvalidArgs",)
    assert "not the address of a library" in result.detail
    assert len(dav.files()) == 1


def test_an_address_that_the_settings_do_not_name_is_never_called(dav, pages, tmp_path):
    """D17 and I30: not the same host on another port, nor a path beside the configured one."""
    with webdav.serve(tmp_path / "other") as other:
        table = {"sites": {f"{dav.url}/docs/hr": settings(dav)["sites"][dav.url]}}
        urls = (other.library, dav.library, f"{dav.library}/hrx", f"{dav.library}/HR")
        result = run(dav, pages, *urls, table=table)

        assert (dav.requests, other.requests) == ([], [])
    assert result.reasons == ("UnknownError",)
    assert result.detail == "; ".join(f"{url}: no site covers it; add it to filters.sharepoint.sites" for url in urls)


def test_the_longest_prefix_wins(dav, pages):
    """An entry for one library goes before the one for its host."""
    sites = settings(dav)["sites"]
    wrong = settings(dav, password="wrong")["sites"][dav.url]
    (dav.root / "docs" / "hr").mkdir()
    table = {"sites": {dav.url: wrong, f"{dav.url}/docs": sites[dav.url]}}

    assert run(dav, pages[:1], f"{dav.library}/hr", table=table).outcome is FilterState.SUCCEEDED


@pytest.mark.parametrize("method", ["PROPFIND", "PUT", "MOVE"])
def test_a_redirect_is_not_followed(dav, pages, tmp_path, method):
    """The other host hears nothing, neither of the file nor of the password (T-F6, I30)."""
    with webdav.serve(tmp_path / "other") as other:
        dav.faults[method].append(webdav.answers("307 Temporary Redirect", ("Location", f"{other.library}/x")))
        result = run(dav, pages[:1])

        assert other.requests == []
    assert result.reasons == ("UnknownError",)
    assert f"answered {method} with 307, a redirect, which is not followed" in result.detail
    assert stored(dav) == {}


def test_no_variable_of_the_environment_sends_it_elsewhere(dav, pages, monkeypatch):
    """A proxy of the environment is not for us (I30)."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{webdav.free_port()}")

    assert run(dav, pages[:1]).outcome is FilterState.SUCCEEDED


def test_over_tls_the_server_must_be_the_one_that_the_settings_trust(tmp_path, pages):
    """Else it hears nothing at all, so that no password goes to it (T-F6)."""
    ca, stranger = Authority("Test CA"), Authority("Stranger")
    with webdav.serve(tmp_path / "dav", ca.server().write(tmp_path, "tls")) as dav:
        refused = run(dav, pages[:1], table=settings(dav, ca_file=str(stranger.write(tmp_path, "stranger"))))
        heard = list(dav.requests)
        taken = run(dav, pages[:1], table=settings(dav, ca_file=str(ca.write(tmp_path, "ca"))))

    assert taken.outcome is FilterState.SUCCEEDED
    assert (refused.reasons, heard) == (("UnknownError",), [])
    assert "is not accepted" in refused.detail
    assert refused.log == []  # nor is it asked again


# --- what can go wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        ("PROPFIND", "401 Unauthorized", "SharePointAccessDenied"),
        ("MKCOL", "403 Forbidden", "SharePointAccessDenied"),
        ("PUT", "403 Forbidden", "SharePointAccessDenied"),
        ("MOVE", "403 Forbidden", "SharePointAccessDenied"),
        ("PUT", "507 Insufficient Storage", "SharePointOutOfDiskSpace"),
        ("MOVE", "507 Insufficient Storage", "SharePointOutOfDiskSpace"),
        ("PUT", "413 Content Too Large", "UnknownError"),
        ("PROPFIND", "500 Internal Server Error", "UnknownError"),
        ("PUT", "404 Not Found", "UnknownError"),
    ],
)
def test_a_refusal_becomes_the_reason_of_the_protocol(dav, pages, method, status, reason):
    """PSP-030 and F-R17; with the status in the sentence, and nothing left behind."""
    dav.faults[method].append(webdav.answers(status))
    result = run(dav, pages[:1])

    assert result.reasons == (reason,)
    assert f"answered {method} with {status[:3]}" in result.detail
    assert stored(dav) == {}


def test_a_quota_is_a_lack_of_room(dav, pages):
    """RFC 4331: what the body says decides what 413 means."""
    body = b"<D:error xmlns:D='DAV:'><D:quota-not-exceeded/></D:error>"
    dav.faults["PUT"].append(webdav.answers("413 Too Large", body=body))

    assert run(dav, pages[:1]).reasons == ("SharePointOutOfDiskSpace",)


def test_a_library_that_may_only_be_read_denies_access(dav, pages):
    """And the other one is served (PSP-029)."""
    result = run(dav, pages, f"{dav.url}/readonly", dav.library)

    assert result.reasons == ("SharePointAccessDenied",)
    assert result.detail.startswith(f"{dav.url}/readonly: the site answered MKCOL with 403")
    assert len(dav.files()) == 2


def test_a_wrong_password_denies_access_and_is_in_no_sentence(dav, pages):
    """Neither in the detail nor in the log."""
    result = run(dav, pages[:1], table=settings(dav, password="wr0ng-but-secret"))

    assert result.reasons == ("SharePointAccessDenied",)
    assert "refuses the user and password" in result.detail
    assert "wr0ng" not in repr(result)


def test_a_library_that_failed_is_not_tried_for_the_next_document(dav, pages):
    """One refusal is enough."""
    dav.faults["PUT"].append(webdav.answers("507 Full"))
    run(dav, pages)

    assert dav.methods().count("PUT") == 1


def test_a_server_that_is_gone_is_given_up_after_its_time(dav, pages):
    """And the sentence says for how long it was tried."""
    url = f"http://127.0.0.1:{webdav.free_port()}"
    table = {"sites": {url: {"kind": "webdav", "seconds": 0.5}}}
    result = run(dav, pages, f"{url}/docs", table=table)

    assert result.reasons == ("UnknownError",)
    assert result.detail.startswith(f"{url}/docs: {url} does not answer (ConnectError); given up: the limit is 0.5 s")
    assert len(result.log) >= 1


@pytest.mark.parametrize("method", ["PROPFIND", "MKCOL", "PUT", "HEAD", "MOVE"])
def test_a_server_that_is_busy_is_asked_again(dav, pages, pauses, method):
    """After the time that it wants, and with one whole file in the end (F-R17)."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    dav.faults[method] += [
        webdav.answers("503 Busy", ("Retry-After", "0")),
        webdav.answers("429 Too Many", ("Retry-After", soon)),
        webdav.answers("423 Locked"),
    ]
    result = run(dav, pages[:1])

    assert result.outcome is FilterState.SUCCEEDED
    assert dav.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}
    assert len(result.log) == 3
    assert pauses == [0, pytest.approx(0.5, abs=0.5), 0.8]


def test_a_server_that_wants_more_time_than_it_gets_is_not_waited_for(dav, pages):
    """The sentence names both times."""
    dav.faults["PUT"].append(webdav.answers("503 Busy", ("Retry-After", "3600")))
    result = run(dav, pages[:1])

    assert result.reasons == ("UnknownError",)
    assert result.detail.endswith("answered PUT with 503; it asks for a pause of 3600 s; given up: the limit is 60 s")
    assert stored(dav) == {}


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_connection_that_breaks_in_the_middle_is_made_again(dav, pages, size):
    """One whole file in the end, and nothing beside it (F-R17)."""
    dav.faults["PUT"].append(webdav.cuts_after(size))
    result = run(dav, pages[:1])

    assert result.outcome is FilterState.SUCCEEDED
    assert stored(dav) == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}


def test_a_file_that_arrived_in_part_is_sent_again(dav, pages):
    """A server may say that all is well."""

    def keeps_a_part(_, app, environ, start):
        piece = environ["wsgi.input"].read(100_000)
        while environ["wsgi.input"].read(1 << 16):
            """Lose the rest."""
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = webdav.Piece(piece), str(len(piece))
        return app(environ, start)

    dav.faults["PUT"].append(keeps_a_part)
    result = run(dav, pages[:1])

    assert dav.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}
    assert "has stored 100000 of 600000 bytes" in result.log[0][1]


@pytest.mark.parametrize("method", ["PROPFIND", "MKCOL", "PUT", "HEAD", "MOVE"])
def test_an_answer_that_is_lost_makes_no_second_file(dav, pages, method):
    """It is looked whether what was asked for was done (F-R17: dup)."""
    dav.faults[method].append(webdav.loses_the_answer)
    result = run(dav, pages[:1])

    assert result.outcome is FilterState.SUCCEEDED
    assert dav.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}
    assert result.published == [(1, dav.library, NAMES[0])]


def test_a_lost_answer_about_a_name_that_somebody_has_is_not_mistaken(dav, pages):
    """An equal file of somebody else is not ours (ruling 6)."""
    (dav.root / FOLDER).mkdir()
    (dav.root / FOLDER / NAMES[0]).write_bytes(pages[0].read_bytes())
    dav.faults["MOVE"].append(webdav.loses_the_answer)
    result = run(dav, pages[:1])

    assert result.published == [(1, dav.library, NAMES[0].replace(".png", "-2.png"))]
    assert len(dav.files()) == 2


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_a_cancel_at_any_check_leaves_whole_files_and_nothing_else(dav, pages):
    """Delivered stays, half is never visible, and nothing is beside (promises 3 and 6)."""
    seen = set()
    for number in itertools.count(1):
        result = run(dav, pages, cancel_at=number)
        files = stored(dav)
        seen.add(len(files))

        assert set(files.values()) <= {page.read_bytes() for page in pages}
        assert len(files) == len(result.published)
        if result.outcome is not FilterState.CANCELED:
            break
        shutil.rmtree(dav.root / FOLDER, ignore_errors=True)

    assert seen == {0, 1, 2}


@pytest.mark.parametrize("method", ["PROPFIND", "MKCOL", "PUT", "HEAD", "MOVE"])
def test_a_cancel_ends_a_call_to_a_silent_server(dav, pages, tmp_path, method):
    """The run does not wait for the server's time to be over, and nothing appears (promise 9)."""
    dav.faults[method].append(webdav.hangs)
    table = Settings(**settings(dav, seconds=60))
    began = time.monotonic()
    published = run_until(dav.hanging, SharePoint(), pages, Instructions(False, (dav.library,)), table, tmp_path)

    assert time.monotonic() - began < 30
    assert published == []
    assert stored(dav) == {}


def test_a_cancel_ends_the_wait_for_a_busy_server(dav, pages, tmp_path):
    """However long it wants to be left alone."""

    def busy(server, app, environ, start):
        server.hanging.set()
        return webdav.answers("503 Busy", ("Retry-After", "50"))(server, app, environ, start)

    dav.faults["PUT"].append(busy)
    table = Settings(**settings(dav, seconds=60))
    began = time.monotonic()
    run_until(dav.hanging, SharePoint(), pages, Instructions(False, (dav.library,)), table, tmp_path)

    assert time.monotonic() - began < 30
    assert stored(dav) == {}


# --- settings --------------------------------------------------------------------------------------------------------


ENTRY = {"kind": "webdav", "user": "svc", "password": "t0p-secret"}


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"sites": {"sharepoint.example": ENTRY}}, "not the address of a library"),
        ({"sites": {"https://sp.example": {}}}, "kind is None; expected one of webdav, online"),
        ({"sites": {"https://sp.example": "x"}}, "expected a table"),
        ({"sites": {"https://sp.example": {**ENTRY, "pasword": "x"}}}, "there is no setting 'pasword'"),
        ({"sites": {"https://sp.example": {**ENTRY, "password": 1234}}}, "password has an invalid value"),
        ({"sites": {"https://sp.example": {**ENTRY, "seconds": 0}}}, "a number of seconds above 0"),
        ({"sites": {"https://sp.example": {**ENTRY, "password_file": "/x"}}}, "expected one of them"),
        ({"sites": {"https://sp.example": {"kind": "webdav", "user": "svc"}}}, "needs a password"),
        ({"sites": {"https://sp.example": {**ENTRY, "user": "a:b"}}}, "has a colon"),
        ({"sites": {"http://sp.example": ENTRY}}, "expected https, or allow_plain_http"),
        ({"sites": {"https://sp.example": ENTRY, "HTTPS://SP.example:443/": ENTRY}}, "appears twice"),
        ({"sites": {"https://sp.example": ENTRY}, "my_site": "https://my.example/{user}"}, "covers it"),
        ({"sites": {"https://sp.example": ENTRY}, "my_site": "https://sp.example/x"}, "the same for every user"),
        ({"sites": {"https://sp.example": ENTRY}, "my_site": "https://sp.example/{name}"}, "none of {user}"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_at_load(table, sentence):
    """The sentence names the key, and contains no password."""
    with pytest.raises(ValueError) as refused:
        Settings(**table)

    assert sentence in str(refused.value)
    assert "filters.sharepoint." in str(refused.value)
    assert "t0p-secret" not in str(refused.value)


def test_over_plain_http_only_with_leave():
    """Then the administrator has decided."""
    table = Settings(sites={"http://sp.example": {**ENTRY, "allow_plain_http": True}})

    assert table.site_of(Address.parse("http://SP.example/docs")) == Address.parse("http://sp.example")


def test_the_password_may_be_in_a_file(dav, pages, tmp_path):
    """With a line end behind it; if the file is not there, the sentence names it."""
    file = tmp_path / "password"
    missing = run(dav, pages[:1], table=settings(dav, password="", password_file=str(file)))
    file.write_text(f"{webdav.PASSWORD}\n")
    result = run(dav, pages[:1], table=settings(dav, password="", password_file=str(file)))

    assert result.outcome is FilterState.SUCCEEDED
    assert missing.detail == f"{dav.library}: password_file {file} cannot be read: No such file or directory"


def test_the_password_is_not_shown_with_its_entry():
    """Whoever prints the settings gives nothing away."""
    site = next(iter(Settings(sites={"https://sp.example": ENTRY}).by_prefix.values()))

    assert "t0p-secret" not in repr(site)
