"""Certificates on the wire: which get past the handshake, and whom they prove."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certificates
import pytest
from acceptance.scanning import INVALID, Refusal, good, instructions, refusal
from acceptance.server import Server, running
from certificates import CLIENT, DAY, LOGON, NOW, SERVER, Authority, Credentials, sid_extension, sid_uri, upn
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from device import Answer, Device

from postscan.cli.device import tls
from postscan.cli.device.client import Device as Simulated
from postscan.cli.device.client import Unreachable

ANNA = "S-1-5-21-1-2-3-1001"
BORIS = "S-1-5-21-1-2-3-1002"
NOBODY = "S-1-5-21-1-2-3-9999"
ASKED = instructions("copy")


@dataclass
class Site:
    """A server with TLS, the CAs that it knows, and one that it does not."""

    server: Server
    folder: Path
    root: Authority
    branch: Authority
    revoked: Credentials
    stranger: Authority = field(default_factory=Authority)

    def context(self, shows: Credentials | None) -> ssl.SSLContext:
        """Return how a device speaks TLS that shows this certificate, or none."""
        return certificates.client(self.folder, self.root, shows)

    def device(self, shows: Credentials | None, user: str = ANNA, address: str | None = None) -> Device:
        """Return a device that shows this certificate, or none."""
        return Device(self.server.url, user, address, tls=self.context(shows))

    def create(self, shows: Credentials | None, user: str = ANNA, address: str | None = None) -> Answer:
        """Create a job for this user."""
        return self.device(shows, user, address).create(self.server.store(ASKED), ASKED)

    def owner(self, created: Answer) -> str:
        """Return the owner of the job that was created."""
        store = self.server.works.core.store
        return store.load(good(created).find("JobToken") or "").owner.name

    def proven(self) -> list[str]:
        """Return the callers that are identified by a certificate, out of the log."""
        return re.findall(r"caller identified by its certificate .*user=(\S+)", self.server.log())


@contextlib.contextmanager
def site(folder: Path, mode: str, handshake_seconds: float = 60) -> Iterator[Site]:
    """Run a server in this mode, with a list of revoked certificates."""
    root = Authority()
    branch = Authority("Test branch CA", root)
    revoked = root.issue("anna", also=[sid_extension(ANNA)])
    crl = folder / "revoked.pem"
    crl.write_bytes(root.revoke(revoked) + branch.revoke())
    tables = {
        "server": {"head_seconds": 60},
        "tls": certificates.server_table(folder, root, mode=mode, crl=str(crl), handshake_seconds=handshake_seconds),
        f'users."{ANNA}"': {"name": "anna@fabrikam.example", "upn": "anna@fabrikam.example"},
        f'users."{BORIS}"': {"name": "boris@fabrikam.example", "upn": "boris@fabrikam.example"},
    }
    with running(folder, tables) as server:
        yield Site(server, folder, root, branch, revoked)
    assert server.tracebacks() == []


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server for users with certificates only."""
    with site(tmp_path_factory.mktemp("strong"), "client") as made:
        yield made


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server where a certificate may be shown."""
    with site(tmp_path_factory.mktemp("weak"), "server") as made:
        yield made


@pytest.fixture(params=["strong", "weak"])
def either(request: pytest.FixtureRequest) -> Site:
    """Each of the two in turn."""
    made: Site = request.getfixturevalue(request.param)
    return made


def refused(server: Server, context: ssl.SSLContext) -> str:
    """Connect, and return why the server hung up before a word of HTTP, as its log says; "" if it waits for one.

    With TLS 1.3 the server judges the certificate after the client is done, so the client has to listen.
    """
    before = len(server.log())
    parts = urlsplit(server.url)
    said = b""
    with (
        socket.create_connection((parts.hostname, parts.port), 60) as plain,
        contextlib.suppress(ssl.SSLError),
        context.wrap_socket(plain, server_hostname=parts.hostname) as connection,
    ):
        said = connection.recv(1)
    assert said == b""
    return server.log()[before:]


# --- what does not get past the handshake ------------------------------------------------------------------------


def anna(ca: Authority, **more: Any) -> Credentials:
    """Issue a certificate that says it is Anna's in every way there is."""
    names = [upn("anna@fabrikam.example"), sid_uri(ANNA)]
    return ca.issue("anna", names=names, also=[sid_extension(ANNA)], **more)


def self_signed(site: Site) -> Credentials:
    """Anna's subject and her SID, signed by nobody but its own key."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = Authority("anna")
    own.key = key
    return anna(own, key=key)


def without_chain(site: Site) -> Credentials:
    """A certificate of the branch, without the branch's own."""
    issued = anna(site.branch)
    return Credentials(issued.certificate, issued.key)


BAD: dict[str, tuple[Callable[[Site], Credentials], str]] = {
    "expired": (lambda site: anna(site.root, start=NOW - 2 * DAY, end=NOW - DAY), "certificate has expired"),
    "not yet valid": (lambda site: anna(site.root, start=NOW + DAY, end=NOW + 2 * DAY), "certificate is not yet valid"),
    "for servers": (lambda site: anna(site.root, usage=[SERVER]), "(unsuitable|unsupported) certificate purpose"),
    "for logon only": (lambda site: anna(site.root, usage=[LOGON]), "(unsuitable|unsupported) certificate purpose"),
    "of another CA": (lambda site: anna(Authority("Other CA")), "unable to get local issuer certificate"),
    "of another CA with the same name": (lambda site: anna(site.stranger), "certificate signature failure"),
    "self-signed with the same subject": (self_signed, "self.signed certificate"),
    "revoked": (lambda site: site.revoked, "certificate revoked"),
    "of a branch without its chain": (without_chain, "unable to get local issuer certificate"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_a_bad_certificate_ends_the_handshake(either: Site, case: str, version: ssl.TLSVersion) -> None:
    """T-H11: the log says why, and calls nobody proven."""
    make, expected = BAD[case]
    context = either.context(make(either))
    context.minimum_version = context.maximum_version = version
    before = either.proven()
    said = refused(either.server, context)

    assert re.search(f"client certificate refused .*{expected}", said)
    assert either.proven() == before


def test_no_certificate_ends_the_handshake_where_users_must_have_one(strong: Site) -> None:
    """D1, strong mode: nobody gets as far as HTTP without."""
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in refused(strong.server, strong.context(None))


def test_tls_1_1_is_refused(either: Site) -> None:
    """T-H11: the oldest version is 1.2."""
    context = either.context(anna(either.root))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    assert "UNSUPPORTED_PROTOCOL" in refused(either.server, context)


@pytest.mark.parametrize("suite", ["eNULL", "aNULL"])
def test_a_weak_suite_is_refused(either: Site, suite: str) -> None:
    """T-H11: no suite without encryption, and none without a certificate of the server."""
    context = either.context(anna(either.root))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{suite}:@SECLEVEL=0")

    assert "NO_SHARED_CIPHER" in refused(either.server, context)


def test_plain_http_on_the_port_of_tls_gets_no_answer(either: Site) -> None:
    """T-H10: not even a hint of what is behind it."""
    parts = urlsplit(either.server.url)
    with socket.create_connection((parts.hostname, parts.port), 60) as connection:
        connection.sendall(b"POST /ScanServer/processing HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n")
        said = connection.recv(4096)

    assert b"HTTP" not in said


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_handshake_that_stalls_is_cut_off(tmp_path: Path, mode: str) -> None:
    """T-H4: at the deadline, which others have to meet as well, and not before it; meanwhile they are served."""
    with site(tmp_path, mode, handshake_seconds=5) as made:
        parts, shown = urlsplit(made.server.url), made.context(anna(made.root))
        device = Device(made.server.url, ANNA, tls=shown)
        process = made.server.store(ASKED)
        begun = time.monotonic()
        with socket.create_connection((parts.hostname, parts.port), 60) as silent:
            served = device.create(process, ASKED).status
            said = silent.recv(1)
            seconds = time.monotonic() - begun

    assert (served, said) == (200, b"")
    assert seconds >= 5


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_no_ticket_is_given_out(strong: Site, version: ssl.TLSVersion) -> None:
    """A session that goes on from a ticket would not look at the certificate again."""
    context = strong.context(anna(strong.root))
    context.minimum_version = context.maximum_version = version
    parts = urlsplit(strong.server.url)
    with (
        socket.create_connection((parts.hostname, parts.port), 60) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        connection.recv(4096)

        assert connection.session is not None
        assert not connection.session.has_ticket


# --- whom a good one proves --------------------------------------------------------------------------------------

GOOD: dict[str, Callable[[Site], Credentials]] = {
    "SID extension": lambda site: site.root.issue("x", also=[sid_extension(ANNA)]),
    "SID in a URI": lambda site: site.root.issue("x", names=[sid_uri(ANNA)]),
    "UPN": lambda site: site.root.issue("x", names=[upn("anna@fabrikam.example")]),
    "smart card": lambda site: site.root.issue("x", usage=[LOGON, CLIENT], names=[upn("anna@fabrikam.example")]),
    "branch": lambda site: site.branch.issue("x", also=[sid_extension(ANNA)]),
    "SID before UPN": lambda site: site.root.issue(
        "x", names=[upn("boris@fabrikam.example")], also=[sid_extension(ANNA)]
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_certificate_proves_its_user(either: Site, case: str) -> None:
    """DSP rule 2: by SID, else by UPN; the job belongs to the user, in either mode."""
    shown = GOOD[case](either)

    assert either.owner(either.create(shown)) == f"user:{ANNA}"
    assert f"user:{ANNA}" in either.proven()


def test_the_s_of_a_sid_may_be_small(strong: Site) -> None:
    """DSP rule 3: the job has the SID of the certificate."""
    token = good(strong.create(anna(strong.root), user=ANNA.replace("S", "s"))).find("JobToken")

    assert strong.server.works.core.store.load(token or "").user.sid == ANNA


BORIS_IS: dict[str, Callable[[Site], Credentials]] = {
    "another user": lambda site: site.root.issue("anna", also=[sid_extension(BORIS)]),
    "another UPN": lambda site: site.root.issue("anna", names=[upn("boris@fabrikam.example")]),
}
NO_USER: dict[str, Callable[[Site], Credentials]] = {
    "no usage": lambda site: anna(site.root, usage=[]),
    "no SAN, the SID as CN": lambda site: site.root.issue(ANNA),
    "no SAN, the UPN as CN": lambda site: site.root.issue("anna@fabrikam.example"),
    "two SIDs": lambda site: site.root.issue("anna", also=[sid_extension(ANNA, BORIS)]),
    "two UPNs": lambda site: site.root.issue("a", names=[upn("anna@fabrikam.example"), upn("boris@fabrikam.example")]),
    "SIDs that differ": lambda site: site.root.issue("a", names=[sid_uri(BORIS)], also=[sid_extension(ANNA)]),
}


@pytest.mark.parametrize("case", BORIS_IS)
def test_a_certificate_that_proves_somebody_else_creates_nothing(strong: Site, case: str) -> None:
    """T-O3, T-H11, ws-dsp.md section 9, rule 3: UserIdentifier must be the certificate's."""
    before = strong.server.everything()
    refused = refusal(strong.create(BORIS_IS[case](strong)))

    assert refused == Refusal(
        400, "soap:Sender", "dsp:InvalidArgs", INVALID, ("UserIdentifier", ANNA), refused.relates_to
    )
    assert strong.server.everything() == before


@pytest.mark.parametrize("case", NO_USER)
def test_a_certificate_that_proves_no_user_is_refused_unheard(strong: Site, case: str) -> None:
    """T-H10: 403, and the connection ends before the client has sent a byte of its request."""
    parts = urlsplit(strong.server.url)
    with (
        socket.create_connection((parts.hostname, parts.port), 30) as plain,
        strong.context(NO_USER[case](strong)).wrap_socket(plain, server_hostname=parts.hostname) as connection,
        connection.makefile("rb") as heard,
    ):
        assert heard.read().startswith(b"HTTP/1.1 403 ")
    assert "connection refused: its certificate names no user" in strong.server.log()


def test_a_proven_user_whom_the_settings_do_not_know_creates_nothing(either: Site) -> None:
    """D21: a SID that was proven must be somebody's, even where a claimed one need not be."""
    shown = either.root.issue("x", also=[sid_extension(NOBODY)])

    assert refusal(either.create(shown, user=NOBODY)).detail == ("UserIdentifier", NOBODY)


def test_a_proven_user_cannot_claim_to_be_another_even_where_no_proof_is_asked_for(weak: Site) -> None:
    """T-O3: what the certificate says wins over what the request says."""
    assert refusal(weak.create(anna(weak.root), user=BORIS)).detail == ("UserIdentifier", BORIS)


def test_a_device_keeps_its_jobs_when_its_address_changes(weak: Site) -> None:
    """D1, weak mode: a device with a certificate is its public key."""
    printer = weak.root.issue("printer-7")
    created = weak.create(printer, address="127.0.0.4")
    elsewhere = weak.device(printer, address="127.0.0.5").elements(created.find("JobToken") or "")

    assert re.fullmatch(r"device-cert:[0-9a-f]{64}", weak.owner(created))
    assert good(elsewhere).find("JobState") == "Creating"


def test_the_same_subject_with_another_key_is_another_device(weak: Site) -> None:
    """T-O2: also if another CA that is believed issued it, at the very same address."""
    created = weak.create(weak.root.issue("printer-7"))
    again = weak.device(weak.branch.issue("printer-7")).elements(created.find("JobToken") or "")

    assert refusal(again).subcode == "dsp:ClientErrorJobTokenNotFound"


@pytest.mark.parametrize("usage", [(), (CLIENT,)], ids=["one that is no good", "none"])
def test_without_a_good_certificate_a_device_is_its_address(weak: Site, usage: tuple[object, ...]) -> None:
    """D1, weak mode: what is no good proves nothing."""
    shown = None if usage else weak.root.issue("printer-7", usage=[])

    assert weak.owner(weak.create(shown, address="127.0.0.6")) == "device:127.0.0.6"


def test_a_certificate_can_be_listed_by_fingerprint_or_by_issuer_and_serial(tmp_path: Path) -> None:
    """DSP rule 2: for certificates that name no user themselves."""
    root = Authority()
    one, other = root.issue("one"), root.issue("other")
    serial = f"{other.certificate.serial_number:X}"
    listed = {
        f"sha256:{one.certificate.fingerprint(SHA256()).hex()}": ANNA,
        f"serial={serial.zfill(len(serial) + len(serial) % 2)};issuer=CN=Test CA,O=Fabrikam": BORIS,
    }
    tables = {
        "tls": certificates.server_table(tmp_path, root, mode="client"),
        f'users."{ANNA}"': {"name": "anna@fabrikam.example"},
        f'users."{BORIS}"': {"name": "boris@fabrikam.example"},
        "identity.certificates": listed,
    }
    with running(tmp_path, tables) as server:
        made = Site(server, tmp_path, root, root, one)
        owners = [made.owner(made.create(one, ANNA)), made.owner(made.create(other, BORIS))]

    assert owners == [f"user:{ANNA}", f"user:{BORIS}"]


def test_the_simulated_device_shows_its_certificate(strong: Site, tmp_path: Path) -> None:
    """As `postscan send --ca ... --cert ...` does; without a certificate, or for another CA, it gets nowhere."""
    ca, shown = strong.root.write(tmp_path, "ca"), anna(strong.root).write(tmp_path, "anna")
    process = strong.server.store(ASKED)
    with Simulated(strong.server.url, ANNA, tls=tls.context(ca, shown, None)) as device:
        token = device.create(process, ASKED)

    assert strong.server.works.core.store.load(token).owner.name == f"user:{ANNA}"
    for context in (tls.context(ca, None, None), tls.context(strong.stranger.write(tmp_path, "x"), shown, None)):
        with Simulated(strong.server.url, ANNA, tls=context) as device, pytest.raises(Unreachable):
            device.create(process, ASKED)
