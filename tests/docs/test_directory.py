"""The page on directories: its settings, its LDIF and its commands, with a domain controller and OpenLDAP."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import openldap
import pytest
from destinations import open_folder
from directory_entries import AMELIE_SID, INVOICE, XML
from documents import blocks, page
from domain_controller import BASE, PASSWORD, domain_controller, user

from postscan.plugins import AccessRefused, HooksContext
from postscan.plugins.directory import LdapDirectory
from postscan.plugins.directory.settings import Settings

PAGE = "docs/directory.md"


def section(title: str) -> str:
    """Return the text below a heading of the page."""
    return page(PAGE).partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def fenced(title: str, language: str) -> list[str]:
    """Return the fenced blocks of a section."""
    return [one for one in blocks(PAGE, language) if one in section(title)]


def commands(title: str) -> list[str]:
    """Return the commands of a section."""
    lines = (line for one in fenced(title, "console") for line in one.splitlines())
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]


def run(home: Path, lines: list[str], replaced: dict[str, str]) -> list[str]:
    """Run commands of the page below *home*; return what each of them printed."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    environment = {**os.environ, "PATH": path, "LDAPTLS_CACERT": str(home / "ca.pem")}
    printed = []
    for line in lines:
        command = ["sh", "-c", _replace(line, replaced)]
        done = subprocess.run(
            command, cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert "ERR" not in done.stderr, f"{command}: {done.stderr}"
        printed.append(done.stdout)
    return printed


def write(home: Path, replaced: dict[str, str], **files: str) -> None:
    """Write files of the page, and a scan process, below *home*."""
    (home / "invoice.xml").write_text(XML)
    for name, text in files.items():
        (home / f"{name.replace('_', '-')}.ldif").write_text(_replace(text, replaced))


def _replace(text: str, replaced: dict[str, str]) -> str:
    return re.sub("|".join(map(re.escape, replaced)), lambda found: replaced[found[0]], text)


def plugin(home: Path, table: dict[str, object]) -> LdapDirectory:
    """Return the plugin with settings of the page, as they are but for addresses, paths and the password."""
    ours = {"ca_file": str(home / "ca.pem"), "password_file": str(home / "password")}
    return LdapDirectory(HooksContext("directory", Settings(**{**table, **ours}), 30.0, home))


def tables() -> list[dict[str, object]]:
    """Return the tables of settings that the page shows."""
    return [tomllib.loads(one)["plugins"]["directory"] for one in blocks(PAGE, "toml")]


def test_every_setting_is_on_the_page() -> None:
    """And no other one."""
    shown = re.findall(r"^\| `plugins\.directory\.(\w+)`", page(PAGE), re.MULTILINE)

    assert shown == [field.name for field in dataclasses.fields(Settings)]


def test_the_settings_of_the_page_are_accepted(tmp_path: Path) -> None:
    """A reader copies them; only the files are others."""
    for name in ("ca.pem", "password"):
        (tmp_path / name).touch()

    assert len([plugin(tmp_path, one) for one in tables()]) == 2


@pytest.mark.services
def test_the_commands_for_active_directory_and_samba_work() -> None:
    """A process is added over LDAP, and every user may use it; then it is given to a group, with a new account."""
    with open_folder() as home, domain_controller(home, user("amelie") + user("bob")) as server:
        (home / "ca.pem").write_bytes(server.ca.read_bytes())
        (home / "password").write_text("Right-Horse-Battery-2\n")
        replaced = {
            "dc1.fabrikam.example": server.address,
            "-W": f"-w {PASSWORD}",
            "/etc/postscan/": f"{home}/",
            "/var/lib/samba/private/sam.ldb": str(server.sam),
            "python3": sys.executable,
        }
        (process,) = fenced("Active Directory", "ldif")
        account, group, _, give = commands("Samba's domain controller")
        directory = plugin(home, {**tables()[0], "servers": (server.address,)})

        write(home, replaced, invoice=process)
        guid, _ = run(home, commands("Active Directory"), replaced)
        run(home, [account, group], replaced)
        amelie, bob = (directory.postscan_find_user(login=one) for one in ("amelie", "bob"))
        assert amelie is not None
        assert bob is not None
        found = directory.postscan_find_process(INVOICE, bob)
        diagnosis = list(directory.diagnose())

        sids = {"S-1-5-21-1-2-3-1105": server.sid("postscan"), "S-1-5-21-1-2-3-1106": server.sid("scanners")}
        server.modify(_MEMBER)
        write(home, sids, invoice_rights=fenced("Samba's domain controller", "ldif")[0])
        run(home, [give], replaced)

        assert guid.strip() in process
        assert guid in fenced("Active Directory", "console")[0]
        assert found is not None
        assert found.xml == XML
        assert diagnosis == []
        assert directory.postscan_find_process(INVOICE, amelie) is not None
        with pytest.raises(AccessRefused):
            directory.postscan_find_process(INVOICE, bob)
        directory.close()


@pytest.mark.services
def test_the_third_command_for_samba_works() -> None:
    """The same process, added on the domain controller itself."""
    with open_folder() as home, domain_controller(home) as server:
        replaced = {"/etc/postscan/": f"{home}/", "/var/lib/samba/private/sam.ldb": str(server.sam)}
        write(home, replaced, invoice=fenced("Active Directory", "ldif")[0])

        run(home, commands("Samba's domain controller")[2:3], replaced)

        assert "displayName: Invoice" in server.run("ldbsearch", "", "(objectClass=msImaging-PostScanProcess)")


@pytest.mark.services
def test_the_commands_for_openldap_work() -> None:
    """The schema, a process, a user, and the rights of the service account, which reads no password with them."""
    people = _PERSON + openldap.group("scanners", [f"uid=amelie,{openldap.PEOPLE}"])
    with open_folder() as home, openldap.openldap(home, people, schema=False) as server:
        (home / "ca.pem").write_bytes(server.ca.read_bytes())
        (home / "password").write_text(openldap.PASSWORD)
        replaced = {
            "ldaps://ldap.fabrikam.example": f"ldaps://127.0.0.1:{server.tls_port}",
            "ldapi:///": server.local,
            "-W": f"-w {openldap.PASSWORD}",
            "-f postscan.ldif": f"-f {openldap.SCHEMA}",
            "/etc/postscan/": f"{home}/",
            "python3": sys.executable,
        }
        entries, access = fenced("OpenLDAP", "ldif")
        write(home, replaced, openldap=entries, access=access)

        named, *_ = run(home, commands("OpenLDAP"), replaced)
        directory = plugin(home, {**tables()[1], "servers": (f"localhost:{server.tls_port}",)})
        amelie = directory.postscan_find_user(sid=AMELIE_SID)
        assert amelie is not None
        found = directory.postscan_find_process(INVOICE, amelie)
        directory.close()
        login = f"-x -H ldap://127.0.0.1:{server.port} -D {openldap.SERVICE} -w {openldap.PASSWORD}"
        seen = run(home, [f"ldapsearch {login} -b uid=amelie,{openldap.PEOPLE}"], replaced)[0]

        assert Path(named.strip()).samefile(openldap.SCHEMA)
        assert (amelie.name, amelie.display_name) == ("amelie@fabrikam.example", "Amelie")
        assert found is not None
        assert found.xml == XML
        assert "displayName" in seen
        assert "userPassword" not in seen


_MEMBER = f"""\
dn: CN=scanners,CN=Users,{BASE}
changetype: modify
add: member
member: CN=amelie,CN=Users,{BASE}
"""
_PERSON = f"""\
dn: uid=amelie,{openldap.PEOPLE}
objectClass: inetOrgPerson
uid: amelie
cn: amelie
sn: amelie
displayName: Amelie
userPassword: secret-of-amelie

"""
