"""The SharePoint filter and SharePoint Online: a small Entra ID and a small Graph on loopback, over TLS."""

from __future__ import annotations

import base64
import itertools
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import certificates
import graph
import pytest
from cancelled import run_until
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from graph import HOST, UNIT

from postscan.core.model.states import FilterState
from postscan.plugins.filters.sharepoint import Instructions, Settings, SharePoint
from postscan.plugins.filters.sharepoint.quickxor import quick_xor
from postscan.plugins.testing import run_filter

USER = "anna@fabrikam.example"
NAMES = [f"Scan_{USER}_20260302-094107_{id:03d}.{suffix}" for id, suffix in ((1, "png"), (2, "tif"))]
SITE = f"https://{HOST}/sites/hr"
LIBRARY = f"{SITE}/Shared%20Documents"
FOLDER = f"Shared-Documents/{USER}"


@dataclass(frozen=True)
class Papers:
    """The certificates of a module: the server's, the CA behind it, and the application's with its key."""

    tls: Path
    ca: Path
    application: Path
    certificate: object


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """All of them, made once: an RSA key takes its time."""
    folder = tmp_path_factory.mktemp("papers")
    authority = certificates.Authority()
    application, certificate = graph.application(folder)
    return Papers(authority.server().write(folder, "tls"), authority.write(folder, "ca"), application, certificate)


@pytest.fixture
def online(papers):
    """A tenant with one site, and two empty libraries in it."""
    with graph.serve(papers.tls, papers.certificate) as running:
        yield running


@pytest.fixture
def pages(tmp_path):
    """Two pages: one that takes several pieces, and one that fits into one."""
    paths = [tmp_path / "page.png", tmp_path / "page.tif"]
    for path, size in zip(paths, (2 * UNIT + 5000, 5000), strict=True):
        path.write_bytes(os.urandom(size))
    return paths


def settings(online, papers, prefix=SITE, **more):
    """Return the settings for the tenant; `more` changes the entry."""
    entry = {
        "kind": "online",
        "tenant": graph.TENANT,
        "client_id": graph.CLIENT,
        "certificate_file": str(papers.application),
        "key_file": str(papers.application),
        "ca_file": str(papers.ca),
        "authority": online.url,
        "graph": f"{online.url}/v1.0",
        "seconds": 10,
    }
    return {"sites": {prefix: entry | more}}


def run(online, papers, files, *urls, table=None, **how):
    """Run the filter for these libraries, or for the usual one, and return its result."""
    table = table or settings(online, papers)
    return run_filter(SharePoint(), files, instructions=Instructions(False, urls or (LIBRARY,)), settings=table, **how)


async def passes(*_):
    """No fault: the request before the one that is meant."""


# --- what is delivered -----------------------------------------------------------------------------------------------


def test_every_document_goes_to_every_library_into_the_users_folder(online, papers, pages):
    """PSP-024; and its bytes stay as they are (PSP-026)."""
    result = run(online, papers, pages, LIBRARY, f"{SITE}/documents")
    contents = [page.read_bytes() for page in pages]

    assert result.outcome is FilterState.SUCCEEDED
    assert online.files() == {
        f"{library}/{USER}/{name}": content
        for library in ("Shared-Documents", "Documents")
        for name, content in zip(NAMES, contents, strict=True)
    }
    assert result.published == [
        (id, url, name) for id, name in enumerate(NAMES, start=1) for url in (LIBRARY, f"{SITE}/documents")
    ]
    assert online.sessions == {}


def test_token_site_and_folder_are_asked_for_once(online, papers, pages):
    """The second document goes straight to its upload."""
    run(online, papers, pages)

    assert online.requests == [
        *("discovery", "token", "site", "drives", "drives", "item", "children"),
        *("session", "chunk", "chunk"),
        *("session", "chunk"),
    ]


def test_a_large_document_goes_in_large_pieces(online, papers, tmp_path):
    """All but the last in multiples of 320 KiB, at most 10 MiB each; the last, which waits for leave, is small."""
    big = tmp_path / "big.png"
    big.write_bytes(os.urandom(64 * UNIT))
    run(online, papers, [big], table=settings(online, papers, seconds=60))

    assert online.requests.count("chunk") == 3
    assert list(online.files().values()) == [big.read_bytes()]


def test_a_folder_in_the_library_may_be_named(online, papers, pages):
    """If it is there; it is not made."""
    online.put("Shared-Documents", "Invoices")
    result = run(online, papers, pages[:1], f"{LIBRARY}/Invoices", f"{LIBRARY}/Missing")

    assert list(online.files()) == [f"Shared-Documents/Invoices/{USER}/{NAMES[0]}"]
    assert result.reasons == ("UnknownError",)
    assert result.detail.startswith(f"{LIBRARY}/Missing: Microsoft Graph answered 404 (itemNotFound)")
    assert "Shared-Documents/Missing" not in online.folders()


@pytest.mark.parametrize(
    ("site", "url"),
    [("", "Shared%20Documents"), ("sites/hr", "sites/hr/Shared%20Documents"), ("personal/anna", "personal/anna/Docs")],
)
def test_a_host_stands_for_all_its_sites(online, papers, pages, site, url):
    """A prefix without a path: the root site, and those below /sites, /teams and /personal."""
    online.sites = {site: ["Shared Documents", "Docs"]}
    result = run(online, papers, pages[:1], f"https://{HOST}/{url}", table=settings(online, papers, f"https://{HOST}"))

    assert result.outcome is FilterState.SUCCEEDED
    assert len(online.files()) == 1


def test_a_library_or_a_site_that_is_not_there_is_a_failure(online, papers, pages):
    """With a sentence for each, and nothing is made."""
    table = settings(online, papers, f"https://{HOST}")
    result = run(online, papers, pages, f"{SITE}/Nothing", f"https://{HOST}/sites/x/Documents", table=table)

    assert result.reasons == ("UnknownError",)
    assert f"the site {SITE} has no such library" in result.detail
    assert "Microsoft Graph answered 404 (itemNotFound), asked for the site" in result.detail
    assert online.folders() == []


def test_a_name_that_somebody_has_is_left_alone(online, papers, pages):
    """The next free one is taken (D9)."""
    folder = online.put("Shared-Documents", USER)
    online.put(folder.id, NAMES[0].upper(), b"theirs")
    result = run(online, papers, pages[:1])

    assert result.published == [(1, LIBRARY, NAMES[0].replace(".png", "-2.png"))]
    assert sorted(online.files().values(), key=len) == [b"theirs", pages[0].read_bytes()]


def test_a_name_that_somebody_takes_meanwhile_is_left_alone(online, papers, pages):
    """Graph says so at the last piece; the upload is given back, and made again under the next name."""

    async def somebody_is_faster(running, request):
        session = running.sessions[request.path_params["id"]]
        running.put(session.folder, session.name, b"theirs")

    online.faults["chunk"] += [passes, somebody_is_faster]
    result = run(online, papers, pages[:1])

    assert result.published == [(1, LIBRARY, NAMES[0].replace(".png", "-2.png"))]
    assert sorted(online.files().values(), key=len) == [b"theirs", pages[0].read_bytes()]
    assert online.sessions == {}


def test_the_users_folder_may_be_made_by_somebody_else_meanwhile(online, papers, pages):
    """Two jobs of one user."""

    async def somebody_is_faster(running, _):
        running.put("Shared-Documents", USER)

    online.faults["children"].append(somebody_is_faster)
    run(online, papers, pages[:1])

    assert list(online.files()) == [f"{FOLDER}/{NAMES[0]}"]


def test_running_twice_after_a_crash_does_no_harm(online, papers, pages):
    """What was published is recognised by name and hash, and not even sent again (I20)."""
    first = run(online, papers, pages)
    before = len(online.requests)
    second = run(online, papers, pages, earlier=first.published)

    assert (second.outcome, second.published) == (FilterState.SUCCEEDED, [])
    assert len(online.files()) == 2
    assert "session" not in online.requests[before:]


@pytest.mark.parametrize("content", [b"theirs", bytes(2 * UNIT + 5000), None])
def test_what_was_granted_but_never_appeared_is_delivered(online, papers, pages, content):
    """Another file of the name is not ours, even one of the same size."""
    if content is not None:
        online.put(online.put("Shared-Documents", USER).id, NAMES[0], content)
    result = run(online, papers, pages[:1], earlier=[(1, LIBRARY, NAMES[0])])

    assert len(result.published) == 1
    assert online.files()[f"{FOLDER}/{result.published[0][2]}"] == pages[0].read_bytes()


# --- what can go wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["discovery", "token", "site", "drives", "item", "children", "session", "chunk"])
def test_a_busy_service_is_asked_again(online, papers, pages, pauses, kind):
    """After the time that it wants, and with one whole file in the end (F-R17)."""
    online.faults[kind] += [
        graph.answers(429, "activityLimitReached", retry_after="0"),
        graph.answers(503, "serviceNotAvailable"),
        graph.answers(500, "generalException"),
    ]
    result = run(online, papers, pages[:1])

    assert result.outcome is FilterState.SUCCEEDED
    assert online.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}
    assert len(result.log) == 3
    assert pauses == [0, 0.4, 0.8]


def test_a_busy_service_at_the_last_piece_is_asked_again(online, papers, pages, pauses):
    """Leave is asked for once more, and given back before."""
    online.faults["chunk"] += [passes, graph.answers(429, retry_after="1"), graph.answers(503)]
    result = run(online, papers, pages[:1])

    assert result.published == [(1, LIBRARY, NAMES[0])]
    assert list(online.files().values()) == [pages[0].read_bytes()]
    assert pauses == [1, 0.4]


@pytest.mark.parametrize("size", [0, 1000, UNIT])
def test_an_upload_that_breaks_goes_on_where_it_was(online, papers, pages, size):
    """As nextExpectedRanges says, and not from its beginning."""
    online.faults["chunk"].append(graph.cuts_after(size))
    result = run(online, papers, pages[:1])

    assert list(online.files().values()) == [pages[0].read_bytes()]
    assert online.requests.count("session") == 1
    assert "state" in online.requests
    assert result.published == [(1, LIBRARY, NAMES[0])]


def test_an_upload_that_was_forgotten_begins_anew(online, papers, pages, pauses):
    """Sessions expire."""
    online.faults["chunk"] += [graph.forgets, passes, graph.forgets]
    result = run(online, papers, pages[:1])

    assert list(online.files().values()) == [pages[0].read_bytes()]
    assert online.requests.count("session") == 3
    assert result.published == [(1, LIBRARY, NAMES[0])]
    assert pauses == [0.2, 0.2, 0.2, 0.4]


@pytest.mark.parametrize("before", [0, 1])
def test_an_answer_that_is_lost_makes_no_second_file(online, papers, pages, before):
    """Of a piece, and of the last piece: it is looked how far the upload is (F-R17: dup)."""
    online.faults["chunk"] += [passes] * before + [graph.loses_the_answer]
    result = run(online, papers, pages[:1])

    assert result.published == [(1, LIBRARY, NAMES[0])]
    assert online.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}


def test_a_lost_answer_and_a_busy_service_make_no_second_file(online, papers, pages, pauses):
    """When it cannot even be looked at once."""
    online.faults["chunk"] += [passes, graph.loses_the_answer]
    online.faults["state"] += [graph.answers(503), graph.answers(503)]
    result = run(online, papers, pages[:1])

    assert pauses == [0.2, 0.2]
    assert result.published == [(1, LIBRARY, NAMES[0])]
    assert online.files() == {f"{FOLDER}/{NAMES[0]}": pages[0].read_bytes()}


@pytest.mark.parametrize(
    ("kind", "status", "code", "reason"),
    [
        ("site", 401, "InvalidAuthenticationToken", "SharePointAccessDenied"),
        ("drives", 403, "accessDenied", "SharePointAccessDenied"),
        ("session", 403, "accessDenied", "SharePointAccessDenied"),
        ("chunk", 401, "unauthenticated", "SharePointAccessDenied"),
        ("session", 507, "quotaLimitReached", "SharePointOutOfDiskSpace"),
        ("chunk", 507, "insufficientStorage", "SharePointOutOfDiskSpace"),
        ("chunk", 400, "quotaLimitReached", "SharePointOutOfDiskSpace"),
        ("session", 400, "invalidRequest", "UnknownError"),
        ("site", 302, "", "UnknownError"),
    ],
)
def test_a_refusal_becomes_the_reason_of_the_protocol(online, papers, pages, kind, status, code, reason):
    """PSP-030; with the status and the code in the sentence, and nothing left behind."""
    online.faults[kind].append(graph.answers(status, code))
    result = run(online, papers, pages)

    assert result.reasons == (reason,)
    assert f"Microsoft Graph answered {status}{f' ({code})' if code else ''}" in result.detail
    assert (online.files(), online.sessions) == ({}, {})


def test_a_file_that_did_not_arrive_as_it_was_sent_is_deleted(online, papers, pages):
    """By its hash; it was visible for a moment, and is no delivery."""

    async def spoils(running, request):
        session = running.sessions[request.path_params["id"]]
        session.content = bytes(len(session.content))

    online.faults["chunk"] += [passes, spoils]
    result = run(online, papers, pages[:1])

    assert (result.reasons, result.published) == (("UnknownError",), [])
    assert "differs on the server from what was sent" in result.detail
    assert online.files() == {}


def test_an_empty_document_is_a_failure_with_a_sentence(online, papers, tmp_path):
    """An upload session has no empty piece."""
    empty = tmp_path / "empty.png"
    empty.touch()

    assert "is empty, which SharePoint Online does not accept" in run(online, papers, [empty]).detail


# --- who is asked, and who is told what ------------------------------------------------------------------------------


def test_an_upload_to_another_host_is_refused(online, papers, pages, tmp_path):
    """Graph names the address of an upload; it must be the site's own, or Graph's (D17, T-F6)."""
    with graph.serve(papers.tls, papers.certificate) as other:
        online.upload_url = other.url
        result = run(online, papers, pages)

        assert other.requests == []
    assert result.reasons == ("UnknownError",)
    assert f"a call would have gone to {other.url}; the settings name only" in result.detail


@pytest.mark.parametrize("kind", ["discovery", "token", "site", "session", "chunk"])
def test_a_redirect_is_not_followed(online, papers, pages, kind):
    """Neither the key's signature nor the token goes anywhere else (I30)."""
    with graph.serve(papers.tls, papers.certificate) as other:
        online.faults[kind].append(graph.answers(307, location=f"{other.url}/v1.0/x"))
        result = run(online, papers, pages)

        assert other.requests == []
    assert result.outcome is FilterState.ERRORS
    assert online.files() == {}


def test_no_variable_of_the_environment_changes_whom_it_believes(online, papers, pages, monkeypatch, tmp_path):
    """Nor where it goes: `requests`, which msal would use by itself, lets both win."""
    stranger = certificates.Authority("Stranger").write(tmp_path, "stranger")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(papers.ca))
    monkeypatch.setenv("SSL_CERT_FILE", str(papers.ca))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    refused = run(online, papers, pages, table=settings(online, papers, ca_file=str(stranger)))
    heard = list(online.requests)
    taken = run(online, papers, pages)

    assert (refused.reasons, heard) == (("UnknownError",), [])
    assert "is not accepted" in refused.detail
    assert taken.outcome is FilterState.SUCCEEDED


def test_an_application_that_entra_does_not_know_is_denied_access(online, papers, pages, tmp_path):
    """With what Entra ID calls it, and its number."""
    other, _ = graph.application(tmp_path)
    table = settings(online, papers, certificate_file=str(other), key_file=str(other))
    result = run(online, papers, pages, table=table)

    assert result.reasons == ("SharePointAccessDenied",)
    assert result.detail == (
        f"{LIBRARY}: no token for the application {graph.CLIENT} from {online.url}/{graph.TENANT}: "
        "invalid_client, AADSTS700027"
    )


def test_a_tenant_that_is_not_there_is_denied_access(online, papers, pages):
    """The sentence says what was expected."""
    result = run(online, papers, pages, table=settings(online, papers, tenant="contoso.example"))

    assert result.reasons == ("SharePointAccessDenied",)
    assert "does not answer like Entra ID; expected the tenant's name or GUID" in result.detail


def test_no_secret_is_in_any_sentence(online, papers, pages, caplog):
    """Neither the token, nor the address of an upload, nor what was signed; and not in a log either."""
    caplog.set_level(logging.INFO)
    results = [run(online, papers, pages)]
    for kind, status in itertools.product(("token", "site", "session", "chunk", "state"), (400, 404, 503)):
        online.faults["chunk"] += [graph.answers(503)] if kind == "state" else []
        online.faults[kind] += [graph.answers(status, f"x {online.secret}")] * 9
        results.append(run(online, papers, pages[:1], table=settings(online, papers, seconds=0.1)))
        online.faults.clear()
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    said = f"{results!r}{ours!r}"

    assert results[0].outcome is FilterState.SUCCEEDED
    assert {result.outcome for result in results[1:]} >= {FilterState.ERRORS}
    for secret in (online.secret, "tempauth", "Bearer", "client_assertion"):
        assert secret not in said


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_a_cancel_at_any_check_leaves_whole_files_and_nothing_else(online, papers, pages):
    """Delivered stays, half is never visible, and no upload is left open (promises 3 and 6)."""
    seen = set()
    for number in itertools.count(1):
        result = run(online, papers, pages, cancel_at=number)
        files = online.files()
        seen.add(len(files))

        assert set(files.values()) <= {page.read_bytes() for page in pages}
        assert len(files) == len(result.published)
        assert online.sessions == {}
        if result.outcome is not FilterState.CANCELED:
            break
        online.items.clear()

    assert seen == {0, 1, 2}


@pytest.mark.parametrize(
    ("kind", "before"),
    [("discovery", 0), ("token", 0), ("site", 0), ("children", 0), ("session", 0), ("chunk", 0), ("chunk", 1)],
)
def test_a_cancel_ends_a_call_to_a_silent_service(online, papers, pages, tmp_path, kind, before):
    """The run does not wait for the service's time to be over; nothing appears, and the upload is given back."""
    online.faults[kind] += [passes] * before + [graph.hangs]
    table = Settings(**settings(online, papers, seconds=60))
    began = time.monotonic()
    published = run_until(online.hanging, SharePoint(), pages, Instructions(False, (LIBRARY,)), table, tmp_path)

    assert time.monotonic() - began < 30
    assert published == []
    assert (online.files(), online.sessions) == ({}, {})


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tenant": ""}, "tenant is missing"),
        ({"key_file": ""}, "key_file is missing"),
        ({"authority": "http://login.example"}, "is not an https address"),
        ({"graph": "graph.example"}, "not the address of a library"),
        ({"secret": "x"}, "there is no setting 'secret'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_at_load(online, papers, change, sentence):
    """The sentence names the entry and the key."""
    with pytest.raises(ValueError, match=sentence) as refused:
        Settings(**settings(online, papers, **change))

    assert f"filters.sharepoint.sites.{SITE!r}" in str(refused.value)


def test_a_key_that_cannot_be_used_is_named(online, papers, pages, tmp_path):
    """Entra ID takes RSA keys only; each mistake has its own sentence, and nobody is asked."""
    other, _ = graph.application(tmp_path)
    elliptic, junk = tmp_path / "elliptic.pem", tmp_path / "junk.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    elliptic.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    junk.write_text("junk")
    for change, sentence in (
        ({"key_file": str(elliptic)}, "contains no RSA key"),
        ({"key_file": str(other)}, "does not belong to certificate_file"),
        ({"key_file": str(junk)}, "contains no private key"),
        ({"key_file": str(tmp_path / "none")}, "cannot be read: No such file"),
        ({"certificate_file": str(junk)}, "contains no certificate"),
        ({"certificate_file": str(tmp_path / "none")}, "cannot be read: No such file"),
        ({"ca_file": str(tmp_path / "none")}, "cannot be used: No such file"),
    ):
        result = run(online, papers, pages, table=settings(online, papers, **change))

        assert sentence in result.detail
    assert online.requests == []


def test_without_msal_only_sharepoint_online_fails(online, papers, pages, monkeypatch):
    """The filter is installed by default, and may be used for libraries on premises without the extra."""
    monkeypatch.setitem(sys.modules, "msal", None)
    result = run(online, papers, pages)

    assert list(SharePoint().requires()) == []
    assert result.reasons == ("UnknownError",)
    assert result.detail == (
        f"{LIBRARY}: SharePoint Online needs msal, which is not installed; pip install 'postscan[sharepoint]'"
    )


# --- the hash of SharePoint ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("Sg==", "SgAAAAAAAAAAAAAAAQAAAAAAAAA="),
        ("tbQ=", "taAFAAAAAAAAAAAAAgAAAAAAAAA="),
        ("eAV52qE=", "eChAHrQRCgAAAAAABQAAAAAAAAA="),
        ("gQaybEqS/4UlDc8e4IJm", "gDCALNigBEn8oxAlZ8AzPAAOQZg="),
    ],
)
def test_the_hash_is_the_one_that_others_compute(content, expected):
    """Known answers, which rclone's tests have as well."""
    assert quick_xor([base64.b64decode(content)]) == expected


@pytest.mark.parametrize("size", [159, 160, 161, 320, 1000, 100_003])
def test_the_hash_does_not_depend_on_the_pieces(size):
    """And it is what one gets bit by bit."""
    content = os.urandom(size)
    for piece in (1, 7, 160, 4096) if size <= 1000 else (999, 1 << 18):
        pieces = [content[start : start + piece] for start in range(0, size, piece)]

        assert quick_xor(pieces) == graph.quick_xor(content)
