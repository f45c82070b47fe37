"""Who may send, and how that is proven."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncssh
import pytest
import sftp_inlet
from sftp_inlet import ACCOUNT, JPEG, SftpInlet
from works import until

from postscan.core.filters.source.messages import InletBusy, PasswordRequest, Reply, Request

KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER = asyncssh.generate_private_key("ssh-ed25519")
REFUSED = (asyncssh.PermissionDenied, asyncssh.DisconnectError, ConnectionError, asyncssh.ChannelOpenError)


def test_a_wrong_password_is_refused_and_three_end_the_connection(inlet: SftpInlet) -> None:
    """T-S72: the server counts them as well."""
    for password in ("wrong", ""):
        with pytest.raises(REFUSED):
            inlet.put(JPEG, "/Invoices/scan.jpg", password=password)

    class Guesser(asyncssh.SSHClient):
        tries = 0

        def password_auth_requested(self) -> str:
            self.tries += 1
            return f"guess {self.tries}"

    guesser = Guesser()
    with pytest.raises(REFUSED):
        inlet.put(JPEG, "/Invoices/scan.jpg", password=None, client_factory=lambda: guesser)

    assert guesser.tries <= 3
    assert inlet.jobs == []
    assert set(inlet.reasons("login refused")) == {"wrong account or password"}


def test_a_login_that_cannot_be_checked_is_not_a_wrong_one(inlet: SftpInlet) -> None:
    """The connection ends: come again later."""

    def busy(request: Request) -> Reply | None:
        return InletBusy(id=request.id, seconds=9.0) if isinstance(request, PasswordRequest) else None

    inlet.server.on_request = busy
    try:
        with pytest.raises(asyncssh.DisconnectError, match="cannot be checked now"):
            inlet.put(JPEG, "/Invoices/scan.jpg")
    finally:
        inlet.server.on_request = lambda _request: None


def test_without_a_folder_of_keys_no_key_counts(inlet: SftpInlet) -> None:
    """T-S72."""
    with pytest.raises(REFUSED):
        inlet.put(JPEG, "/Invoices/scan.jpg", password=None, client_keys=[KEY])


def test_an_account_logs_in_by_a_key_of_its_file(tmp_path: Path) -> None:
    """T-S72: and by no other key, and no other account by that key; the offer of a key proves nothing."""
    folder = tmp_path / "keys"
    folder.mkdir()
    line = KEY.export_public_key().decode()
    (folder / "anna").write_text(f"# of the scanner\n{line}")
    (folder / "carl").write_text("garbage")
    (folder / ".hidden").write_text(line)
    (tmp_path / "outside").write_text(line)
    with sftp_inlet.running(tmp_path / "inlet", authorized_keys=str(folder)) as inlet:
        inlet.put(JPEG, "/Invoices/scan.jpg", password=None, client_keys=[KEY])
        for account, key in (
            ("anna", OTHER),
            ("ben", KEY),
            ("carl", KEY),
            (".hidden", KEY),
            ("../outside", KEY),
            ("keys/anna", KEY),
            ("", KEY),
        ):
            with pytest.raises(REFUSED):
                inlet.put(JPEG, "/Invoices/two.jpg", username=account, password=None, client_keys=[key])
        assert "garbage" not in str(inlet.reasons("login not checked"))
        (job,) = inlet.jobs

    assert (job.request.proof, job.request.subject, job.request.account) == ("certificate", "anna", "anna")


def test_the_offer_of_a_key_and_a_wrong_password_prove_nothing(tmp_path: Path) -> None:
    """T-S72: the proof of a job is what the login ended with."""
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "anna").write_text(KEY.export_public_key().decode())
    with sftp_inlet.running(tmp_path / "inlet", authorized_keys=str(folder)) as inlet:
        inlet.put(JPEG, "/Invoices/scan.jpg", client_keys=[OTHER])
        (job,) = inlet.jobs

    assert job.request.proof == "password"


def test_a_device_of_the_settings_needs_no_account(tmp_path: Path) -> None:
    """T-S72: it proves its address; from elsewhere `anonymous` is an unknown account."""
    with sftp_inlet.running(tmp_path, devices=("127.0.0.0/8",)) as inlet:
        inlet.put(JPEG, "/Letters/scan.jpg", username="anonymous", password=None)
        (job,) = inlet.jobs
    assert (job.request.proof, job.request.subject, job.request.account) == ("device", "127.0.0.1", "")


def test_anonymous_is_no_account_elsewhere(inlet: SftpInlet) -> None:
    """T-S72: this inlet has no devices."""
    with pytest.raises(REFUSED):
        inlet.put(JPEG, "/Letters/scan.jpg", username="anonymous", password=None)


def test_there_is_nothing_but_sftp(inlet: SftpInlet) -> None:
    """T-S73: no command, no shell, no other subsystem, no forwarding in either direction, one session."""

    async def try_all() -> None:
        async with inlet.connected() as connection:
            for what in (
                connection.run("id"),
                connection.run(),
                connection.run(subsystem="netconf"),
                connection.open_connection("127.0.0.1", 22),
                connection.open_unix_connection("/run/postscan.sock"),
            ):
                with pytest.raises((asyncssh.ChannelOpenError, asyncssh.ProcessError, asyncssh.Error)):
                    await what
            with pytest.raises(asyncssh.ChannelListenError):
                await connection.forward_remote_port("", 0, "127.0.0.1", 22)
            async with connection.start_sftp_client() as sftp:
                assert sorted(await sftp.listdir(".")) == ["Invoices", "Letters"]
                with pytest.raises(asyncssh.ChannelOpenError):
                    await connection.start_sftp_client()

    asyncio.run(try_all())
    until(lambda: inlet.server.jobs == [])
    assert ACCOUNT in dict(inlet.server.passwords)
