"""PSP-027, PSP-028, PSP-044, PSP-046, PSP-048 to PSP-052, PSP-054, PSP-055: scan processes, stored and run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import messages
import pytest
from acceptance.scanning import Scanner, good, instructions, refusal
from acceptance.server import Server
from conformance.wire import invalid, job_of
from device import Device
from lxml import etree
from schemas import FOLDER

from postscan.core.errors import InvalidArgument
from postscan.soap.processes.folder import ProcessFolder

ASKED = instructions("copy")
XML = messages.PROCESS.replace(messages.INSTRUCTIONS, ASKED)
GUID = messages.PROCESS_ID
REPOSITORY = "scan7.contoso.example"
NOBODY = "S-1-5-21-1-2-3-1999"


def write(folder: Path, xml: str) -> None:
    """Write the two files of a scan process by hand, as an administrator may."""
    folder.mkdir(exist_ok=True)
    (folder / f"{GUID}.xml").write_text(xml)
    (folder / f"{GUID}.toml").write_text('display_name = "Invoices"\n')


@pytest.fixture
def folder(server: Server) -> Iterator[Path]:
    """The folder with the server's scan processes; what a test writes there is gone afterwards."""
    yield server.settings.processes_dir
    for kind in ("xml", "toml"):
        (server.settings.processes_dir / f"{GUID}.{kind}").unlink(missing_ok=True)


def traced(server: Server, token: str) -> list[str]:
    """Return the first word of each line that the filters of a job have left."""
    trace = server.out / f"{token}.trace"
    return [line.split()[0] for line in trace.read_text().splitlines()] if trace.exists() else []


# --- how filters run -------------------------------------------------------------------------------------------------


@pytest.mark.conformance("PSP-027")
def test_filters_run_in_the_order_of_the_instructions(scanner: Scanner) -> None:
    """Each after the end of the one before."""
    token = scanner.start("sleep 0.1", "copy", "sleep 0")
    scanner.ended(token)

    assert traced(scanner.server, token) == ["sleep", "slept", "copy", "sleep", "slept"]


@pytest.mark.conformance("PSP-028")
@pytest.mark.parametrize(("go_on", "left"), [("", []), ("false", []), ("true", ["copy"])])
def test_behind_a_failing_filter_the_rest_stops_unless_told_otherwise(
    scanner: Scanner, go_on: str, left: list[str]
) -> None:
    """ContinueOnError is what tells."""
    token = scanner.start("fail x:y", "copy", go_on=go_on)
    scanner.ended(token)

    assert traced(scanner.server, token) == left


@pytest.mark.conformance("PSP-054")
def test_each_filter_has_a_status_also_if_its_dialect_is_repeated(scanner: Scanner) -> None:
    """In the order of the instructions."""
    status = scanner.ended(scanner.start("copy", "warn", "copy", "fail x:y"))

    assert status.filters == (
        "CompletedSuccessfully",
        "CompletedWithWarnings",
        "CompletedSuccessfully",
        "CompletedWithErrors",
    )


@pytest.mark.conformance("PSP-049")
def test_the_ticket_is_neither_needed_nor_read_when_a_job_runs(scanner: Scanner, folder: Path) -> None:
    """It is the scanner's."""
    ticket = f"<psp:ScanTicket>{messages.TICKET}</psp:ScanTicket>"
    assert ticket in XML
    for xml in (XML.replace(messages.TICKET, "<psp:Nonsense/>"), XML.replace(ticket, "")):
        write(folder, xml)
        token = good(scanner.device.create(GUID, ASKED)).find("JobToken") or ""
        scanner.send(token)
        good(scanner.device.end(token))

        assert scanner.ended(token).filters == ("CompletedSuccessfully",)


@pytest.mark.conformance("PSP-052")
def test_a_job_runs_the_version_of_its_process_that_it_was_created_by(scanner: Scanner, folder: Path) -> None:
    """Whatever an administrator writes in the meantime; the next job runs that."""
    write(folder, XML)
    token = good(scanner.device.create(GUID, ASKED)).find("JobToken") or ""
    write(folder, XML.replace("urn:acme:copy", "urn:acme:warn"))
    scanner.send(token)
    good(scanner.device.end(token))

    assert scanner.ended(token).filters == ("CompletedSuccessfully",)
    assert invalid(scanner.device.create(GUID, ASKED)) == ("Dialect", "urn:acme:copy")


# --- how processes are stored ----------------------------------------------------------------------------------------


@pytest.mark.conformance("PSP-044")
def test_a_document_type_in_a_stored_process_is_refused(scanner: Scanner, folder: Path, tmp_path: Path) -> None:
    """Nothing that it names is read; the device hears that the server cannot, the log says why (P-10)."""
    secret = tmp_path / "secret"
    secret.write_text("Invoice")
    entity = f'<!DOCTYPE p [<!ENTITY e SYSTEM "file://{secret}">]>'
    write(folder, entity + XML.replace(">Invoice<", ">&e;<"))
    fault = refusal(scanner.device.create(GUID, ASKED))

    assert (fault.status, fault.subcode) == (500, "dsp:OperationFailed")
    assert re.search(rf"{GUID}.xml cannot be used: .*a document type is not allowed", scanner.server.log())


@pytest.mark.conformance("PSP-046")
@pytest.mark.parametrize(
    ("names", "ours"), [((), True), (("SCAN7.contoso.example.",), True), (("scan8.contoso.example",), False)]
)
def test_a_process_of_another_server_is_not_run(tmp_path: Path, names: tuple[str, ...], ours: bool) -> None:
    """If the settings say what this one is called; and it cannot be stored either."""
    write(tmp_path / "processes", XML)

    assert (ProcessFolder(tmp_path / "processes", names).find(GUID) is not None) is ours
    if not ours:
        with pytest.raises(InvalidArgument, match="ScanRepository"):
            ProcessFolder(tmp_path / "others", names).add(XML.encode(), display_name="Invoices")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Server]:
    """A server for the users of its settings only: anna."""
    server = Server(tmp_path, {f"users.{Device.user}": {"name": "anna@fabrikam.example"}})
    config = tmp_path / "postscan.toml"
    config.write_text("allow_unknown_users = false\n" + config.read_text())
    server.start()
    yield server
    server.close()


@pytest.mark.conformance("PSP-048")
def test_who_has_no_account_is_refused_where_accounts_are_asked_for(closed: Server, scanner: Scanner) -> None:
    """D21: users are those of the settings, and to disable one is to take the entry away."""
    scanner.device.user = NOBODY
    stranger, anna = Scanner(closed), Scanner(closed)
    stranger.device.user = NOBODY

    assert job_of(scanner, ASKED)
    assert job_of(anna, ASKED)
    assert invalid(stranger.device.create(closed.store(ASKED), ASKED)) == ("UserIdentifier", NOBODY)


@pytest.mark.conformance("PSP-050")
@pytest.mark.parametrize(
    ("written", "instead"),
    [
        (messages.TICKET, ""),
        ("<wscn:JobName>Paper intake</wscn:JobName>", ""),
        (">70<", ">101<"),
        (">ADFDuplex<", ">Tray<"),
        (">180<", ">45<"),
        ('wscn:MustHonor="true"', 'wscn:MustHonor="TRUE"'),
    ],
)
def test_the_ticket_is_judged_when_a_process_is_stored(tmp_path: Path, written: str, instead: str) -> None:
    """Then somebody is there to mend it; a wrong one is not stored."""
    folder = ProcessFolder(tmp_path / "processes")
    assert folder.add(XML.encode(), display_name="Invoices", identifier=GUID)

    assert written in XML
    with pytest.raises(InvalidArgument):
        folder.add(XML.replace(written, instead).encode(), display_name="Invoices")
    assert folder.names() == [GUID]


@pytest.mark.conformance("PSP-051")
def test_processes_may_lie_in_a_folder(scanner: Scanner, folder: Path) -> None:
    """D11: two files, and the next job finds them; without them there is no such process."""
    write(folder, XML)
    good(scanner.device.create(GUID, ASKED))
    (folder / f"{GUID}.xml").unlink()

    assert invalid(scanner.device.create(GUID, ASKED)) == ("PSP_Identifier", GUID)


OF_SCAN_PROCESSES = ("psp.xsd", "ticket.xsd", "fileshare.xsd", "email.xsd", "sharepoint.xsd")


@pytest.mark.conformance("PSP-055")
@pytest.mark.parametrize("name", OF_SCAN_PROCESSES)
def test_the_wildcards_of_our_schemas_are_lax(name: str) -> None:
    """So a foreign element may stand where one is allowed, whether anybody has a schema of it or not."""
    wildcards = list(etree.parse(FOLDER / name).iter("{*}any", "{*}anyAttribute"))

    assert wildcards
    assert {one.get("processContents") for one in wildcards} == {"lax"}
