"""`postscan doctor`: each check finds its cause once that is there, and nothing on a healthy installation."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import commands
import pytest
from certificates import DAY, NOW, SERVER, Authority, Credentials
from cryptography import x509
from destinations import open_folder, without_privileges
from findings import bad, made, the
from free_ports import free_port
from plugin_names import unused
from typer.testing import CliRunner, Result
from works import SID, instructions

from postscan.cli.app import app
from postscan.cli.demo import sandbox
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import AuditLine
from postscan.core.settings import Settings, load
from postscan.core.spool.job_log import JobLogWriter
from postscan.core.store.store import Store
from postscan.doctor import certificates, machine

ARCHIVE = Path(sandbox.__file__).parent / "samples" / "archive.xml"
SECRET = "right-horse-battery"
DEVICE = Principal("device:192.0.2.7", Proof.ADDRESS)


@pytest.fixture
def healthy(settings_file: Path, tmp_path: Path) -> Path:
    """A whole installation with a share and a scan process for it; return its settings file."""
    (tmp_path / "share").mkdir()
    share = f"'\\\\demo\\archive' = '{tmp_path / 'share'}'"
    settings_file.write_text(
        '[server]\nport = 0\n[console]\nenabled = false\n[storage]\ndata_dir = "data"\n'
        f"[plugins]\ndisabled = {unused('fileshare')}\n"
        f"[filters.fileshare.shares]\n{share}\n"
    )
    for command in (["migrate"], ["process", "add", str(ARCHIVE), "--name", "Archive"]):
        assert CliRunner().invoke(app, ["--config", str(settings_file), *command]).exit_code == 0
    return settings_file


# --- the command -------------------------------------------------------------------------------------------------


def test_a_healthy_installation_has_no_problem(healthy: Path, postscan: Callable[..., Result], tmp_path: Path) -> None:
    """Every check says ok; only the kernel's clock may differ from machine to machine. Nothing is left behind."""
    before = sorted(tmp_path.rglob("*"))
    result = postscan("doctor", "--json")
    findings = json.loads(result.stdout)

    assert result.exit_code == 0
    assert [one for one in findings if one["verdict"] != "ok" and one["check"] != "clock"] == []
    assert {tuple(one) for one in findings} == {("check", "verdict", "sentence", "fix")}
    assert {one["check"] for one in findings} == {
        *("settings file", "data folder", "server", "port", "discovery", "TLS certificate", "plain HTTP", "clock"),
        *(
            "SQLite",
            "database",
            "migrations",
            "accounts",
            "sources",
            "quota",
            "spool",
            "spool identity",
            "ballast",
            "lost+found",
            "Linux",
            "plugins",
        ),
        *("process Archive", "process Archive, fileshare"),
    }
    assert sorted(tmp_path.rglob("*")) == before


def test_a_problem_is_told_with_the_line_that_mends_it(
    healthy: Path, postscan: Callable[..., Result], tmp_path: Path
) -> None:
    """A share whose folder is gone; exit code 1."""
    (tmp_path / "share").rmdir()
    result = postscan("doctor")
    lines = result.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("problem"))
    told, fix, last = lines[at], lines[at + 1], lines[-1]

    assert result.exit_code == 1
    assert told.startswith(r"problem  process Archive, fileshare: \\demo\archive: there is no folder ")
    assert fix.startswith("         -> [filters.fileshare]")
    assert last.startswith("problems: 1, ")


def test_settings_that_cannot_be_used_are_the_only_finding(
    settings_file: Path, postscan: Callable[..., Result]
) -> None:
    """Nothing else can be known then."""
    settings_file.write_text("[limits]\nopen_jobs = 0\n")
    result = postscan("doctor", "--json")
    (only,) = json.loads(result.stdout)

    assert result.exit_code == 1
    assert (only["check"], only["verdict"]) == ("settings file", "problem")
    assert "limits.open_jobs" in only["sentence"]


def test_no_secret_is_ever_printed(settings_file: Path, postscan: Callable[..., Result]) -> None:
    """Not even where the database's own words name it."""
    settings_file.write_text(
        f'storage.database = "sqlite:////proc/{SECRET}/x"\n[server]\nport = 0\n'
        f"[plugins]\ndisabled = {unused('email')}\n"
        f'[filters.email]\nhost = "127.0.0.1"\nsender = "nope"\npassword = "{SECRET}"\nuser = "ann"\n'
    )
    result = postscan("doctor")

    assert result.exit_code == 1
    assert "email is quarantined" in result.stdout
    assert SECRET not in result.stdout + result.stderr


def test_the_database_of_a_running_server_is_only_read(healthy: Path, postscan: Callable[..., Result]) -> None:
    """Doctor beside `postscan serve`: no problem, and the server goes on."""
    serve = ["--config", str(healthy), "serve"]
    with commands.start(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout
            assert server.stdout.readline().startswith("http://127.0.0.1:")
            result = postscan("doctor", "--json")
            still = server.poll()
        finally:
            server.terminate()

    assert (result.exit_code, still) == (0, None)
    assert "one is running" in result.stdout
    assert Store(load(healthy).storage.url).audit() == []


# --- files, server, clock ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "tables", "sentence"),
    [
        (0o644, {"filters": {"email": {"password": SECRET}}}, "has secrets, and every user can read it"),
        (0o644, {"plugins": {"directory": {"password": SECRET}}}, "has secrets, and every user can read it"),
        (0o646, {}, "can be written by every user"),
    ],
)
def test_a_settings_file_that_is_too_open(
    settings_file: Path, tmp_path: Path, mode: int, tables: dict[str, Any], sentence: str
) -> None:
    """Passwords, or a line that starts a program of a stranger."""
    settings_file.chmod(mode)
    check, verdict, said = the(machine.settings_file(settings_file, made(tmp_path, **tables)))

    assert (check, verdict) == ("settings file", "problem")
    assert said == f"{settings_file} {sentence}"
    settings_file.chmod(0o640)
    assert bad(machine.settings_file(settings_file, made(tmp_path, **tables))) == []


def test_a_data_folder_that_is_open_to_all(tmp_path: Path) -> None:
    """Images lie in it."""
    settings = made(tmp_path)
    settings.storage.data_dir.mkdir(mode=0o755)

    assert "is open to every user" in the(machine.data_folder(settings))[2]


@pytest.mark.parametrize("below", ["", "data"])
def test_a_data_folder_that_cannot_be_written(below: str) -> None:
    """There already, or still to be made."""
    with open_folder() as folder:
        folder.chmod(0o555)
        settings = made(folder, storage={"data_dir": folder / below})
        with without_privileges():
            _, verdict, sentence = the(machine.data_folder(settings))

    assert verdict == "problem"
    assert "cannot be" in sentence


def test_a_port_that_somebody_else_has(tmp_path: Path) -> None:
    """The server would not start."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = made(tmp_path, server={"port": other.getsockname()[1]})
        check, verdict, sentence = the(machine.server(settings))

    assert (check, verdict) == ("port", "problem")
    assert "Address already in use" in sentence
    assert bad(machine.server(settings)) == []


def test_a_running_server_is_seen_by_its_lock(core: Engine, settings: Settings) -> None:
    """And missed at the port, where it does not listen; two looks do not disturb it."""
    with core.running():
        there = settings.model_copy(update={"server": settings.server.model_copy(update={"port": free_port()})})
        running = list(machine.server(there))

    assert running[0].sentence.startswith("one is running")
    assert "accepts no connections" in running[1].sentence
    assert next(iter(machine.server(there))).sentence.startswith("none is running")


def test_plain_http_beyond_this_machine(tmp_path: Path) -> None:
    """It may be wanted, so it is a warning."""
    settings = made(tmp_path, server={"host": "0.0.0.0", "allow_plain_http": True})

    assert the(machine.plain_http(settings))[1] == "warning"


def test_a_clock_behind_the_audit_trail(core: Engine, settings: Settings) -> None:
    """A line of the day after tomorrow: the clock was wrong then, or is now."""
    core.store.record(AuditLine.of(DEVICE, "cancel", "x", datetime.now(UTC) + timedelta(days=3)))

    assert the(machine.records(settings))[:2] == ("clock", "problem")


# --- database and spool ------------------------------------------------------------------------------------------


def test_a_database_without_the_newest_schema(tmp_path: Path) -> None:
    """It stays as it is: doctor migrates nothing."""
    settings = made(tmp_path)
    settings.storage.data_dir.mkdir()
    with closing(sqlite3.connect(settings.storage.data_dir / "postscan.sqlite")) as database:
        database.execute("create table other (number integer)")

    for _ in range(2):
        check, verdict, sentence = the(machine.records(settings))
        assert (check, verdict) == ("migrations", "problem")
        assert sentence.startswith("the database lacks 0001")


@pytest.mark.parametrize("url", ["", "postgresql+psycopg://ann@127.0.0.1:9/postscan", "nonsense"])
def test_a_database_that_is_none(tmp_path: Path, url: str) -> None:
    """A file of something else; a server that is away; an address that is none."""
    settings = made(tmp_path, storage={"database": url})
    settings.storage.data_dir.mkdir()
    (settings.storage.data_dir / "postscan.sqlite").write_bytes(b"not a database " * 100)

    assert the(machine.records(settings))[:2] == ("database", "problem")


def test_a_full_spool(tmp_path: Path) -> None:
    """By a reserve that no disk has; nearly full, by an image that no disk takes."""
    full = made(tmp_path, storage={"reserve_bytes": 1 << 60})
    nearly = made(tmp_path, limits={"image_bytes": 1 << 60})

    assert the(machine.spool(full))[:2] == ("spool", "problem")
    assert the(machine.spool(nearly))[:2] == ("spool", "warning")


def test_a_ballast_that_was_given_up(tmp_path: Path) -> None:
    """A problem until the server has allocated it again; before the first start there is none."""
    settings = made(tmp_path, storage={"ballast_bytes": 4096, "reserve_bytes": 0}, limits={"image_bytes": 1})
    file = settings.storage.data_dir / "ballast"
    file.parent.mkdir()

    assert bad(machine.spool(settings)) == []
    file.write_bytes(bytes(4095))
    assert the(machine.spool(settings))[:2] == ("ballast", "problem")
    file.write_bytes(bytes(4096))
    assert bad(machine.spool(settings)) == []


def test_files_that_were_put_aside(tmp_path: Path) -> None:
    """Somebody should look at them."""
    settings = made(tmp_path)
    lost = settings.storage.spool_dir / "lost+found"
    lost.mkdir(parents=True)
    (lost / "stray").write_bytes(b"x")

    assert the(machine.spool(settings))[2].startswith("1 files that belong to no job")


@pytest.mark.parametrize(("most", "verdict"), [(1000, "problem"), (1100, "warning")])
def test_a_caller_that_has_used_up_its_share(core: Engine, settings: Settings, most: int, verdict: str) -> None:
    """The next image would be refused, or one soon."""
    token = core.service.create(DEVICE, SID, "7B0E", instructions("copy"))
    with core.service.open_image(token, DEVICE, 1, "png") as image:
        image.write(b"x" * 1000)
    less = settings.model_copy(update={"limits": settings.limits.model_copy(update={"caller_bytes": most})})
    check, found, sentence = the(machine.records(less))

    assert (check, found) == ("quota", verdict)
    assert sentence.startswith(f"device:192.0.2.7 uses 1,000 of {most:,} bytes")


def test_the_logs_of_a_callers_jobs_are_part_of_what_it_has_used(core: Engine, settings: Settings) -> None:
    """As the server counts them, when it refuses an image."""
    token = core.service.create(DEVICE, SID, "7B0E", instructions("copy"))
    with core.service.open_image(token, DEVICE, 1, "png") as image:
        image.write(b"x" * 1000)
    writer = JobLogWriter(core.spool.logs, token, DEVICE.name, 0, 1, core.clock, 0)
    writer.append("info", "x" * 100)
    writer.close()
    used = 1000 + core.spool.logs.bytes_of(DEVICE.name)
    less = settings.model_copy(update={"limits": settings.limits.model_copy(update={"caller_bytes": used})})
    check, found, sentence = the(machine.records(less))

    assert used > 1100
    assert (check, found) == ("quota", "problem")
    assert sentence.startswith(f"device:192.0.2.7 uses {used:,} of {used:,} bytes")


# --- certificates ------------------------------------------------------------------------------------------------

CA = Authority()
HERE = [x509.DNSName("scan01.example")]


def shown(tmp_path: Path, credentials: Credentials, **tls: Any) -> Settings:
    """Return settings of a server that shows this certificate."""
    file = credentials.write(tmp_path, "server")
    file.chmod(0o600)
    return made(tmp_path, server={"host": "0.0.0.0"}, tls={"certificate": str(file), **tls})


def issued(**more: Any) -> Credentials:
    """Issue a good certificate for a server, but for what is said otherwise."""
    return CA.issue("scan01", **{"usage": [SERVER], "names": HERE, "end": NOW + 90 * DAY, **more})


def test_a_good_certificate(tmp_path: Path) -> None:
    """For servers, with names, for more than a month."""
    assert bad(certificates.certificates(shown(tmp_path, issued()))) == []


@pytest.mark.parametrize(
    ("more", "check", "verdict", "sentence"),
    [
        ({"start": NOW - 9 * DAY, "end": NOW - DAY}, "TLS certificate", "problem", "expired on"),
        ({"end": NOW + 20 * DAY}, "TLS certificate", "warning", "in 19 days"),
        ({"start": NOW + DAY}, "TLS certificate", "problem", "is not valid before"),
        ({"names": []}, "TLS names", "problem", "has no subjectAltName"),
        ({"usage": [x509.ExtendedKeyUsageOID.CLIENT_AUTH]}, "TLS usage", "problem", "is not for servers"),
    ],
    ids=["expired", "soon", "not yet", "nameless", "of a client"],
)
def test_a_certificate_that_devices_refuse(
    tmp_path: Path, more: dict[str, Any], check: str, verdict: str, sentence: str
) -> None:
    """Yesterday's, tomorrow's, nobody's; and one that ends soon."""
    found = the(certificates.certificates(shown(tmp_path, issued(**more))))

    assert found[:2] == (check, verdict)
    assert sentence in found[2]


def test_a_certificate_for_another_host(tmp_path: Path) -> None:
    """The host of the settings is not among its names."""
    settings = shown(tmp_path, issued())
    there = settings.model_copy(update={"server": settings.server.model_copy(update={"host": "192.0.2.1"})})

    assert the(certificates.certificates(there))[2] == "the certificate is not for 192.0.2.1"


def test_a_key_of_another_certificate_and_one_that_everybody_can_read(tmp_path: Path) -> None:
    """The first stops the start; the second lets others be the server."""
    other = issued().write(tmp_path, "other")
    settings = shown(tmp_path, issued(), key=str(other))
    assert "is not the key of" in the(certificates.certificates(settings))[2]

    settings = shown(tmp_path, issued())
    assert settings.tls.certificate
    settings.tls.certificate.chmod(0o644)
    assert the(certificates.certificates(settings))[:2] == ("TLS key", "problem")


def test_certificates_in_the_wrong_order(tmp_path: Path) -> None:
    """An intermediate one that did not issue ours."""
    ours = issued()
    stranger = Credentials(ours.certificate, ours.key, (Authority("Stranger").certificate,))

    assert the(certificates.certificates(shown(tmp_path, stranger)))[0] == "TLS chain"


def test_client_ca_and_revocations_that_are_over(tmp_path: Path) -> None:
    """The CA of the tests lives a day; the list of revocations ended an hour ago."""
    crl = tmp_path / "crl.pem"
    crl.write_bytes(CA.revoke(issued(), end=NOW - timedelta(hours=1)))
    settings = shown(tmp_path, issued(), client_ca=str(CA.write(tmp_path, "ca")), crl=str(crl))

    assert [one[:2] for one in bad(certificates.certificates(settings))] == [
        ("client CA", "warning"),
        ("revocations", "problem"),
    ]
