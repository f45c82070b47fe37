"""How a scanner comes from the address of the server to its service: what the server says of itself over the wire."""

from __future__ import annotations

import http.client
import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

import certificates
import pytest
from acceptance.scanning import Scanner, good, instructions, refusal
from acceptance.server import Server, running
from device import DSP, SOAP, SOAP_TYPE, WSA, Answer, Device
from lxml import etree

WXF = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSX = "http://schemas.xmlsoap.org/ws/2004/09/mex"
WSDP = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
HOSTILE = "evil.example:666"
PUBLIC = "https://scan01.example:8443"


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has been told its name."""
    settings = {"server": {"port": 0, "drain_seconds": 1, "public_url": PUBLIC}, "device": {"friendly_name": "Nils"}}
    with running(tmp_path_factory.mktemp("named"), settings) as server:
        yield server
    assert server.tracebacks() == []


def device_of(server: Server) -> Device:
    """Return somebody in front of the device, not of the service."""
    return Device(urljoin(server.url, "/ScanServer"))


def question(action: str, body: str = "", to: str = "urn:somewhere:else") -> bytes:
    """Write a request of WS-Transfer or WS-MetadataExchange."""
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:wsa="{WSA}"><s:Header>'
        f"<wsa:To>{to}</wsa:To><wsa:Action>{action}</wsa:Action><wsa:MessageID>urn:uuid:{uuid.uuid4()}</wsa:MessageID>"
        f"<wsa:ReplyTo><wsa:Address>{WSA}/role/anonymous</wsa:Address></wsa:ReplyTo></s:Header>"
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


GET = question(f"{WXF}/Get")


def good_metadata(answer: Answer) -> ET.Element:
    """Return the Metadata of an answer that is one."""
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == SOAP_TYPE
    body = ET.fromstring(answer.body).find(f"{{{SOAP}}}Body")
    assert body is not None
    (metadata,) = body
    assert metadata.tag == f"{{{WSX}}}Metadata"
    return metadata


def hosted(metadata: ET.Element) -> tuple[str, str]:
    """Return the types and the address of the one service that is hosted, as a scanner looks for them."""
    (one,) = metadata.iter(f"{{{WSDP}}}Hosted")
    return one.findtext(f"{{{WSDP}}}Types", ""), one.findtext(f"{{{WSA}}}EndpointReference/{{{WSA}}}Address", "")


def get(url: str, method: str = "GET", **headers: str) -> Answer:
    """Get a file as a browser does."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def test_a_scanner_finds_the_service_and_uses_it(server: Server) -> None:
    """DPW-030, DPW-034, DPW-087: from the device's address to a job, knowing nothing else."""
    types, address = hosted(good_metadata(device_of(server).post(GET)))
    asked = instructions("copy")

    assert types == "dsp:RepositoryProcessingServiceType"
    assert address == server.url
    good(Device(address).create(server.store(asked), asked))


def test_the_name_of_the_device_outlives_the_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    """DPW-015: a scanner that has seen it once knows it again."""
    names = []
    with running(tmp_path_factory.mktemp("restarted")) as server:
        for _ in range(2):
            (host,) = good_metadata(device_of(server).post(GET)).iter(f"{{{WSDP}}}Host")
            names.append(host.findtext(f"{{{WSA}}}EndpointReference/{{{WSA}}}Address", ""))
            server.kill()
            server.start()
        kept = (server.settings.storage.data_dir / "endpoint-id").read_text().strip()

    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", kept)
    assert names == [kept, kept]


def test_no_address_comes_from_what_the_request_calls_its_host(server: Server, named: Server) -> None:
    """T-H9: neither a Host header nor a To is repeated; the settings speak, or else the connection."""
    for one, expected in ((server, server.url), (named, f"{PUBLIC}/ScanServer/processing")):
        said = question(f"{WXF}/Get", to=f"http://{HOSTILE}/ScanServer")
        answers = [
            device_of(one).post(
                said, headers={"Host": HOSTILE, "X-Forwarded-Host": HOSTILE, "Forwarded": f"host={HOSTILE}"}
            ),
            Device(one.url).post(said, headers={"Host": HOSTILE}),
            get(f"{one.url}?wsdl", Host=HOSTILE),
        ]

        assert [answer.status for answer in answers] == [200] * 3
        assert all(b"evil" not in answer.body for answer in answers)
        assert all(f'{expected}"'.encode() in answer.body for answer in answers[2:])
        assert [hosted(good_metadata(answer))[1] for answer in answers[:2]] == [expected] * 2


def test_an_absolute_url_in_the_request_line_changes_nothing(server: Server) -> None:
    """T-H9: whatever it calls the host."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.request("GET", f"http://{HOSTILE}{parts.path}?wsdl")
    response = connection.getresponse()
    body = response.read()
    connection.close()

    assert b"evil" not in body
    assert response.status == 200


def test_a_server_that_was_told_its_name_says_it_everywhere(named: Server) -> None:
    """DPW-016: with https the address is the endpoint, too."""
    metadata = good_metadata(device_of(named).post(GET))
    addresses = [one.text for one in metadata.iter(f"{{{WSA}}}Address")]
    (location,) = good_metadata(Device(named.url).post(GET)).iter(f"{{{WSX}}}Location")

    assert addresses == [f"{PUBLIC}/ScanServer", f"{PUBLIC}/ScanServer/processing"]
    assert location.text == f"{PUBLIC}/ScanServer/processing?wsdl"
    assert [one.text for one in metadata.iter(f"{{{WSDP}}}FriendlyName")] == ["Nils"]


def test_over_tls_the_device_is_called_by_its_address(tmp_path_factory: pytest.TempPathFactory) -> None:
    """DPW-016, DPW-017: https throughout, as the connection came, if nothing else is set."""
    folder, ca = tmp_path_factory.mktemp("tls"), certificates.Authority()
    with running(folder, {"tls": certificates.server_table(folder, ca)}) as server:
        asker = Device(urljoin(server.url, "/ScanServer"), tls=certificates.client(folder, ca))
        addresses = [one.text for one in good_metadata(asker.post(GET)).iter(f"{{{WSA}}}Address")]

        assert addresses == [asker.url, server.url]
        assert server.url.startswith("https://127.0.0.1:")


def test_the_service_leads_to_its_wsdl_and_the_wsdl_to_the_schemas(server: Server) -> None:
    """DPW-037: by the addresses that stand in them, from the first to the last file."""
    (location,) = good_metadata(Device(server.url).post(GET)).iter(f"{{{WSX}}}Location")
    waiting, seen = [location.text or ""], {}
    while waiting:
        url = waiting.pop()
        if url in seen:
            continue
        answer = get(url)
        assert (answer.status, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8"), url
        seen[url] = etree.fromstring(answer.body)
        names = seen[url].iter("{http://www.w3.org/2001/XMLSchema}import", "{http://www.w3.org/2001/XMLSchema}include")
        waiting += [urljoin(url, str(one.get("schemaLocation"))) for one in names]
    (address,) = seen[f"{server.url}?wsdl"].iter("{http://schemas.xmlsoap.org/wsdl/soap12/}address")

    assert address.get("location") == server.url
    assert {url.rpartition("/")[2] for url in seen} > {"processing?wsdl", "processing.xsd", "psp.xsd"}


@pytest.mark.parametrize("query", ["?WSDL", "?wsdl"])
def test_the_wsdl_may_be_asked_for_in_capitals(server: Server, query: str) -> None:
    """As tools do."""
    assert get(server.url + query).body == get(server.url + "?wsdl").body


@pytest.mark.parametrize("query", ["", "?", "?xsd", "?wsdl=1", "?wsdl&x"])
def test_nothing_else_is_there_to_be_got(server: Server, query: str) -> None:
    """T-H8."""
    answer = get(server.url + query)

    assert (answer.status, answer.headers["allow"], answer.body) == (405, "POST", b"")


@pytest.mark.parametrize(
    "path",
    ["envelope.xsd", "processing.wsdl", "../ns.py", "..%2fns.py", "%2e%2e/ns.py", "PROCESSING.XSD", "processing.xsd/"],
)
def test_only_the_schemas_of_the_wsdl_are_there(server: Server, path: str) -> None:
    """T-H8: names, no paths."""
    answer = get(urljoin(server.url, ".") + path)

    assert (answer.status, answer.body) == (404, b"")


def test_a_head_gets_no_body(server: Server) -> None:
    """Some tools look first."""
    answer = get(f"{server.url}?wsdl", "HEAD")

    assert (answer.status, answer.body) == (200, b"")


# --- what is asked badly ---------------------------------------------------------------------------------------------


def test_get_metadata_is_answered_at_both_addresses(server: Server) -> None:
    """DPW-038: by dialect; one that nobody has is answered with nothing."""
    kinds = {"http://schemas.xmlsoap.org/wsdl/": (0, 1), f"{WSDP}/ThisDevice": (1, 0), "urn:other": (0, 0)}
    for dialect, expected in kinds.items():
        body = f'<m:GetMetadata xmlns:m="{WSX}"><m:Dialect>{dialect}</m:Dialect></m:GetMetadata>'
        sent = question(f"{WSX}/GetMetadata/Request", body)
        found = tuple(len(good_metadata(one.post(sent))) for one in (device_of(server), Device(server.url)))

        assert found == expected


def test_the_device_is_asked_and_not_told(server: Server) -> None:
    """DPW-039: neither written to, nor given jobs; and a Get at the service has no body."""
    at_device, at_service = device_of(server), Device(server.url)
    faults = [
        refusal(at_device.post(question(f"{WXF}/Put"))),
        refusal(at_device.elements("x")),
        refusal(at_service.post(question(f"{WXF}/Delete"))),
        refusal(at_service.post(question(f"{WXF}/Get", f'<d:CancelPostScanJobRequest xmlns:d="{DSP}"/>'))),
        refusal(at_service.post(question(f"{DSP}/CancelPostScanJob"))),
    ]

    assert [fault.status for fault in faults] == [400] * 5
    assert [fault.subcode for fault in faults] == ["wsa:ActionNotSupported"] * 3 + ["dsp:InvalidArgs"] * 2


def test_the_device_reads_no_more_than_the_profile_allows(server: Server) -> None:
    """DPW-044: 32,767 octets, and no attachments."""
    device = device_of(server)
    padded = GET.replace(b"<s:Body>", b"<s:Body>" + b" " * (32_767 - len(GET)))

    good_metadata(device.post(padded))
    assert refusal(device.post(padded.replace(b"<s:Body>", b"<s:Body> "))).subcode == "dsp:InvalidArgs"
    assert device.post(b"--b--", "multipart/related; boundary=b; type=application/xop+xml").status == 415


def test_a_get_in_mtom_is_a_get(scanner: Scanner) -> None:
    """Some stacks wrap all that they send to a service that takes attachments."""
    kind = 'multipart/related; boundary=b; type="application/xop+xml"; start-info="application/soap+xml"'
    head = b'--b\r\nContent-Type: application/xop+xml; charset=utf-8; type="application/soap+xml"\r\n\r\n'
    answer = scanner.device.post(head + GET + b"\r\n--b--\r\n", kind)

    assert hosted(good_metadata(answer))[1] == scanner.server.url


def test_a_reply_goes_to_nobody_else(server: Server) -> None:
    """T-A1, DPW-047."""
    sent = GET.replace(f"{WSA}/role/anonymous".encode(), b"http://192.0.2.1/sink")

    assert refusal(device_of(server).post(sent)).subcode == "wsa:InvalidMessageInformationHeader"
