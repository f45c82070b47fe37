"""Files that come by SFTP: what is a job, and what is none."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest
from asyncssh.sftp import SFTPServer, SFTPServerHandler
from sftp_inlet import ACCOUNT, JPEG, PDF, PNG, TIFF, SftpInlet
from works import until

from postscan.core.filters.source.messages import InletBusy, PageRequest, Reply, Request
from postscan.plugins.sources.sftp.requests import SftpRequests


@pytest.mark.parametrize("content", [JPEG, PNG, TIFF, PDF], ids=["jpeg", "png", "tiff", "pdf"])
def test_a_whole_file_is_a_job_when_its_close_is_answered(inlet: SftpInlet, content: bytes) -> None:
    """T-S71: for the account whose password was right; nothing stays in the workdir."""
    inlet.put(content, "/Invoices/scan")

    (job,) = inlet.jobs
    assert (job.pages, job.request.destination, job.request.name) == ([content], "d1", "scan")
    assert (job.request.proof, job.request.subject, job.request.account) == ("password", ACCOUNT, ACCOUNT)
    assert inlet.files == []


def test_a_close_is_not_answered_before_the_job_is_stored(inlet: SftpInlet) -> None:
    """T-S71: while the page is held, no success comes."""
    seen: list[str] = []

    def hold(request: Request) -> Reply | None:
        if isinstance(request, PageRequest):
            seen.append(inlet.server.jobs[-1].state)
            return InletBusy(id=request.id, seconds=1.0)
        return None

    inlet.server.on_request = hold
    try:
        with pytest.raises(asyncssh.SFTPFailure, match="no room now"):
            inlet.put(JPEG, "/Invoices/scan.jpg")
    finally:
        inlet.server.on_request = lambda _request: None

    assert seen == ["Creating"]
    assert inlet.jobs == []


def test_the_same_file_again_is_the_same_job(inlet: SftpInlet) -> None:
    """T-S71: a client that did not hear the answer sends it again; another content is another job."""
    for content in (PNG, PNG, JPEG):
        inlet.put(content, "/Letters/again")

    assert inlet.pages == [PNG, JPEG]


def test_half_a_file_that_is_closed_is_none(inlet: SftpInlet) -> None:
    """T-S70: an interrupted client of OpenSSH closes what it has sent so far."""
    for content in (JPEG[:-1], JPEG[:100], b""):
        with pytest.raises(asyncssh.SFTPFailure, match=r"cut|empty"):
            inlet.put(content, "/Invoices/half.jpg")

    assert (inlet.jobs, inlet.files) == ([], [])


@pytest.mark.parametrize("ends", ["channel", "connection"])
def test_a_file_that_is_open_when_its_client_leaves_is_none(inlet: SftpInlet, ends: str) -> None:
    """T-S70: although it is whole, since the client has not said so; the library closes it as if it had."""

    async def leave() -> None:
        async with inlet.connected() as connection:
            sftp = await connection.start_sftp_client()
            file = await sftp.open("/Invoices/left.jpg", "wb")
            await file.write(JPEG)
            if ends == "channel":
                sftp.exit()
                await sftp.wait_closed()
            else:
                connection.abort()

    asyncio.run(leave())
    until(lambda: inlet.reasons() == ["the session ended before the file"])
    until(lambda: inlet.files == [])
    assert inlet.server.jobs == []


def test_a_file_of_unknown_kind_needs_a_rename(inlet: SftpInlet) -> None:
    """T-S70: only the rename says that it is whole; what is renamed is a job when that is answered."""
    with pytest.raises(asyncssh.SFTPPermissionDenied, match="temporary name"):
        inlet.put(b"P4 plain text", "/Invoices/page.pbm")

    async def rename(sftp: asyncssh.SFTPClient) -> list[str]:
        async with sftp.open("/Invoices/page.pbm.part", "wb") as file:
            await file.write(JPEG)
        listed = await sftp.listdir("/Invoices")
        assert inlet.jobs == []
        await sftp.rename("/Invoices/page.pbm.part", "/Invoices/page.pbm")
        return [*listed, *await sftp.listdir("/Invoices")]

    assert inlet.with_sftp(rename) == ["page.pbm.part"]
    (job,) = inlet.jobs
    assert (job.pages, job.whole, job.request.name) == ([JPEG], [True], "page.pbm")


def test_the_bytes_of_a_file_come_in_their_order(inlet: SftpInlet) -> None:
    """T-S70: a hole, or a part that is written again, ends the file."""

    async def hole(sftp: asyncssh.SFTPClient) -> None:
        async with sftp.open("/Invoices/hole.jpg", "wb") as file:
            await file.write(JPEG[:10], 0)
            await file.write(JPEG[20:], 20)

    with pytest.raises(asyncssh.SFTPError):
        inlet.with_sftp(hole)
    assert inlet.jobs == []
    assert "came for byte 20; expected 10" in inlet.reasons()[0]


@pytest.mark.parametrize("mode", ["ab", "rb", "r+b"])
def test_nothing_is_added_to_a_file_and_nothing_is_fetched(inlet: SftpInlet, mode: str) -> None:
    """T-S73: also not what the same account has sent."""
    inlet.put(JPEG, "/Invoices/scan.jpg")

    async def opened(sftp: asyncssh.SFTPClient) -> None:
        await sftp.open("/Invoices/scan.jpg", mode)

    with pytest.raises(asyncssh.SFTPError):
        inlet.with_sftp(opened)


def test_a_client_may_ask_for_the_size_of_what_it_has_sent(inlet: SftpInlet) -> None:
    """Some compare it. The file itself has left the folder."""
    inlet.put(PNG, "/Letters/sent.png")

    async def look(sftp: asyncssh.SFTPClient) -> tuple[int | None, list[str]]:
        return (await sftp.stat("/Letters/sent.png")).size, await sftp.listdir("/Letters")

    assert inlet.with_sftp(look) == (len(PNG), [])


def test_folders_are_destinations_and_nothing_else_is_there(inlet: SftpInlet) -> None:
    """T-S73: no path leads to a file of this machine."""

    async def look(sftp: asyncssh.SFTPClient) -> list[str]:
        for path in ("/etc/passwd", "/Invoices/../../etc/passwd", "Invoices/../..//etc/passwd", "/..", "/Nowhere"):
            if path != "/..":
                with pytest.raises(asyncssh.SFTPNoSuchFile):
                    await sftp.stat(path)
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await sftp.open(path, "wb")
        for call in (
            sftp.symlink("/etc/passwd", "/Invoices/link"),
            sftp.link("/etc/passwd", "/Invoices/link"),
            sftp.readlink("/Invoices"),
            sftp.statvfs("/"),
            sftp.truncate("/Invoices/scan.jpg", 3),
            sftp.chmod("/etc/passwd", 0o777, follow_symlinks=True) if False else sftp.remove("/etc/passwd"),
        ):
            with pytest.raises(asyncssh.SFTPError):
                await call
        assert await sftp.realpath("/../..") == "/"
        await sftp.mkdir("/Invoices/batch")
        async with sftp.open("/Invoices/batch/one.jpg", "wb") as file:
            await file.write(JPEG)
        await sftp.rmdir("/Invoices/batch")
        return sorted(await sftp.listdir("/"))

    assert inlet.with_sftp(look) == ["Invoices", "Letters"]
    assert inlet.pages == [JPEG]


def test_no_method_of_the_library_reaches_a_file_system() -> None:
    """T-S73: the class has none of its base, and each method that a handler calls is its own, or missing."""
    assert not issubclass(SftpRequests, SFTPServer)
    own = {name for name in vars(SftpRequests) if not name.startswith("_")}
    of_library = {name for name in vars(SFTPServer) if not name.startswith("_")}
    missing = of_library - own

    assert missing >= {"symlink", "link", "readlink", "statvfs", "fstatvfs", "open56", "lock", "unlock"}
    assert SFTPServerHandler.__init__.__annotations__["server"] == "SFTPServer"
