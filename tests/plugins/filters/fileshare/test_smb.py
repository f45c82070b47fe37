"""The file share filter on a real SMB server, Debian's smbd: what it delivers, and what is refused."""

from __future__ import annotations

import os
import sys

import pytest
from destinations import open_folder, small_disk
from relay import Relay
from samba import NAME, samba
from smb_runs import NAMES, ONE, TWO, USER, calls, run, stored

from postscan.core.model.states import FilterState
from postscan.plugins.filters.fileshare import FileShare, Instructions
from postscan.plugins.testing import run_filter
from postscan.plugins.testing.runner import _RecordingParent


def test_every_document_goes_to_every_share_into_the_users_folder(server, two_pages):
    """PSP-014, PSP-015 and PSP-016; the folder is made."""
    result = run(server, two_pages, ONE, TWO)

    assert (result.outcome, result.detail) == (FilterState.SUCCEEDED, "")
    assert list(stored(server)) == [f"{share}/{USER}/{name}" for share in ("one", "two") for name in NAMES]
    assert result.published == [(id, unc, NAMES[id - 1]) for id in (1, 2) for unc in (ONE, TWO)]


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, (5 << 20) + 17])
def test_the_bytes_of_an_image_stay_as_they_are(server, tmp_path, size):
    """PSP-026: also where one write does not hold them all."""
    page = tmp_path / "page.png"
    page.write_bytes(os.urandom(size))
    run(server, [page])

    assert (server.shares["one"] / USER / NAMES[0]).read_bytes() == page.read_bytes()


def test_a_mapped_folder_and_a_server_serve_one_job(server, two_pages, tmp_path):
    """What `shares` maps wins, even for a share of a server that is known."""
    folder = tmp_path / "local"
    folder.mkdir()
    result = run(server, two_pages[:1], ONE, TWO, shares={TWO: str(folder)})

    assert result.outcome is FilterState.SUCCEEDED
    assert list(stored(server)) == [f"one/{USER}/{NAMES[0]}"]
    assert (folder / USER / NAMES[0]).read_bytes() == two_pages[0].read_bytes()


def test_a_mapped_folder_that_is_missing_is_not_replaced_by_the_server(server, two_pages, tmp_path):
    """What `shares` maps wins, and fails by itself."""
    result = run(server, two_pages, ONE, shares={ONE: str(tmp_path / "gone")})

    assert (result.outcome, list(stored(server))) == (FilterState.ERRORS, [])


def test_a_folder_on_a_share_may_be_named(server, two_pages):
    """A path below the share, if it is there; case does not count."""
    (server.shares["one"] / "Scans" / "2026").mkdir(parents=True)
    result = run(server, two_pages[:1], rf"\\{NAME.upper()}\ONE\scans\2026")

    assert result.outcome is FilterState.SUCCEEDED
    assert list(stored(server)) == [f"one/Scans/2026/{USER}/{NAMES[0]}"]


def test_no_folder_but_the_users_own_is_made(server, two_pages):
    """A folder that is missing on the share is a mistake of somebody."""
    result = run(server, two_pages, rf"{ONE}\gone")

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("UnknownError",))
    assert "there is no folder gone on the share" in result.detail
    assert list(server.shares["one"].iterdir()) == []


def test_a_name_that_is_taken_stays_with_its_owner(server, two_pages):
    """DSP-082, I21: the next free one is ours, whatever holds the others, and however it is written."""
    folder = server.shares["one"] / USER
    folder.mkdir()
    (folder / NAMES[0].upper()).write_bytes(b"mine")
    (folder / NAMES[0].replace(".png", "-2.png")).mkdir()
    result = run(server, two_pages[:1])

    assert result.outcome is FilterState.SUCCEEDED
    assert (folder / NAMES[0].upper()).read_bytes() == b"mine"
    assert (folder / NAMES[0].replace(".png", "-3.png")).read_bytes() == two_pages[0].read_bytes()


def test_whoever_takes_the_name_at_the_last_moment_keeps_it(server, two_pages, monkeypatch):
    """Between the look and the rename: the rename replaces nothing (I21)."""
    folder = server.shares["one"] / USER
    grant = _RecordingParent.grant

    def granted(parent, document, destination, name):
        if name == NAMES[0]:
            (folder / name).write_bytes(b"mine")
        return grant(parent, document, destination, name)

    monkeypatch.setattr(_RecordingParent, "grant", granted)
    result = run(server, two_pages[:1])

    assert (folder / NAMES[0]).read_bytes() == b"mine"
    assert (folder / NAMES[0].replace(".png", "-2.png")).read_bytes() == two_pages[0].read_bytes()
    assert result.published == [(1, ONE, NAMES[0].replace(".png", "-2.png"))]


@pytest.mark.parametrize("share", ["readonly", "locked", "private"])
def test_a_share_without_right_to_write_is_access_denied(server, two_pages, share):
    """By its settings, its permissions, or its list of users (PSP-030); the others are tried."""
    server.shares["locked"].chmod(0o555)
    unc = rf"\\{NAME}\{share}"
    result = run(server, two_pages[:1], unc, ONE)

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("FileShareAccessDenied",))
    assert result.detail.startswith(f"{unc}: ")
    assert list(stored(server)) == [f"one/{USER}/{NAMES[0]}"]


def test_a_full_share_is_out_of_disk_space_and_keeps_no_half_file(server, tmp_path):
    """The other share gets its copy all the same (F-R11, I19, PSP-030)."""
    big = tmp_path / "big.png"
    big.write_bytes(os.urandom(1 << 20))
    with small_disk(server.shares["small"], 256 * 1024) as disk:
        result = run(server, [big], rf"\\{NAME}\small", ONE)

        assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("FileShareOutOfDiskSpace",))
        assert rf"\\{NAME}\small: no space left on the share" in result.detail
        assert list(stored(server)) == [f"one/{USER}/{NAMES[0]}"]
        assert [path.name for path in disk.rglob("*")] == [USER]


def test_a_wrong_password_is_access_denied_and_tried_once(server, two_pages):
    """Every further try would bring the account nearer to its lock; and it is not repeated to anybody."""
    with Relay(server.port) as relay:
        result = run(server, two_pages, ONE, TWO, line={"password": "wr0ng-h0rse", "port": relay.port})

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("FileShareAccessDenied",))
    assert result.detail.count("refuses this user with this password") == 2
    assert "wr0ng-h0rse" not in f"{result}"
    assert relay.calls == 1


def test_an_unknown_share_fails_with_its_name(server, two_pages):
    """And the known one beside it does not."""
    result = run(server, two_pages[:1], rf"\\{NAME}\nowhere", ONE)

    assert result.reasons == ("UnknownError",)
    assert result.detail == rf"\\{NAME}\nowhere: there is no such share"
    assert list(stored(server)) == [f"one/{USER}/{NAMES[0]}"]


@pytest.mark.parametrize("unc", [rf"\\{NAME}", rf"\\{NAME}\one\..\two", rf"\\{NAME}@445\one", rf"//{NAME}/one"])
def test_a_path_that_is_no_unc_is_an_invalid_argument(server, two_pages, unc):
    """Even if it begins with the name of a server that is known (T-F3)."""
    assert run(server, two_pages, unc).reasons == ("InvalidArgs",)
    assert stored(server) == {}


def test_no_server_is_called_that_the_settings_do_not_name(server, two_pages):
    """Nor is its name looked up: no credentials of ours for a stranger (T-F3)."""
    uncs = (r"\\attacker.example\one", r"\\127.0.0.1\one", rf"\\{NAME}.attacker.example\one")
    with calls() as seen:
        result = run(server, two_pages, *uncs)

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("UnknownError",))
    assert seen == []


def test_a_referral_to_another_server_is_not_followed(server, two_pages):
    """A link of DFS in a share would have us log on wherever it points (T-F3)."""
    (server.shares["linked"] / "away").symlink_to(r"msdfs:attacker.example\one")
    with calls() as seen:
        result = run(server, two_pages, rf"\\{NAME}\linked\away")

    assert result.outcome is FilterState.ERRORS
    assert {host for host, _ in seen} == {"127.0.0.1"}


@pytest.mark.parametrize("encrypt", [True, False])
def test_encryption_hides_what_is_sent(server, tmp_path, encrypt):
    """Without it, the page can be read on the way."""
    page = tmp_path / "page.png"
    page.write_bytes(b"between you and me " * 100)
    with Relay(server.port) as relay:
        result = run(server, [page], line={"encrypt": encrypt, "port": relay.port})

    assert result.outcome is FilterState.SUCCEEDED
    assert (b"between you and me" in relay.seen) is not encrypt


def test_a_share_that_asks_for_encryption_gets_it(server, two_pages):
    """The setting is for servers that do not ask."""
    assert run(server, two_pages, rf"\\{NAME}\sealed").outcome is FilterState.SUCCEEDED
    assert len(stored(server)) == 2


def test_a_server_that_cannot_encrypt_gets_nothing(two_pages):
    """If the settings say so, it is encrypted or not sent."""
    with open_folder() as home, samba(home, {"one": {}}, server_smb_encrypt="off") as server:
        result = run(server, two_pages, line={"encrypt": True})

        assert result.reasons == ("UnknownError",)
        assert "encryption is required but the connection does not support it" in result.detail
        assert stored(server) == {}


def test_bytes_that_were_changed_on_the_way_are_not_stored(server, tmp_path):
    """Signing is on: whoever sits in between cannot put another page into the user's folder."""
    page = tmp_path / "page.png"
    page.write_bytes(b"pay 100 euro " * 1000)
    with Relay(server.port, change=(b"pay 100", b"pay 900")) as relay:
        result = run(server, [page], line={"port": relay.port})

    assert result.outcome is FilterState.ERRORS
    assert stored(server) == {}


def test_a_password_may_lie_in_a_file(server, two_pages, tmp_path):
    """One line, as an editor leaves it."""
    line = server.settings()[NAME]
    file = tmp_path / "password"
    file.write_text(line.pop("password") + "\n")
    settings = {"servers": {NAME: line | {"password_file": str(file)}}}
    result = run_filter(FileShare(), two_pages, instructions=Instructions((ONE,)), settings=settings)

    assert result.outcome is FilterState.SUCCEEDED


def test_without_its_library_only_the_servers_cannot_be_reached(server, two_pages, tmp_path, monkeypatch):
    """One clear sentence; a local share works all the same."""
    folder = tmp_path / "local"
    folder.mkdir()
    monkeypatch.setitem(sys.modules, "smbprotocol", None)
    result = run(server, two_pages[:1], ONE, r"\\files\local", shares={r"\\files\local": str(folder)})

    assert result.detail == f"{ONE}: smbprotocol is not installed; pip install 'postscan[smb]'"
    assert [path.name for path in folder.rglob("*")] == [USER, NAMES[0]]
