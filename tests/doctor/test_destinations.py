"""What `postscan doctor` finds of plugins, scan processes and destinations; nothing is ever delivered."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import documents
import messages
import pytest
from destinations import open_folder
from findings import bad, made, the
from free_ports import free_port
from plugin_names import others
from samba import NAME, samba
from smtp import MailServer

from postscan.cli.demo import sandbox
from postscan.core.registry import validation
from postscan.core.settings import Settings
from postscan.doctor import destinations
from postscan.soap.processes.folder import ProcessFolder

ARCHIVE = Path(sandbox.__file__).parent / "samples" / "archive.xml"

CURIOUS = """
import time
from postscan.plugins import Filter, hookimpl

class Curious(Filter):
    dialect = "urn:test:curious"
    title = "Curious"
    def requires(self):
        return LACKS
    def diagnose(self, job):
        BODY
        yield f"saw {len(job.all_documents)} documents for {job.user.name}"
    def run(self, job, token):
        pass

@hookimpl
def postscan_filters():
    return [Curious()]
"""

DO = "<do xmlns='urn:test'/>"


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[[str, str], None]]:
    """Install plugins: each a name and its code."""
    site = tmp_path / "site"
    site.mkdir()
    sys.path.append(str(site))
    yield lambda name, code: documents.install(site, f"{name}_module", code, name)
    sys.path.remove(str(site))


def asking(tmp_path: Path, dialect: str, xml: str, **tables: Any) -> Settings:
    """Store a scan process with one filter, and return settings with no other plugin than that needs."""
    text = ARCHIVE.read_text()
    head, _, rest = text.partition("<psp:Filter>")
    filter = f"<psp:Filter><psp:Dialect>{dialect}</psp:Dialect><psp:Instructions>{xml}</psp:Instructions></psp:Filter>"
    tail = rest.partition("</psp:Filter>")[2]
    needed = dialect.rpartition(":")[2].rpartition("/")[2]
    settings = made(tmp_path, plugins={"disabled": others(needed)}, **tables)
    ProcessFolder(settings.processes_dir).add(f"{head}{filter}{tail}".encode(), display_name="P")
    return settings


def ours(name: str, inside: str) -> tuple[str, str]:
    """Return dialect and instructions of one of our own filters."""
    dialect = f"urn:postscan:2026:filter:{name}"
    return dialect, f'<{name.title()}Config xmlns="{dialect}">{inside}</{name.title()}Config>'


def microsofts(name: str, inside: str) -> tuple[str, str]:
    """Return dialect and instructions of one of the filters that the protocol names."""
    dialect = f"{messages.FILTER}{name}"
    element = {"fileshare": "FileShareConfig", "email": "EmailConfig", "sharepoint": "SharePointConfig"}[name]
    return dialect, f'<{element} xmlns="{dialect}">{inside}</{element}>'


def share(unc: str) -> tuple[str, str]:
    """Ask for one share."""
    return microsofts("fileshare", f"<FileShares><ShareUNC>{unc}</ShareUNC></FileShares>")


def mail(to: str) -> tuple[str, str]:
    """Ask for one mail."""
    return microsofts("email", f"<SendToAddresses><EmailAddress>{to}</EmailAddress></SendToAddresses>")


def test_no_scan_process_at_all(tmp_path: Path) -> None:
    """Nobody can scan then, but nothing is broken."""
    settings = made(tmp_path, plugins={"disabled": others()})

    assert the(destinations.destinations(settings))[:2] == ("scan processes", "warning")


def test_a_scan_process_that_is_broken_and_one_for_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    """Both are named."""
    settings = asking(tmp_path, "urn:nobody:knows", DO)
    (settings.processes_dir / "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7.xml").write_text("<oops>")
    broken, unknown = bad(destinations.destinations(settings))

    assert broken[:2] == ("scan processes", "problem")
    assert unknown == ("process P, knows", "problem", "no ready plugin has the dialect urn:nobody:knows")


def test_instructions_that_a_filter_does_not_take(tmp_path: Path) -> None:
    """As `postscan process check` judges them."""
    settings = asking(tmp_path, *ours("stamp", "<Colour/>"))
    check, _, sentence = the(destinations.destinations(settings))

    assert check == "process P"
    assert "Colour" in sentence


def test_a_plugin_in_quarantine(tmp_path: Path, install: Callable[[str, str], None]) -> None:
    """With its reason."""
    install("curious", "raise RuntimeError('it is broken')")
    settings = asking(tmp_path, *ours("stamp", ""))
    plugins = settings.plugins.model_copy(update={"disabled": tuple(others("curious"))})
    found = settings.model_copy(update={"plugins": plugins})

    assert ("plugins", "problem", "curious is quarantined: RuntimeError: it is broken") in bad(
        destinations.destinations(found)
    )


def test_a_plugin_that_was_late(tmp_path: Path, install: Callable[[str, str], None]) -> None:
    """It may be the machine, so this is no problem yet; a server tries again by itself."""
    install("curious", "import time; time.sleep(600)")
    settings = asking(tmp_path, *ours("stamp", ""))
    plugins = settings.plugins.model_copy(update={"disabled": tuple(others("curious")), "probe_seconds": 0.5})

    found = bad(destinations.destinations(settings.model_copy(update={"plugins": plugins})))
    sentence = "curious is quarantined: the probe took longer than 0.5 s; a running server tries again"
    assert ("plugins", "warning", sentence) in found


def curious(body: str, lacks: str = "[]") -> str:
    """Return the code of a plugin whose filter looks at its destinations like this."""
    return CURIOUS.replace("BODY", body).replace("LACKS", lacks)


def test_what_the_machine_lacks_for_a_filter(tmp_path: Path, install: Callable[[str, str], None]) -> None:
    """It is told, and the filter is not asked for more."""
    install("curious", curious("", "['there is no string']"))
    settings = asking(tmp_path, "urn:test:curious", DO)

    assert the(destinations.destinations(settings)) == ("process P, curious", "problem", "there is no string")


def test_a_filter_that_looks_gets_nothing_to_deliver_and_no_leave(
    tmp_path: Path, install: Callable[[str, str], None]
) -> None:
    """It has no documents and a user who is nobody; what it would publish is refused."""
    out = tmp_path / "out"
    publish = f"with job.publish(None, 'x', 'y'): open({str(out)!r}, 'w')"
    install("curious", curious(f"try: job.progress(1, 2, 'x')\n        finally: pass\n        {publish}"))
    settings = asking(tmp_path, "urn:test:curious", DO)
    refused = the(destinations.destinations(settings))[2]

    assert "not granted" in refused or "Cancelled" in refused
    assert not out.exists()


def test_a_filter_says_what_it_saw(tmp_path: Path, install: Callable[[str, str], None]) -> None:
    """Every sentence is a problem."""
    install("curious", curious(""))
    settings = asking(tmp_path, "urn:test:curious", DO)

    assert the(destinations.destinations(settings))[2] == "saw 0 documents for nobody@localhost"


def test_a_filter_that_looks_for_too_long_is_ended(
    tmp_path: Path, install: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has 10 s; here less."""
    monkeypatch.setattr(validation, "DIAGNOSE_SECONDS", 1.0)
    install("curious", curious("time.sleep(600)"))
    settings = asking(tmp_path, "urn:test:curious", DO)

    assert the(destinations.destinations(settings))[2] == "the diagnose took longer than 1 s"


@pytest.mark.parametrize(
    ("asked", "table", "sentence"),
    [
        (share(r"\\nas\scans"), {"shares": {r"\\nas\scans": "/proc"}}, "no file can be made in /proc"),
        (share(r"\\nas\other"), {}, "no folder stands for it"),
        (
            ours("stamp", r"<FolderUNC>\\nas\scans</FolderUNC>"),
            {"shares": {r"\\nas\scans": "/gone"}},
            "no folder /gone",
        ),
        (mail("ann@a.example"), {}, "filters.email.host is not set"),
        (ours("webhook", "<Target>shop</Target>"), {}, "'shop' is not configured"),
        (
            ours("webhook", "<Target>shop</Target>"),
            {"targets": {"shop": {"url": "http://127.0.0.1:9/very-secret"}}},
            "http://127.0.0.1:9 cannot be reached: Connection refused",
        ),
        (
            microsofts("sharepoint", "<SaveToMySite>true</SaveToMySite>"),
            {},
            "MySite: its URL is not configured",
        ),
    ],
    ids=["read-only", "unmapped", "gone", "no mail server", "no target", "host away", "no site"],
)
def test_a_destination_that_cannot_be_reached(
    tmp_path: Path, asked: tuple[str, str], table: dict[str, Any], sentence: str
) -> None:
    """In the words that a failing job would have."""
    name = asked[0].rpartition(":")[2].rpartition("/")[2]
    found = bad(destinations.destinations(asking(tmp_path, *asked, filters={name: table})))

    assert found
    assert all(verdict == "problem" for _, verdict, _ in found)
    assert sentence in found[0][2]
    assert "very-secret" not in found[0][2]


def test_a_sharepoint_site_that_is_away(tmp_path: Path) -> None:
    """Only its host is called; nobody logs in."""
    url = f"http://127.0.0.1:{free_port()}/sites/books/In"
    urls = f"<SaveToSharePointSites><SaveToSharePointSiteURL>{url}</SaveToSharePointSiteURL></SaveToSharePointSites>"
    table = {"sites": {url: {"kind": "webdav"}}}
    settings = asking(tmp_path, *microsofts("sharepoint", urls), filters={"sharepoint": table})

    assert "cannot be reached: Connection refused" in the(destinations.destinations(settings))[2]


def test_a_mail_server_is_greeted_and_gets_no_mail(tmp_path: Path) -> None:
    """At its port all is well; at another one nobody is there."""
    with MailServer() as server:
        table = {"host": "127.0.0.1", "port": server.port, "sender": "scan@a.example"}
        asked = mail("ann@a.example")
        well = bad(destinations.destinations(asking(tmp_path / "a", *asked, filters={"email": table})))
        wrong = asking(tmp_path / "b", *asked, filters={"email": {**table, "port": free_port()}})
        away = the(destinations.destinations(wrong))

    assert well == []
    assert (server.connections, server.messages) == (1, [])
    assert "cannot be reached: Connection refused" in away[2]


def test_a_file_server_is_logged_on_to_and_gets_no_file(tmp_path: Path) -> None:
    """Right, then with a wrong password, then for a share and for a folder that are not there."""
    pytest.importorskip("smbprotocol", reason="file shares over SMB need the extra [smb]")
    good, missing, below = rf"\\{NAME}\one", rf"\\{NAME}\two", rf"\\{NAME}\one\gone"
    with open_folder() as home, samba(home, {"one": {}}) as server:
        tables = [server.settings(), server.settings(password="wrong"), server.settings(), server.settings()]
        said = [
            bad(
                destinations.destinations(
                    asking(tmp_path / str(number), *share(unc), filters={"fileshare": {"servers": table}})
                )
            )
            for number, (unc, table) in enumerate(zip((good, good, missing, below), tables, strict=True))
        ]
        files = list(server.shares["one"].iterdir())

    assert (said[0], files) == ([], [])
    assert "refuses this user with this password" in said[1][0][2]
    assert "there is no such share" in said[2][0][2]
    assert "there is no folder gone on the share" in said[3][0][2]
