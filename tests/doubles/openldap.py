"""OpenLDAP's slapd on free ports of this machine, with our schema: a real directory for the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from certificates import SERVER, Authority
from cryptography import x509
from documents import ROOT
from free_ports import free_port

SUFFIX: Final = "dc=fabrikam,dc=example"
PEOPLE: Final = f"ou=people,{SUFFIX}"
GROUPS: Final = f"ou=groups,{SUFFIX}"
PROCESSES: Final = f"ou=processes,{SUFFIX}"
ROOT_DN: Final = f"cn=admin,{SUFFIX}"
SERVICE: Final = f"cn=postscan,{SUFFIX}"
PASSWORD: Final = "right-horse-battery"
SCHEMA: Final = ROOT / "plugins" / "directory" / "postscan.ldif"
DEBIAN: Final = Path("/etc/ldap/schema")
NEEDED: Final = ("slapd", "slapadd", "ldapadd", "ldapmodify")
NOT_HERE: Final = "the directory tests need OpenLDAP; apt-get install slapd ldap-utils"
READY: Final = 60.0  # seconds that it may take to start, or to end
PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # who is not root may not have these

CONFIG: Final = """\
dn: cn=config
objectClass: olcGlobal
cn: config
olcTLSCertificateFile: {pem}
olcTLSCertificateKeyFile: {pem}
olcTLSCACertificateFile: {ca}
olcPidFile: {home}/slapd.pid

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

{schemas}
dn: olcDatabase=frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: frontend

dn: olcDatabase=config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: config
olcAccess: to * by dn.exact=gidNumber={group}+uidNumber={user},cn=peercred,cn=external,cn=auth manage by * none

dn: olcDatabase=mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: mdb
olcSuffix: {suffix}
olcDbDirectory: {home}/data
olcDbMaxSize: 2147483648
olcDbNoSync: TRUE
olcRootDN: {root}
olcRootPW: {password}
olcDbIndex: objectClass eq
olcDbIndex: cn,uid eq
olcDbIndex: member,memberUid eq
olcAccess: to attrs=userPassword by anonymous auth by * none
"""

RIGHTS: Final = f"""\
olcDbIndex: postscanSid,postscanUpn,postscanIdentifier,uniqueMember eq
olcAccess: to * by dn.exact="{SERVICE}" read by * none
olcLimits: dn.exact="{SERVICE}" size.prtotal=unlimited size=500 time=unlimited
"""

TREE: Final = f"""\
dn: {SUFFIX}
objectClass: organization
objectClass: dcObject
o: Fabrikam
dc: fabrikam

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups

dn: {PROCESSES}
objectClass: organizationalUnit
ou: processes

dn: {SERVICE}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: postscan
userPassword: {PASSWORD}

"""


@dataclass
class OpenLdap:
    """A directory; `ca` is the file of the CA that its certificate comes from."""

    home: Path
    ca: Path
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def local(self) -> str:
        """The URL by which the user of the tests is its administrator."""
        return f"ldapi://{quote(str(self.home / 'ldapi'), safe='')}"

    def prepare(self, pem: Path, ldif: str, *, schema: bool) -> None:
        """Write its configuration and its entries."""
        (self.home / "config").mkdir()
        (self.home / "data").mkdir()
        files = [*(DEBIAN / f"{one}.ldif" for one in ("core", "cosine", "nis", "inetorgperson"))]
        files += [SCHEMA] if schema else []
        schemas = "\n".join(one.read_text("utf-8") for one in files)
        texts = {"pem": pem, "ca": self.ca, "home": self.home, "schemas": schemas, "suffix": SUFFIX, "root": ROOT_DN}
        texts |= {"password": PASSWORD, "user": os.getuid(), "group": os.getgid()}
        self._slapadd("0", CONFIG.format(**texts) + (RIGHTS if schema else ""))
        self._slapadd("1", TREE + ldif, "-q")

    def start(self) -> None:
        """Start it and wait until it answers."""
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port} {self.local}"
        with (self.home / "slapd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [_program("slapd"), "-F", self.home / "config", "-h", urls, "-d", "0"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + READY
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.tls_port), timeout=1):
                return
            time.sleep(0.05)
        self.stop()
        pytest.fail(f"slapd did not start: {(self.home / 'slapd.log').read_text()}")

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(READY)
            self.process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it: SIGSTOP makes it hang."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def modify(self, ldif: str) -> None:
        """Change entries, as the administrator of the directory."""
        login = ["-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", ROOT_DN, "-w", PASSWORD]
        _run([_program("ldapmodify"), *login], ldif.encode())

    def _slapadd(self, database: str, ldif: str, *options: str) -> None:
        _run([_program("slapadd"), "-F", str(self.home / "config"), "-n", database, *options], ldif.encode())


@contextlib.contextmanager
def openldap(home: Path, ldif: str = "", *, schema: bool = True) -> Iterator[OpenLdap]:
    """Lend a directory with these entries; the test is skipped, and says so, without slapd.

    Without the *schema*, the service account has no rights either.
    """
    if not all(shutil.which(one, path=PATH) for one in NEEDED):
        pytest.skip(NOT_HERE)
    authority = Authority("Directory CA")
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    pem = authority.issue("localhost", usage=(SERVER,), names=names).write(home, "slapd")
    server = OpenLdap(home, authority.write(home, "directory-ca"))
    server.prepare(pem, ldif, schema=schema)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def table(server: OpenLdap) -> dict[str, Any]:
    """Return the settings for this OpenLDAP."""
    return {
        "servers": (f"localhost:{server.tls_port}",),
        "kind": "openldap",
        "ca_file": str(server.ca),
        "user": SERVICE,
        "password": PASSWORD,
        "base": SUFFIX,
        "processes": PROCESSES,
    }


def user(uid: str, sid: str, *more: str) -> str:
    """Return a user as LDIF; *more* are further lines."""
    lines = [
        f"dn: uid={uid},{PEOPLE}",
        *(f"objectClass: {one}" for one in ("inetOrgPerson", "postscanAccount")),
        f"uid: {uid}",
        f"cn: {uid}",
        f"sn: {uid}",
        f"postscanSid: {sid}",
        f"postscanUpn: {uid}@fabrikam.example",
        *more,
    ]
    return "\n".join(lines) + "\n\n"


def group(name: str, members: Sequence[str], *more: str) -> str:
    """Return a group of these entries (DN) as LDIF; *more* are further lines."""
    own = [f"dn: cn={name},{GROUPS}", "objectClass: groupOfNames", *more, f"cn: {name}"]
    return "\n".join([*own, *(f"member: {one}" for one in members)]) + "\n\n"


def _run(command: Sequence[str | Path], stdin: bytes) -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=READY)
    assert done.returncode == 0, f"{command}: {done.stdout.decode()}{done.stderr.decode()}"


def _program(name: str) -> str:
    found = shutil.which(name, path=PATH)
    assert found is not None
    return found
