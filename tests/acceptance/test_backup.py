"""A copy of the installation that is made while devices scan, and its return on another machine."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import commands
import pytest
from acceptance.scanning import Scanner, good
from acceptance.server import Server, digest, running


def postscan(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the settings of a server."""
    return commands.run(["--config", str(server.home / "postscan.toml"), *arguments], timeout=120)


@contextlib.contextmanager
def busy(server: Server) -> Iterator[None]:
    """Scan jobs without a pause while the body runs, at least one."""
    done, one = threading.Event(), threading.Event()

    def scan() -> None:
        device = Scanner(server, "127.0.0.9")
        while not done.is_set():
            device.start("copy")
            one.set()

    thread = threading.Thread(target=scan)
    thread.start()
    assert one.wait(60)
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], list[bytes]]:
    """A backup of a server with jobs in several states that receives others meanwhile; their tokens, and images."""
    home = tmp_path_factory.mktemp("first")
    file = home / "backup.tar"
    with running(home) as server:
        scanner = Scanner(server)
        jobs = {"completed": scanner.start("copy"), "running": scanner.start("sleep until woken", "copy")}
        scanner.ended(jobs["completed"])
        server.works.await_trace(jobs["running"], "sleep")
        jobs["canceled"] = scanner.create("copy")
        good(scanner.device.cancel(jobs["canceled"]))
        jobs["creating"] = scanner.create("copy")
        images = scanner.send(jobs["creating"], 1, 2)
        with busy(server):
            made = postscan(server, "backup", str(file))
        assert made.returncode == 0, made.stderr
        assert [line.verb for line in server.works.core.store.audit("installation")] == ["backup"]
        server.kill()
    return file, jobs, images


@pytest.fixture
def empty(tmp_path: Path) -> Server:
    """A server with settings, and without data."""
    return Server(tmp_path, {})


def test_a_restored_installation_has_every_job_and_goes_on(
    backup: tuple[Path, dict[str, str], list[bytes]], empty: Server
) -> None:
    """Ended jobs are as they were, one that ran runs again, and a device goes on with the one that it had begun."""
    file, jobs, images = backup
    restored = postscan(empty, "restore", str(file))
    assert restored.returncode == 0, restored.stderr
    with contextlib.closing(empty):
        empty.start()
        scanner = Scanner(empty)
        empty.works.await_trace(jobs["running"], "sleep")

        assert scanner.status(jobs["completed"]).state == "Completed"
        assert scanner.status(jobs["canceled"]).state == "Canceled"
        assert scanner.status(jobs["creating"]).state == "Creating"
        images += scanner.send(jobs["creating"], 3)
        good(scanner.device.end(jobs["creating"]))
        assert scanner.ended(jobs["creating"]).state == "Completed"
        empty.works.wake(jobs["running"])
        assert scanner.ended(jobs["running"]).state == "Completed"
        assert {digest(path) for path in empty.out.glob("*.png")} >= {hash_of(image) for image in images}
        assert "job aborted" not in empty.log()
        assert empty.tracebacks() == []


def hash_of(image: bytes) -> str:
    """Return the SHA-256 of an image."""
    import hashlib

    return hashlib.sha256(image).hexdigest()


def test_a_backup_is_for_its_user_alone_and_has_the_settings(
    backup: tuple[Path, dict[str, str], list[bytes]], empty: Server
) -> None:
    """They have passwords; `--settings-to` writes them to a file that is new."""
    file, _, _ = backup
    settings = empty.home / "old.toml"
    again = empty.home / "again.toml"
    shutil.copy(settings.with_name("postscan.toml"), again)

    assert file.stat().st_mode & 0o777 == 0o600
    assert "is there already" in postscan(empty, "restore", str(file), "--settings-to", str(again)).stderr
    assert postscan(empty, "restore", str(file), "--settings-to", str(settings)).returncode == 0
    assert settings.read_text() == (file.parent / "postscan.toml").read_text()
    assert settings.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["cut", "changed", "other"])
def test_a_damaged_backup_restores_nothing(
    backup: tuple[Path, dict[str, str], list[bytes]], empty: Server, tmp_path: Path, damage: str
) -> None:
    """Cut anywhere, changed in one byte of one file, or something else: one line says so, and nothing is left."""
    file = shutil.copy(backup[0], tmp_path / "damaged.tar")
    before = sorted(tmp_path.rglob("*"))
    with file.open("r+b") as opened:
        if damage == "cut":
            opened.truncate(file.stat().st_size // 2)
        elif damage == "other":
            opened.write(b"not a backup" * 100)
        else:
            with tarfile.open(file) as tar:
                position = tar.getmember("database.sqlite").offset_data
            opened.seek(position + 5000)
            byte = opened.read(1)[0]
            opened.seek(position + 5000)
            opened.write(bytes([byte ^ 1]))
    refused = postscan(empty, "restore", str(file))

    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith("postscan: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_images_elsewhere_are_not_left_out_in_silence(
    backup: tuple[Path, dict[str, str], list[bytes]], tmp_path: Path
) -> None:
    """A folder of its own for images, or an object store: no backup is better than one without images."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    server = Server(tmp_path, {"spool": {"store": str(elsewhere)}})
    made, restored = postscan(server, "backup", str(tmp_path / "b.tar")), postscan(server, "restore", str(backup[0]))

    assert made.returncode == restored.returncode == 1
    assert "its images are in no backup of this command" in made.stderr
    assert "a backup has its images with it" in restored.stderr
    assert not (tmp_path / "b.tar").exists()


def test_what_is_there_is_not_replaced(backup: tuple[Path, dict[str, str], list[bytes]], empty: Server) -> None:
    """Neither an older backup nor an installation."""
    file, _, _ = backup
    content = file.read_bytes()
    (empty.home / "data").mkdir()
    (empty.home / "data" / "precious").write_text("x")

    assert "is not empty" in postscan(empty, "restore", str(file)).stderr
    shutil.rmtree(empty.home / "data")
    assert "File exists" in postscan(empty, "backup", str(file)).stderr
    assert file.read_bytes() == content
    assert [path.name for path in file.parent.glob(".*")] == []
