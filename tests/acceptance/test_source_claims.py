"""What senders of scans write beside their proof: no spelling of it makes a job of another user's.

The senders are devices, whose scans are for Anna by the destination that they choose, and Anna with her account.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from acceptance import inlets
from acceptance.inlets import InletServer
from acceptance.ways_in import (
    ANNA,
    BEN,
    DEVICE,
    ELSEWHERE,
    LABELS,
    OWN,
    PASSWORDS,
    WAYS_IN,
    WITHOUT_ACCOUNT,
    InletReply,
    Scan,
    base64_of,
    new_page,
    recipient,
)
from mail_inlet import mail

TO_ANNA, TO_BEN = LABELS[ANNA], LABELS[BEN]
BENS_MAIL = "ben@fabrikam.example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InletServer]:
    """A server whose first job keeps its only slot, so that the others stay Pending."""
    with inlets.serving(tmp_path_factory.mktemp("claims"), "sleep 280") as site:
        yield site


# --- what a sender writes --------------------------------------------------------------------------------------------

MAIL_FIELDS = (
    f"From: Ben <{BENS_MAIL}>",
    f"Sender: {BENS_MAIL}",
    f"Reply-To: {BENS_MAIL}",
    f"Return-Path: <{BENS_MAIL}>",
    f"To: {recipient(TO_BEN)}",
    f"Cc: {recipient(TO_BEN)}",
    f"Delivered-To: {recipient(TO_BEN)}",
    f"X-Original-To: {recipient(TO_BEN)}",
    f"Authentication-Results: scan.example; auth=pass smtp.auth={BENS_MAIL}",
    "X-Authenticated-User: ben",
    f"X-Originating-User-SID: {BEN}",
    f"Subject: {BEN}",
)


@pytest.mark.parametrize("account", ["", "anna"])
def test_no_field_of_a_mail_changes_the_user(site: InletServer, account: str) -> None:
    """T-S1: nor the sender of the envelope, the name of the client, and what a relay says of the sender."""
    for fields in (MAIL_FIELDS,) if account else ((one,) for one in MAIL_FIELDS):
        content = new_page()
        head = "".join(f"{one}\r\n" for one in fields).encode()
        reply = site.deliver(
            head + mail(content),
            recipient(TO_ANNA),
            account=account,
            secure=bool(account),
            address=ELSEWHERE if account else DEVICE,
            sender=f"<{BENS_MAIL}> AUTH={BENS_MAIL}",
            before=["EHLO ben", "XCLIENT LOGIN=ben NAME=ben", f"X-SID {BEN}"],
        )

        assert reply.stored, (fields, reply)
        assert site.user_of(content) == ANNA, fields


HTTP_FIELDS = {
    "From": BENS_MAIL,
    "X-Forwarded-User": "ben",
    "X-Remote-User": "ben",
    "Remote-User": "ben",
    "X-Authenticated-User": "ben",
    "X-User-SID": BEN,
    "X-SSL-Client-S-DN": "CN=ben",
    "Proxy-Authorization": f"Basic {base64_of('ben:' + PASSWORDS['ben'])}",
    "Cookie": "user=ben",
}
ADDRESS_FIELDS = {
    "X-Forwarded-For": DEVICE,
    "Forwarded": f"for={DEVICE}",
    "X-Real-IP": DEVICE,
    "True-Client-IP": DEVICE,
    "Via": f"1.1 {DEVICE}",
}


@pytest.mark.parametrize("account", ["", "anna"])
def test_no_field_of_http_changes_the_user(site: InletServer, account: str) -> None:
    """T-S1: neither one that names a user, nor one that names an address."""
    address = ELSEWHERE if account else DEVICE
    for name, value in {**HTTP_FIELDS, **ADDRESS_FIELDS}.items():
        content = new_page()
        target = f"/{quote(TO_ANNA)}/{name}.png"
        reply = site.request("PUT", target, content, account=account, address=address, fields={name: value})

        assert reply.code == 201, (name, reply)
        assert site.user_of(content) == ANNA, name


@pytest.mark.parametrize("name", [*ADDRESS_FIELDS, "Proxy-Authorization"])
def test_no_field_of_http_is_a_proof(site: InletServer, name: str) -> None:
    """T-S41: the other end of the connection is a device, and nothing that it writes."""
    content = new_page()
    fields = {name: {**HTTP_FIELDS, **ADDRESS_FIELDS}[name]}

    assert site.request("PUT", f"/{quote(TO_ANNA)}/scan.png", content, fields=fields).code == 401
    assert site.user_of(content) is None


@pytest.mark.parametrize("command", [f"XCLIENT ADDR={DEVICE} NAME=ben", f"XFORWARD ADDR={DEVICE}", f"HELO [{DEVICE}]"])
def test_no_command_of_smtp_is_a_proof(site: InletServer, command: str) -> None:
    """T-S31: the same for what relays say of their clients."""
    content = new_page()
    reply = site.deliver(mail(content), recipient(TO_ANNA), address=ELSEWHERE, before=[command])

    assert reply.code == 530
    assert site.user_of(content) is None


NAMES = (
    BEN,
    f"user-{BEN}.png",
    "ben.png",
    f"{BENS_MAIL}.png",
    TO_BEN,
    "%2e%2e%2fScans (Ben)%2fscan.png",
    "scan.png; user=ben",
    "b\u0435n.png",
    "scan\u202egnp.neb",
)
BACKSLASHES = "scans\\..\\..\\Scans (Ben)\\scan.png"


@pytest.mark.parametrize("way", WITHOUT_ACCOUNT)
def test_no_name_of_a_file_changes_the_user(site: InletServer, way: str) -> None:
    """T-S1: the name of another user, of a destination or of its identifier, and what looks like a path."""
    identifier = site.server.works.core.origins.identifiers()["ben"]
    scans = [Scan(new_page(), TO_ANNA, name=name) for name in (*NAMES, BACKSLASHES, identifier)]
    with ThreadPoolExecutor(3) as pool:
        replies = list(pool.map(lambda scan: WAYS_IN[way].send(site, scan), scans))
    refused = {scan.name: reply.code for scan, reply in zip(scans, replies, strict=True) if not reply.stored}

    assert refused == ({BACKSLASHES: 400} if way == "web, device" else {})
    for scan in scans:
        assert site.user_of(scan.content) == (None if scan.name in refused else ANNA), scan.name


def test_no_part_of_a_form_changes_the_user(site: InletServer) -> None:
    """T-S1: fields beside the file are dropped, and of its name the last part counts."""
    content = new_page()
    fields = "".join(
        f'--xyz\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {"user": BEN, "account": "ben", "destination": TO_BEN}.items()
    )
    file = '--xyz\r\nContent-Disposition: form-data; name="file"; filename="../Scans (Ben)/scan.png"\r\n\r\n'
    reply = site.request(
        "POST",
        f"/{quote(TO_ANNA)}/",
        (fields + file).encode() + content + b"\r\n--xyz--\r\n",
        account="anna",
        fields={"Content-Type": "multipart/form-data; boundary=xyz"},
    )

    assert reply.code == 201
    assert site.user_of(content) == ANNA


# --- what a sender addresses -----------------------------------------------------------------------------------------

RECIPIENTS = {
    "SCANS-ANNA@SCAN.EXAMPLE": ANNA,
    "scans-anna@fabrikam.example": None,
    "scans-anna@scan.example.fabrikam.example": None,
    "scans-anna%scan.example@fabrikam.example": None,
    "scans-anna+ben@scan.example": None,
    "scans-\u0430nna@scan.example": None,
    "scans-anna\0@scan.example": None,
    "../scans-ben@scan.example": None,
    f"{BEN}@scan.example": None,
    "ben@scan.example": None,
    recipient(TO_BEN): None,
}
"""Addresses to which Anna sends with her account, and the user of the job."""


@pytest.mark.parametrize(("address", "user"), RECIPIENTS.items())
def test_a_recipient_is_a_destination_of_the_sender_or_refused(
    site: InletServer, address: str, user: str | None
) -> None:
    """T-S1: in whatever way the name of another one is spelled."""
    content = new_page()
    sender = "<scanner@office.example> SMTPUTF8"
    reply = site.deliver(mail(content), address, account="anna", secure=True, sender=sender)

    assert reply.stored == (user is not None), reply
    assert site.user_of(content) == user


def test_a_mail_to_two_users_is_no_job_of_the_other_one(site: InletServer) -> None:
    """T-S1: an account that may use one of the destinations gets the job of that one, and hears of the other."""
    content = new_page()
    both = [recipient(TO_ANNA), recipient(TO_BEN)]
    reply = site.deliver(mail(content), *both, account="anna", secure=True)

    assert reply.code == 554
    assert f"stored for {both[0]}, not for {both[1]}" in reply.text
    assert site.user_of(content) == ANNA


FTP_PATHS = {
    f"/{TO_ANNA}/../{TO_BEN}/scan.png": None,
    f"/{TO_BEN}/scan.png": None,
    f"/{TO_BEN.upper()}/scan.png": None,
    f"//{TO_BEN}//scan.png": None,
    f"{TO_ANNA}/.././{TO_BEN}/scan.png": None,
    "/Sc\u0430ns (Anna)/scan.png": None,
    f"/{TO_ANNA} /scan.png": None,
    f"/{TO_ANNA}\0/scan.png": None,
    f"/{TO_BEN}/../{TO_ANNA}/scan.png": ANNA,
    f"/{TO_ANNA}/{TO_BEN}/scan.png": ANNA,
    f"/{TO_ANNA}/..\\{TO_BEN}\\scan.png": ANNA,
}
WEB_PATHS = {
    f"/{quote(TO_ANNA)}/../{quote(TO_BEN)}/scan.png": None,
    f"/{quote(TO_ANNA)}/%2e%2e/{quote(TO_BEN)}/scan.png": None,
    f"/{quote(TO_ANNA)}/..%2f{quote(TO_BEN)}%2fscan.png": None,
    f"/{quote(TO_ANNA)}/..%5c{quote(TO_BEN)}%5cscan.png": None,
    f"/{quote(TO_BEN)}/scan.png": None,
    f"/{quote(TO_BEN.upper())}/scan.png": None,
    f"//{quote(TO_BEN)}/scan.png": None,
    "/Sc%D0%B0ns%20%28Anna%29/scan.png": None,
    f"/{quote(TO_ANNA)}%00/scan.png": None,
    f"/{quote(TO_ANNA)}%20/scan.png": None,
    f"/{quote(TO_ANNA)}/{quote(TO_BEN)}/scan.png": ANNA,
    f"/{quote(TO_ANNA.upper())}/scan.png": ANNA,
}
"""Paths to which Anna sends with her account, and the user of the job."""


@pytest.mark.parametrize(("path", "user"), FTP_PATHS.items())
def test_a_path_of_ftp_leads_to_a_destination_of_the_sender_or_nowhere(
    site: InletServer, path: str, user: str | None
) -> None:
    """T-S1, T-S25: folders with `..`, other spellings, and signs that look like those of a name."""
    content = new_page()
    reply = site.upload(path, content, account="anna", secure=True)

    assert reply.code == 226 if user else reply.code in (501, 550, 553), reply
    assert site.user_of(content) == user


@pytest.mark.parametrize(("path", "user"), WEB_PATHS.items())
def test_a_path_of_http_leads_to_a_destination_of_the_sender_or_nowhere(
    site: InletServer, path: str, user: str | None
) -> None:
    """T-S1: the same, with what a URL can hide."""
    content = new_page()
    reply = site.request("PUT", path, content, account="anna")

    assert reply.code == 201 if user else reply.code in (400, 403, 404), reply
    assert site.user_of(content) == user


def test_a_rename_over_ftp_leads_to_no_other_user(site: InletServer) -> None:
    """T-S1: a file that waits is not sent on into a folder that the account may not use."""
    content = new_page()
    with site.ftp_session(secure=True) as client:
        assert client.login("anna", PASSWORDS["anna"]).startswith("230")
        assert client.offer(f"/{TO_ANNA}/scan.tmp", content).startswith("226")
        assert client.do(f"RNFR /{TO_ANNA}/scan.tmp").startswith("350")
        refused = client.do(f"RNTO /{TO_BEN}/scan.png")

    assert refused.startswith("550")
    assert site.user_of(content) is None


def test_a_rename_over_webdav_leads_to_no_other_user(site: InletServer) -> None:
    """T-S1: it leads to the sender's own folder all the same."""
    content, path = new_page(), f"/{quote(TO_ANNA)}/scan.tmp"
    assert site.request("PUT", path, content, account="anna").code == 201

    codes = []
    for label in (TO_BEN, TO_ANNA):
        fields = {"Destination": f"/{quote(label)}/scan.png"}
        codes.append((site.request("MOVE", path, account="anna", fields=fields).code, site.user_of(content)))

    assert codes == [(403, None), (201, ANNA)]


def test_a_file_beside_the_folders_of_the_destinations_is_of_no_user(site: InletServer) -> None:
    """T-S52: the same in a folder that has nearly the name of one."""
    watched, similar = site.watched, "Sc\u0430ns (Ben)"
    (watched / similar).mkdir()
    beside, elsewhere = new_page(), new_page()
    (watched / similar / "scan.png").write_bytes(elsewhere)
    reply = site.put_file(Scan(beside, "."))

    assert reply.code == 550
    assert site.user_of(beside) is None
    assert site.user_of(elsewhere) is None
    assert (watched / similar / "scan.png").read_bytes() == elsewhere


# --- the name of an account ------------------------------------------------------------------------------------------

ACCOUNT_WAYS = ("mail, password", "ftp, password", "web, password")
SAME = ("anna", "ANNA", "Anna", "\uff41\uff4e\uff4e\uff41")
"""Spellings of one name by RFC 8265: case and width do not count."""

OTHERS = {
    "ben": ACCOUNT_WAYS,
    "BEN": ACCOUNT_WAYS,
    BEN: ACCOUNT_WAYS,
    "anna ": ACCOUNT_WAYS,
    "anna\0": ACCOUNT_WAYS,
    "anna\0ben": ACCOUNT_WAYS,
    "\u0430nna": ACCOUNT_WAYS,
    "an\u00adna": ("mail, password",),
    BENS_MAIL: ("mail, password",),
    "../ben": ("mail, password",),
}
"""Names that Anna sends with her password; each that is no account costs one comparison, so not all come each way."""


def logged_in(site: InletServer, way: str, content: bytes, account: str) -> InletReply:
    """Send a page to the destination without a user, under this name and with Anna's password."""
    password = PASSWORDS["anna"]
    if way.startswith("mail"):
        return site.deliver(
            mail(content), recipient(OWN), account=account, password=password, secure=True, address=ELSEWHERE
        )
    if way.startswith("ftp"):
        return site.upload(f"/{OWN}/scan.png", content, account=account, password=password, secure=True)
    return site.request("PUT", f"/{quote(OWN)}/scan.png", content, account=account, password=password)


@pytest.mark.parametrize("way", ACCOUNT_WAYS)
def test_a_name_in_another_spelling_is_the_same_account(site: InletServer, way: str) -> None:
    """T-O10: its jobs have one owner."""
    for account in SAME:
        content = new_page()
        assert logged_in(site, way, content, account).stored, account
        job = site.job_of(content)

        assert job is not None
        assert (job.user.sid, job.owner.name) == (ANNA, f"source:{WAYS_IN[way].inlet}:anna"), account


@pytest.mark.parametrize(("way", "account"), [(way, account) for account, ways in OTHERS.items() for way in ways])
def test_a_name_that_is_another_one_is_refused(site: InletServer, way: str, account: str) -> None:
    """T-S1, T-O10: nothing is cut off, dropped or taken for another letter."""
    content = new_page()
    reply = logged_in(site, way, content, account)

    assert reply.code in {"mail": (501, 535), "ftp": (501, 530), "web": (401,)}[WAYS_IN[way].inlet], reply
    assert site.user_of(content) is None


@pytest.mark.parametrize(
    ("identity", "account", "user"),
    [("", "anna", ANNA), ("anna", "anna", ANNA), ("ben", "anna", None), ("anna", "ben", None), (BEN, "anna", None)],
)
def test_an_account_acts_for_no_other_one(site: InletServer, identity: str, account: str, user: str | None) -> None:
    """RFC 4616: the identity that a client of SMTP may send beside its account."""
    content = new_page()
    command = f"AUTH PLAIN {base64_of(chr(0).join((identity, account, PASSWORDS['anna'])))}"
    reply = site.deliver(mail(content), recipient(OWN), secure=True, address=ELSEWHERE, before=[command])

    assert reply.code == (250 if user else 530)
    assert site.user_of(content) == user
