"""Samba's domain controller on an address of loopback of its own: a real Active Directory for the tests.

Its ports are those of every domain controller (389, 636, 88, 464), which cannot be changed; so it has an address that
no other one has. All of 127.0.0.0/8 is this machine.
"""

from __future__ import annotations

import base64
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import pytest
from certificates import SERVER, Authority
from cryptography import x509

REALM: Final = "FABRIKAM.EXAMPLE"
DOMAIN: Final = "fabrikam.example"
NETBIOS: Final = "FABRIKAM"
BASE: Final = "DC=fabrikam,DC=example"
HOST: Final = "dc1.fabrikam.example"
PASSWORD: Final = "Right-Horse-Battery-1"
NEEDED: Final = ("samba", "samba-tool", "ldbadd", "ldbmodify", "ldbsearch")
NOT_HERE: Final = (
    "the directory tests need root and samba's domain controller; apt-get install samba samba-ad-provision "
    "samba-dsdb-modules python3-samba ldb-tools"
)
READY: Final = 120.0  # seconds that it may take to be made, to start, or to end
PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # who is not root may not have these


@dataclass
class DomainController:
    """A domain controller; `ca` is the file of the CA that its certificate comes from."""

    home: Path
    address: str
    ca: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def sam(self) -> Path:
        """The file of its directory, for ldbadd and its relatives."""
        return self.home / "dc" / "private" / "sam.ldb"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.home / "samba.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    _program("samba"),
                    "-i",
                    "-M",
                    "single",
                    "--debug-stdout",
                    "-s",
                    self.home / "dc" / "etc" / "smb.conf",
                ],
                stdin=subprocess.PIPE,  # it ends when this is closed
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + READY
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError):
                for port in (636, 389, 88):
                    socket.create_connection((self.address, port), timeout=1).close()
                return
            time.sleep(0.05)
        self.stop()
        pytest.fail(f"samba did not start: {(self.home / 'samba.log').read_text()}")

    def stop(self) -> None:
        """End it, with all that it started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(READY)
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes: SIGSTOP makes it hang."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def add(self, ldif: str) -> None:
        """Add entries, as an administrator of the machine."""
        printed = self.run("ldbadd", ldif)
        assert f"Added {ldif.count('dn:: ')} records successfully" in printed, printed

    def modify(self, ldif: str) -> None:
        """Change or delete entries, as an administrator of the machine."""
        self.run("ldbmodify", ldif)

    def run(self, program: str, ldif: str, *arguments: str) -> str:
        """Run one of the ldb tools on the file of the directory; return what it printed."""
        file = self.home / "entries.ldif"
        file.write_text(ldif)
        return _run([_program(program), "-H", self.sam, *([file] if ldif else []), *arguments])

    def sid(self, name: str) -> str:
        """Return the SID of a user or a group, by its sAMAccountName."""
        found = self.run("ldbsearch", "", f"(sAMAccountName={name})", "objectSid")
        return next(line.removeprefix("objectSid: ") for line in found.splitlines() if line.startswith("objectSid: "))


@contextlib.contextmanager
def domain_controller(home: Path, ldif: str = "") -> Iterator[DomainController]:
    """Lend a domain controller with these entries; the test is skipped, and says so, without samba."""
    if os.geteuid() or not all(shutil.which(one, path=PATH) for one in NEEDED):
        pytest.skip(NOT_HERE)
    address = f"127.{random.randint(64, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"
    authority = Authority("Directory CA")
    names = [x509.DNSName(HOST), x509.DNSName("localhost"), x509.IPAddress(ip_address(address))]
    made = authority.issue(HOST, usage=(SERVER,), names=names).write(home, "dc1")
    made.chmod(0o600)
    ca = authority.write(home, "directory-ca")
    places = ("pid directory", "ncalrpc dir", "winbindd socket directory", "ntp signd socket directory")
    (home / "run").mkdir()
    options = {
        **dict.fromkeys(places, home / "run"),
        "interfaces": f"{address}/8",
        "bind interfaces only": "yes",
        "server services": "ldap kdc",
        "tls keyfile": made,
        "tls certfile": made,
        "tls cafile": ca,
        "log file": home / "samba.log",
    }
    _run(
        [
            *(_program("samba-tool"), "domain", "provision", "--server-role=dc", "--dns-backend=NONE"),
            *(f"--targetdir={home / 'dc'}", f"--realm={REALM}", f"--domain={NETBIOS}", f"--adminpass={PASSWORD}"),
            *("--host-name=dc1", f"--host-ip={address}"),
            *(f"--option={key}={value}" for key, value in options.items()),
        ]
    )
    server = DomainController(home, address, ca)
    if ldif:
        server.add(ldif)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def entry(dn: str, values: Mapping[str, str | bytes | Sequence[str]]) -> str:
    """Return an entry as LDIF; all values in Base64, so that none of their characters means anything."""
    lines = [_line("dn", dn)]
    for name, value in values.items():
        lines += [_line(name, one) for one in ([value] if isinstance(value, str | bytes) else value)]
    return "\n".join(lines) + "\n\n"


def user(name: str, parent: str = f"CN=Users,{BASE}", **more: str | bytes | Sequence[str]) -> str:
    """Return a user with the password of all, as LDIF."""
    attributes: dict[str, str | bytes | Sequence[str]] = {
        "objectClass": "user",
        "sAMAccountName": name,
        "userPrincipalName": f"{name}@{DOMAIN}",
        "userAccountControl": "512",
        "unicodePwd": f'"{PASSWORD}"'.encode("utf-16-le"),
    }
    return entry(f"CN={name},{parent}", {**attributes, **more})


def group(name: str, *members: str) -> str:
    """Return a group of users and groups of CN=Users, as LDIF."""
    dns = [f"CN={one},CN=Users,{BASE}" for one in members]
    return entry(
        f"CN={name},CN=Users,{BASE}",
        {"objectClass": "group", "sAMAccountName": name, **({"member": dns} if dns else {})},
    )


def _line(name: str, value: str | bytes) -> str:
    data = value.encode() if isinstance(value, str) else value
    return f"{name}:: {base64.b64encode(data).decode()}"


def _run(command: Sequence[str | Path]) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=READY)
    output = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, f"{command}: {output}"
    return output


def _program(name: str) -> str:
    found = shutil.which(name, path=PATH)
    assert found is not None
    return found
