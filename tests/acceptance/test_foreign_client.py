"""Our WSDL in the hands of somebody else: zeep, which has never heard of us, makes a whole job with it.

Its addressing is of another year, so the headers of ours are added by hand (dpws.md section 12).
"""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import zeep
from acceptance import scanning
from acceptance.scanning import Scanner
from acceptance.server import Server
from device import DSP, WSA
from lxml import etree
from zeep.plugins import Plugin

from postscan.soap.xml import namespaces

PSP = "http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp"


class Addressed(Plugin):  # type: ignore[misc]  # the library ships no types
    """Adds WS-Addressing as of August 2004, with the action that the WSDL gives."""

    def egress(self, envelope: Any, http_headers: Any, operation: Any, binding_options: Any) -> Any:
        """Put the headers into a message that goes out."""
        header = zeep.wsdl.utils.get_or_create_header(envelope)
        for name, text in (
            ("To", binding_options["address"]),
            ("Action", operation.soapaction),
            ("MessageID", f"urn:uuid:{uuid.uuid4()}"),
        ):
            etree.SubElement(header, f"{{{WSA}}}{name}").text = text
        return envelope, http_headers


@pytest.fixture
def client(server: Server) -> zeep.Client:
    """A client that read nothing but the WSDL, over HTTP."""
    return zeep.Client(f"{server.url}?wsdl", plugins=[Addressed()])


def instructions(client: zeep.Client) -> Any:
    """Return instructions for the filter `copy` of the plugin acme, built by the types of the schema."""
    config = etree.fromstring('<a:do xmlns:a="urn:acme"/>')
    content = client.get_type(f"{{{PSP}}}PostScanInstructionsType")
    inner = {"Dialect": "urn:acme:copy", "Instructions": {"_value_1": [config]}}
    return content(DocumentRootName="Invoice", FiltersToProcess={"Filter": [inner]})


def stored(server: Server) -> str:
    """Store a process with the same instructions; return its GUID."""
    return server.store(scanning.instructions("copy"))


def test_it_sees_the_operations_that_there_are(client: zeep.Client) -> None:
    """Five to be called, at the one address; and two events, which nothing goes into."""
    (service,) = client.wsdl.services.values()
    (port,) = service.ports.values()
    operations = port.binding._operations
    called = {name for name, one in operations.items() if one.input is not None}

    assert set(operations) - called == {"PostScanJobStatusEvent", "PostScanJobEndStateEvent"}
    assert called == {
        "CreatePostScanJob",
        "SendImage",
        "EndPostScanJob",
        "CancelPostScanJob",
        "GetPostScanJobElements",
    }
    assert str(port.binding.name) == f"{{{DSP}}}RepositoryProcessingServiceBinding"


def test_it_makes_a_job_from_the_first_call_to_the_last(client: zeep.Client, server: Server) -> None:
    """DPW-037: Create, Send, End, Get; the answers are valid by the schema, or it would not read them."""
    service = client.service
    user = "S-1-5-21-1-2-3-1001"
    token = service.CreatePostScanJob(
        UserIdentifier=user, PSP_Identifier=stored(server), PostScanInstructions=instructions(client)
    )
    service.SendImage(
        JobToken=token,
        DocumentDescription={"DocumentId": 1, "Format": "png"},
        ImageData=b"page",
    )
    service.EndPostScanJob(JobToken=token)
    ended = Scanner(server).ended(token)
    seen = service.GetPostScanJobElements(
        JobToken=token, RequestedElements={"Name": [etree.QName(namespaces.DSP, "JobStatus")]}
    )

    assert (ended.state, ended.images) == ("Completed", 1)
    (data,) = seen
    assert data["JobStatus"]["JobState"] == "Completed"
    assert data["JobStatus"]["JobToken"] == token


def test_it_gets_our_faults_as_faults(client: zeep.Client) -> None:
    """With the subcode by which the WSDL names them."""
    with pytest.raises(zeep.exceptions.Fault) as caught:
        client.service.CancelPostScanJob(JobToken=str(uuid.uuid4()))

    assert [etree.QName(code) for code in caught.value.subcodes] == [etree.QName(DSP, "ClientErrorJobTokenNotFound")]
    assert caught.value.message.startswith("A PostScan job identified by")
