"""Debian's smbd on a free port of this machine, with shares in folders: a real file server for the tests."""

from __future__ import annotations

import configparser
import contextlib
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from destinations import NOBODY
from documents import blocks
from free_ports import free_port

NAME = "files02.fabrikam.example"
PASSWORD = "right-horse-battery"
NEEDED = ("smbd", "pdbedit")
NOT_HERE = "the file share tests over SMB need smbd and pdbedit; apt-get install samba"
READY = 90.0  # seconds that it may take to start, or to end


class Samba:
    """A file server; `shares` gives the folder of each share by its name."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.user = getpass.getuser()
        self.port = free_port()
        self.shares: dict[str, Path] = {}
        self._config = home / "smb.conf"
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self, options: dict[str, str], shares: dict[str, dict[str, str]]) -> None:
        """Write its configuration, make the folders of its shares, and give its user a password."""
        lines = ["[global]", *_lines({**self._global(), **options})]
        for name, share in shares.items():
            folder = self.shares[name] = self.home / "shares" / name
            folder.mkdir(parents=True)
            folder.chmod(0o777)
            lines += [f"[{name}]", *_lines({"path": str(folder), "read only": "no", **share})]
        self._config.write_text("\n".join(lines) + "\n")
        subprocess.run(
            [_program("pdbedit"), "-s", self._config, "-a", "-t", "-u", self.user],
            input=f"{PASSWORD}\n{PASSWORD}\n".encode(),
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.home / "smbd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("smbd"), "--foreground", "--no-process-group", "--debug-stdout", "-s", self._config],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + READY
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        self.stop()
        pytest.fail(f"smbd did not start: {(self.home / 'smbd.log').read_text()}")

    def stop(self) -> None:
        """End it, with all that it started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(READY)
            self._process = None

    def client(self, share: str, commands: str) -> list[str]:
        """Return the command by which smbclient carries out *commands* on a share."""
        user = f"{self.user}%{PASSWORD}"
        return ["smbclient", f"//127.0.0.1/{share}", "-p", str(self.port), "-U", user, "-c", commands]

    def settings(self, **more: object) -> dict[str, object]:
        """Return its line of `[filters.fileshare.servers]`."""
        return {NAME: {"user": self.user, "password": PASSWORD, "host": "127.0.0.1", "port": self.port, **more}}

    def _global(self) -> dict[str, str]:
        places = ("private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir")
        folder = self.home / "state"
        folder.mkdir()
        (folder / "msg.lock").mkdir(mode=0o755)
        return {
            "server role": "standalone server",
            "workgroup": "FABRIKAM",
            "netbios name": "FILES02",
            "interfaces": "127.0.0.1/8",
            "bind interfaces only": "yes",
            "smb ports": str(self.port),
            "disable netbios": "yes",
            "server signing": "mandatory",
            "passdb backend": f"tdbsam:{folder}/passdb.tdb",
            "load printers": "no",
            "printing": "bsd",
            "printcap name": "/dev/null",
            "disable spoolss": "yes",
            "log level": "1",
            **dict.fromkeys(places, str(folder)),
        }


@contextlib.contextmanager
def samba(home: Path, shares: dict[str, dict[str, str]], **options: str) -> Iterator[Samba]:
    """Lend a file server with these shares, each with its options; the test is skipped, and says so, without smbd."""
    if not is_here():
        pytest.skip(NOT_HERE)
    server = Samba(home)
    server.prepare({name.replace("_", " "): value for name, value in options.items()}, shares)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def documented(home: Path) -> Iterator[Samba]:
    """Lend the file server of docs/connect-your-scanner.md: its smb.conf, but for path and users, which are our own."""
    (text,) = blocks("docs/connect-your-scanner.md", "ini")
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    ours = dict.fromkeys(("valid users", "force user"), getpass.getuser())
    sections = {name: {**parser[name], **(ours if name != "global" else {})} for name in parser.sections()}
    options = sections.pop("global")
    assert [share.pop("path") for share in sections.values()] == ["/srv/scans"]
    with samba(home, sections, **options) as server:
        yield server


def is_here() -> bool:
    """Return whether the programs are installed."""
    return all(shutil.which(one, path=_path()) is not None for one in NEEDED)


def bound() -> dict[str, str]:
    """Return the options of a share whose user is bound by the permissions of its files, even if smbd is root's."""
    return {"force user": pwd.getpwuid(NOBODY).pw_name} if os.geteuid() == 0 else {}


def _lines(options: dict[str, str]) -> list[str]:
    return [f"  {key} = {value}" for key, value in options.items()]


def _program(name: str) -> str:
    found = shutil.which(name, path=_path())
    assert found is not None
    return found


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # who is not root may not have these
