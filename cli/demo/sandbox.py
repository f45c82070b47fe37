"""The sandbox of the demo: a folder, a server, and commands that are printed before they run."""

from __future__ import annotations

import contextlib
import http
import importlib.resources
import json
import os
import secrets
import select
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from postscan.cli.demo import upload
from postscan.core.errors import PostscanError

USER: Final = "S-1-5-21-1-2-3-1001"
SHARES: Final = ("archive", "stamped", "afterwards")
INLET: Final = "web"
DESTINATION: Final = "Archive"
PANEL_INLET: Final = "panel"
PANEL_DESTINATION: Final = "Scanned"
ACCOUNT: Final = "front-desk"
ACCOUNT_FILE: Final = "front-desk.password"  # in the folder; has the password of the account
_LONGEST: Final = 45.0  # seconds for one command, for the start of the server and of the inlet, and for the stop
_POLL: Final = 0.25  # seconds between two looks at the inlet


class DemoSandbox:
    """A folder, and the commands that run in it. `failures` has the results that are not as expected.

    One inlet takes files by HTTP for one destination, and another one scans from a WSD scanner that is not there yet,
    for a second one; the scan process of both has the GUID *process*.
    """

    def __init__(self, folder: Path, process: str) -> None:
        self.folder = folder
        self.failures: list[str] = []
        self._process = process
        self._port, self._inlet_port, self._panel_port = _free_ports(3)
        self._environment = os.environ | {"POSTSCAN_CONFIG": "postscan.toml", "PYTHONUNBUFFERED": "1"}

    def build(self, pages: Sequence[str], processes: Sequence[str]) -> None:
        """Create the pages, the share folders, the settings, the scan processes, and a password for the account."""
        (self.folder / "pages").mkdir()
        demo = importlib.resources.files("postscan.cli.demo")
        for page in pages:
            (self.folder / "pages" / page).write_bytes((demo / "pages" / page).read_bytes())
        for share in SHARES:
            (self.folder / "share" / share).mkdir(parents=True)
        for process in processes:
            (self.folder / process).write_bytes((demo / "samples" / process).read_bytes())
        (self.folder / ACCOUNT_FILE).touch(0o600)
        (self.folder / ACCOUNT_FILE).write_text(f"{secrets.token_urlsafe(16)}\n", "utf-8")
        (self.folder / "postscan.toml").write_text(self._settings(), "utf-8")
        typer.echo(f"$ cd {shlex.quote(str(self.folder))} && export POSTSCAN_CONFIG=postscan.toml")

    @property
    def panel_settings(self) -> str:
        """The settings of the inlet for a scanner with a panel, without its destinations."""
        return f'[sources.{PANEL_INLET}]\nplugin = "wsscan"\ndevice = "http://127.0.0.1:{self._panel_port}/wsd"\n'

    def press(self, page: str, destination: str) -> str:
        """Return the command that plays a press at the panel of that scanner."""
        address = f"127.0.0.1:{self._panel_port}"
        return shlex.join(["postscan", "device", "--wsscan", page, "--listen", address, "--press", destination])

    @contextlib.contextmanager
    def server(self) -> Iterator[None]:
        """Run the server for the body; stop it with SIGTERM."""
        typer.echo("\n$ postscan serve 2>server.log &")
        with (self.folder / "server.log").open("wb") as log:
            process = self._start("serve", stderr=log)
        try:
            typer.echo(self._first_line(process))
            yield
        finally:
            process.terminate()
            try:
                process.wait(_LONGEST)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.expect(False, f"the server did not stop within {_LONGEST:.0f} seconds of SIGTERM")

    def run(self, *arguments: str, exit_code: int = 0, stdin: str = "") -> list[str]:
        """Print and run a command, print its output, and return its lines; raise for another exit code.

        *stdin* is a file of the folder that the command reads.
        """
        typer.echo(f"\n$ postscan {shlex.join(arguments)}{f' <{stdin}' if stdin else ''}")
        with contextlib.ExitStack() as opened:
            given = opened.enter_context((self.folder / stdin).open("rb")) if stdin else None
            process = opened.enter_context(self._limited(self._start(*arguments, stdin=given)))
            lines = []
            for line in process.stdout or ():
                typer.echo(line, nl=False)
                lines.append(line)
        if process.returncode != exit_code:
            raise PostscanError(f"`postscan {arguments[0]}` ended with {process.returncode}; expected {exit_code}")
        return lines

    def upload(self, page: str) -> str:
        """Send a page to the inlet as the account, print request and response, and return the token of the job."""
        self._await_inlet()
        url = f"http://127.0.0.1:{self._inlet_port}/{DESTINATION}/"
        typer.echo(f"\nPUT {url}{Path(page).name} by the account {ACCOUNT}. By hand:")
        typer.echo(f'  curl --user "{ACCOUNT}:$(cat {ACCOUNT_FILE})" --upload-file {page} {url}')
        password = (self.folder / ACCOUNT_FILE).read_text("utf-8").strip()
        status, response = upload.put(
            self._inlet_port, DESTINATION, self.folder / page, ACCOUNT, password, seconds=_LONGEST
        )
        typer.echo(f"{status} {json.dumps(response)}")
        if status != http.HTTPStatus.CREATED:
            raise PostscanError(f"the upload was answered with {status}; expected 201")
        return str(response["job"])

    def read_json(self, *arguments: str) -> Any:
        """Run a command with `--json` without printing it; return its output."""
        with self._limited(self._start(*arguments)) as process:
            output = process.stdout.read() if process.stdout else ""
        return json.loads(output or "{}")

    def files(self, share: str) -> list[Path]:
        """Return the files of a share, hidden ones included."""
        return sorted(path for path in (self.folder / "share" / share).rglob("*") if path.is_file())

    def show(self, *shares: str) -> None:
        """Print the files of these shares, with sizes in bytes."""
        for share in shares:
            files = self.files(share)
            typer.echo(f"\nshare/{share}: {len(files)} file{'' if len(files) == 1 else 's'}")
            for file in files:
                typer.echo(f"{file.stat().st_size:>12,}  {file.relative_to(self.folder)}")

    def expect(self, true: bool, otherwise: str) -> None:
        """Add a failure if *true* is false."""
        if not true:
            self.failures.append(otherwise)

    def _start(self, *arguments: str, stdin: Any = None, stderr: Any = None) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "postscan.cli", *arguments]
        return subprocess.Popen(  # noqa: S603  (our own commands)
            command,
            cwd=self.folder,
            env=self._environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    @contextlib.contextmanager
    def _limited(self, process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
        """Yield a process, and wait for its end; kill it after `_LONGEST` seconds."""
        watchdog = threading.Timer(_LONGEST, process.kill)
        watchdog.start()
        try:
            with process:
                yield process
        finally:
            watchdog.cancel()

    def _first_line(self, process: subprocess.Popen[str]) -> str:
        """Return the line that the server prints when it is ready."""
        output = process.stdout
        line = output.readline().strip() if output and select.select([output], [], [], _LONGEST)[0] else ""
        if not line:
            log = (self.folder / "server.log").read_text("utf-8", "replace").strip().splitlines()
            raise PostscanError(f"the server did not start: {log[-1] if log else 'without a log line'}")
        return line

    def _await_inlet(self) -> None:
        """Wait until the inlet listens; raise `PostscanError` if it does not."""
        end = time.monotonic() + _LONGEST
        while (inlet := self.read_json("sources", "show", INLET, "--json")).get("state") != "ready":
            if time.monotonic() > end:
                raise PostscanError(f"the inlet {INLET} is {inlet.get('state')}: {inlet.get('detail')}")
            time.sleep(_POLL)

    def _settings(self) -> str:
        """Return the settings: data folder, free ports, shares, a user with a name, destinations and their inlets."""
        shares = {share: json.dumps(str(self.folder / "share" / share), ensure_ascii=False) for share in SHARES}
        return rf"""
[server]
port = {self._port}

[console]
enabled = false

[storage]
data_dir = "data"

[filters.fileshare]
shares = {{ '\\demo\archive' = {shares["archive"]}, '\\demo\afterwards' = {shares["afterwards"]} }}

[filters.stamp]
shares = {{ '\\demo\stamped' = {shares["stamped"]} }}

[users."{USER}"]
name = "ann@demo.example"

[destinations.archive]
label = "{DESTINATION}"
process = "{self._process}"

[destinations.{PANEL_INLET}]
label = "{PANEL_DESTINATION}"
process = "{self._process}"
user = "{USER}"  # a scanner does not tell who is at its panel

[sources.{INLET}]
plugin = "web"
destinations = ["archive"]
port = {self._inlet_port}
allow_clear = true  # the password comes without TLS; the inlet listens on loopback alone

{self.panel_settings}destinations = ["{PANEL_INLET}"]
""".lstrip()


def _free_ports(number: int) -> list[int]:
    """Return so many free ports of the loopback address, no two of them equal."""
    with contextlib.ExitStack() as opened:
        probes = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [probe.getsockname()[1] for probe in probes]
