"""The files of `[tls]`: what cannot be used is named before anything is served."""

from __future__ import annotations

import contextlib
import logging
import ssl
import tracemalloc
from pathlib import Path

import pytest
from certificates import DAY, NOW, SERVER, Authority
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from pydantic import ValidationError

from postscan.core.errors import SettingsError
from postscan.core.settings import Settings, load
from postscan.core.settings.network import TlsSettings
from postscan.soap.http import tls

ROOT = Authority()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The certificate and the CA of a server that works."""
    return {"certificate": ROOT.server().write(tmp_path, "server"), "client_ca": ROOT.write(tmp_path, "ca")}


def context(table: dict[str, object]) -> ssl.SSLContext:
    """Return what these settings make."""
    made = tls.context(TlsSettings.model_validate(table))
    assert made is not None
    return made


def complaint(table: dict[str, object]) -> str:
    """Return what is said of settings that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        context(table)
    return str(caught.value)


def test_without_a_certificate_there_is_no_tls() -> None:
    """The default: plain HTTP, on loopback only (ruling 23)."""
    assert TlsSettings().mode == "off"
    assert tls.context(TlsSettings()) is None


def test_a_certificate_turns_tls_on(files: dict[str, Path]) -> None:
    """Mode "server" without saying so, and "off" only by saying so."""
    assert TlsSettings.model_validate({"certificate": files["certificate"]}).mode == "server"
    assert tls.context(TlsSettings.model_validate({"certificate": files["certificate"], "mode": "off"})) is None


@pytest.mark.parametrize(
    ("more", "asked"),
    [({}, ssl.CERT_NONE), ({"mode": "server"}, ssl.CERT_OPTIONAL), ({"mode": "client"}, ssl.CERT_REQUIRED)],
)
def test_a_client_is_asked_for_a_certificate_where_one_can_be_judged(
    files: dict[str, Path], more: dict[str, str], asked: ssl.VerifyMode
) -> None:
    """DSP rule 1: asked for if there are CAs to believe, required in mode "client"."""
    table: dict[str, object] = {**files, **more} if more else {"certificate": files["certificate"]}

    assert context(table).verify_mode is asked


def test_old_versions_tickets_and_renegotiation_are_off(files: dict[str, Path]) -> None:
    """T-H4, T-H11."""
    made = context({**files})

    assert made.minimum_version == ssl.TLSVersion.TLSv1_2
    assert made.options & ssl.OP_NO_RENEGOTIATION
    assert made.options & ssl.OP_NO_TICKET
    assert made.num_tickets == 0


def test_every_file_that_is_missing_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    """By its setting and its path."""
    nowhere = tmp_path / "nowhere.pem"
    for setting in ("certificate", "key", "client_ca", "crl"):
        said = complaint({**files, setting: nowhere})

        assert said == f"tls.{setting}: {nowhere} cannot be read: No such file or directory"


def test_every_file_that_holds_something_else_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    """Nobody should have to guess which of four files OpenSSL did not like."""
    junk = tmp_path / "junk.pem"
    junk.write_text("no PEM at all")
    for setting in ("certificate", "key", "client_ca", "crl"):
        assert complaint({**files, setting: junk}).startswith(f"tls.{setting}: {junk} holds no ")


def test_a_list_and_a_certificate_are_not_mixed_up(files: dict[str, Path], tmp_path: Path) -> None:
    """OpenSSL loads either from either file, and would then check nothing."""
    crl = tmp_path / "crl.pem"
    crl.write_bytes(ROOT.revoke())
    leaf = ROOT.issue().write(tmp_path, "leaf")

    assert "holds no CA certificate" in complaint({**files, "client_ca": crl})
    assert "holds no revocation list" in complaint({**files, "crl": files["client_ca"]})
    assert "holds no CA certificate" in complaint({**files, "client_ca": leaf})


def test_the_key_of_another_certificate_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    """The message names both files."""
    other = ROOT.server().write(tmp_path, "other")

    assert complaint({**files, "key": other}) == f"tls.key: {other} is not the key of {files['certificate']}"


def test_a_key_with_a_passphrase_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    """OpenSSL would ask on the terminal, which a server does not have."""
    path = tmp_path / "key.pem"
    encryption = BestAvailableEncryption(b"secret")
    path.write_bytes(ROOT.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))

    assert complaint({**files, "key": path}) == f"tls.key: {path} has a passphrase; expected a key without one"


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [(-2, -1, "server certificate expired"), (1, 2, "server certificate not valid yet")],
    ids=["expired", "too new"],
)
def test_a_server_certificate_out_of_its_time_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, start: int, end: int, said: str
) -> None:
    """The server starts, since the clock may be what is wrong; no device will talk to it."""
    path = ROOT.issue(usage=[SERVER], start=NOW + start * DAY, end=NOW + end * DAY).write(tmp_path, "server")
    with caplog.at_level(logging.WARNING):
        context({"certificate": path})

    assert said in caplog.text


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"mode": "server"}, "certificate is missing"),
        ({"key": "k.pem"}, "certificate is missing"),
        ({"certificate": "c.pem", "mode": "client"}, "client_ca is missing"),
        ({"certificate": "c.pem", "crl": "r.pem"}, "client_ca is missing"),
    ],
)
def test_settings_that_need_others_say_so(table: dict[str, str], said: str) -> None:
    """Half a configuration is none."""
    with pytest.raises(ValidationError, match=said):
        TlsSettings.model_validate(table)


def test_with_tls_the_server_may_listen_everywhere(files: dict[str, Path]) -> None:
    """Ruling 23 speaks of plain HTTP only."""
    server = {"host": "192.0.2.7"}

    assert Settings.model_validate({"server": server, "tls": files}).server.host == "192.0.2.7"
    with pytest.raises(ValidationError, match="allow_plain_http"):
        Settings.model_validate({"server": server, "tls": {**files, "mode": "off"}})


def test_paths_count_from_the_file_of_the_settings(tmp_path: Path) -> None:
    """As all paths do."""
    path = tmp_path / "postscan.toml"
    path.write_text("[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\nclient_ca = 'ca.pem'\n")
    found = load(path).tls

    assert (found.certificate, found.key, found.client_ca) == tuple(
        tmp_path / f"{name}.pem" for name in ("c", "k", "ca")
    )
    assert found.crl is None


def test_a_read_allocates_a_record_not_all_that_was_asked_for(files: dict[str, Path]) -> None:
    """T-H4: uvloop asks for 256 KiB, of which OpenSSL returns 16 KiB at most; each read would allocate all of it."""
    server, client = connected(files)
    client.write(bytes(60_000))
    tracemalloc.start()
    try:
        lengths = [len(server.read(256 * 1024)) for _ in range(4)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sum(lengths) == 60_000
    assert most < 2 * tls.RECORD_BYTES


def connected(files: dict[str, Path]) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Return the two ends of a connection in memory whose handshake is complete."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context(cafile=files["client_ca"])
    server = context({"certificate": files["certificate"]}).wrap_bio(there, back, server_side=True)
    client = trusting.wrap_bio(back, there, server_hostname="127.0.0.1")
    for end in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return server, client
