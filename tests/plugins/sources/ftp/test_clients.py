"""Clients that are in use: curl, lftp, and that of Python."""

from __future__ import annotations

import ftplib
import io
import shutil
import subprocess
from pathlib import Path

import pytest
from ftp_inlets import JPEG, PNG, FtpInlet

curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl; apt-get install curl")
lftp = pytest.mark.skipif(shutil.which("lftp") is None, reason="needs lftp; apt-get install lftp")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A file to send."""
    path = tmp_path / "scan.jpg"
    path.write_bytes(JPEG)
    return path


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a client; return how it ended."""
    return subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False, timeout=120)


def assert_stored(inlet: FtpInlet, ended: subprocess.CompletedProcess[str], proof: str) -> None:
    """The client is content, and there is one job."""
    assert ended.returncode == 0, ended
    assert [(job.name, job.pages, job.proof) for job in inlet.jobs] == [("scan.jpg", [JPEG], proof)]
    assert inlet.files == []


@curl
@pytest.mark.parametrize("options", [[], ["--disable-epsv"], ["--ftp-port", "-"], ["--ftp-create-dirs"]])
def test_curl_sends_a_file(inlet, scan, options):
    """In passive and active mode, into a folder that it makes."""
    folder = "Invoices/2026/November" if "--ftp-create-dirs" in options else "Invoices"
    ended = run("curl", "-sS", *options, "-T", scan, f"ftp://127.0.0.1:{inlet.port}/{folder}/scan.jpg")
    assert_stored(inlet, ended, "device")


@curl
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("implicit", [False, True])
def test_curl_sends_a_file_over_tls(inlet, scan, version, implicit):
    """With the client's own verification of the certificate."""
    scheme, port = ("ftps", inlet.implicit_port) if implicit else ("ftp", inlet.port)
    url = f"{scheme}://127.0.0.1:{port}/Invoices/scan.jpg"
    tls = ["--ssl-reqd", "--cacert", inlet.trusted_file, "--tls-max", version, "-u", "anna:right-horse"]
    assert_stored(inlet, run("curl", "-sS", *tls, "-T", scan, url), "password")


@curl
def test_curl_renames_what_it_has_sent(inlet, scan):
    """Its way to send under a temporary name."""
    url = f"ftp://127.0.0.1:{inlet.port}/Invoices/scan.jpg.part"
    ended = run("curl", "-sS", "-T", scan, "-Q", "-RNFR scan.jpg.part", "-Q", "-RNTO scan.jpg", url)
    assert_stored(inlet, ended, "device")


@curl
def test_curl_is_told_when_there_is_no_room(inlet, scan):
    """Its exit code says that the upload failed."""
    inlet.be_busy()
    ended = run("curl", "-sS", "-T", scan, f"ftp://127.0.0.1:{inlet.port}/Invoices/scan.jpg")
    assert ended.returncode != 0
    assert "452" in ended.stderr


@lftp
@pytest.mark.parametrize("temporary", [False, True])
@pytest.mark.parametrize("secured", [False, True])
def test_lftp_sends_a_file(inlet, scan, secured, temporary):
    """Over TLS and without, under its own name and under a temporary one."""
    settings = ["net:max-retries 1", "net:timeout 60", f"ssl:ca-file {inlet.trusted_file}", "ssl:check-hostname no"]
    settings += ["ftp:ssl-force true", "ftp:ssl-protect-data true"] if secured else ["ftp:ssl-allow false"]
    settings += ["xfer:use-temp-file true", "xfer:temp-file-name .in.*"] if temporary else []
    login = "-u anna,right-horse" if secured else ""
    script = [*(f"set {one}" for one in settings), f"open {login} -p {inlet.port} 127.0.0.1", "cd Invoices"]
    ended = run("lftp", "-c", "; ".join([*script, f"put {scan}", "ls"]))
    assert_stored(inlet, ended, "password" if secured else "device")


@pytest.mark.parametrize("passive", [True, False])
@pytest.mark.parametrize(("host", "address"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")])
def test_a_client_comes_by_either_protocol_of_the_internet(make_inlet, host, address, passive):
    """Also to a server that listens for both: then an IPv4 client is one."""
    inlet = make_inlet(host=host, devices=("127.0.0.1", "::1"))
    with ftplib.FTP() as client:
        client.connect(address, inlet.port, 60)
        client.login()
        client.set_pasv(passive)
        assert client.storbinary("STOR /Invoices/scan.jpg", io.BytesIO(JPEG)).startswith("226")
    assert [job.subject for job in inlet.jobs] == [address]


@pytest.mark.parametrize("passive", [True, False])
def test_pythons_client_sends_files(inlet, passive):
    """Several in one session, over TLS, with a listing in between."""
    with ftplib.FTP_TLS(context=inlet.trusted) as client:
        client.connect("127.0.0.1", inlet.port, 60)
        client.login("anna", "right-horse")
        client.prot_p()
        client.set_pasv(passive)
        client.cwd("Invoices")
        assert client.storbinary("STOR one.jpg", io.BytesIO(JPEG)).startswith("226")
        assert client.nlst() == []
        assert client.storbinary("STOR two.tmp", io.BytesIO(PNG)).startswith("226")
        assert [name for name, _ in client.mlsd()] == ["two.tmp"]
        assert client.rename("two.tmp", "two.png").startswith("250")
    assert [(job.name, job.pages) for job in inlet.jobs] == [("one.jpg", [JPEG]), ("two.png", [PNG])]
