"""Our own schemas."""

from __future__ import annotations

import messages
import pytest
from example_messages import example
from lxml import etree
from schemas import FILES, FOLDER, all_schemas, assert_valid, with_its_image

from postscan.soap.xml import namespaces


@pytest.mark.parametrize("name", FILES)
def test_each_schema_stands_on_its_own(name):
    """With what it imports from beside it, and nothing from anywhere else."""
    tree = etree.parse(FOLDER / name)
    locations = [one.get("schemaLocation") for one in tree.iter("{http://www.w3.org/2001/XMLSchema}import")]

    assert etree.XMLSchema(tree)
    assert set(locations) <= set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_each_schema_says_what_it_is_for(name):
    """In words of our own."""
    assert etree.parse(FOLDER / name).findtext(".//{http://www.w3.org/2001/XMLSchema}documentation")


@pytest.mark.parametrize("name", FILES)
def test_wildcards_are_lax(name):
    """An extension that nobody knows is never an error (PSP-055); only the envelope knows its contents better."""
    found = {one.get("processContents") for one in etree.parse(FOLDER / name).iter("{*}any", "{*}anyAttribute")}

    assert found <= ({"lax", "strict", "skip"} if name == "envelope.xsd" else {"lax"})


@pytest.mark.parametrize("action", messages.BODIES)
def test_good_requests_are_valid(action):
    """The schema that we publish describes what devices send."""
    schema = all_schemas()

    assert schema.validate(etree.fromstring(messages.envelope("", with_its_image(messages.BODIES[action])))), (
        schema.error_log
    )


def test_a_good_process_is_valid():
    """All of its ticket, too."""
    all_schemas().assertValid(etree.fromstring(messages.PROCESS))


@pytest.mark.parametrize(
    "body",
    [
        "<dsp:SendImageResponse><a/></dsp:SendImageResponse>",
        "<dsp:SendImageResponze/>",
        "<dsp:CreatePostScanJobResponse/>",
        "<unknown/>",
    ],
)
def test_a_wrong_answer_is_not_valid(body):
    """The check that all our messages pass can fail."""
    with pytest.raises(etree.DocumentInvalid):
        assert_valid(messages.envelope("", body))


DSC_END = "dsc-3.1-PostScanJobEndStateEvent"
STRICTER = [
    (DSC_END, "PostScanJobCompletedSuccessfully", "SendImangeFailed"),
    (DSC_END, "10:15:41.100+01:00", "10:15:41.100"),
    (DSC_END, "10:15:41.100+01:00", "10:15:41+01:00"),
    (DSC_END, "<dsc:JobCompletedTime>2025-03-04T10:15:41.100+01:00</dsc:JobCompletedTime>", ""),
    ("dsc-2.4-GetActiveJobsResponse", "<dsc:ActiveJobs/>", ""),
    ("dsc-2.1-GetRepositoryElementsResponse", "<dsc:Dialect>ftr:email", "<dsc:Dialect>nobody:email"),
    ("dsc-2.1-GetRepositoryElementsResponse", "<dsc:FilterConfig/>", ""),
    ("dsc-2.1-GetRepositoryElementsResponse", ' dsc:Valid="true"', ' Valid="true"'),
    ("dsc-2.5-GetJobHistoryResponse", ">Canceled</dsc:JobState>", ">Cancelled</dsc:JobState>"),
    ("dsc-2.3-GetPostScanJobElementsResponse", "<dsc:DocumentId>1<", "<dsc:DocumentId>0<"),
    ("dsp-13.7-PostScanJobStatusEvent", "07.125Z", "07.125"),
    ("dsp-13.8-PostScanJobEndStateEvent", ">Completed<", ">Processing<"),
    ("dsp-13.8-PostScanJobEndStateEvent", "<dsp:JobCompletedTime>2026-03-02T09:42:18.903Z</dsp:JobCompletedTime>", ""),
    ("dpws-11.1-ProbeMatches", "ScanServer</wsd:XAddrs>", "ScanServer http://scan01</wsd:XAddrs>"),
    ("dpws-11.1-ProbeMatches", "<wsd:MetadataVersion>3</wsd:MetadataVersion>", ""),
    ("dpws-11.1-ProbeMatches", "<wsd:Types>wsdp:", "<wsd:Types>nobody:"),
    ("dpws-11.1-ProbeMatches", "</wsa:Address>", "</wsa:Address><wsa:ReferenceProperties/>"),
    ("dpws-11.1-ProbeMatches", ' MessageNumber="41"', ""),
    ("dpws-11.4-GetResponse", "wsdp:ModelName", "wsdp:ModelNamed"),
    ("dpws-11.4-GetResponse", ">Example Project<", f">{'x' * 257}<"),
    ("dpws-11.4-GetResponse", "<wsdp:SerialNumber>0001</wsdp:SerialNumber>", "<wsdp:SerialNumber/>"),
    ("dpws-11.4-GetResponse", "<wsdp:Types>dsp:", "<wsdp:Types>nobody:"),
    ("dpws-11.4-GetMetadataResponse", "wsx:Location>", "wsx:Locution>"),
    ("dpws-11.5-SubscribeResponse", "<wse:Expires>PT1H</wse:Expires>", ""),
    ("dpws-11.5-SubscribeResponse", "</wsa:Address>", "</wsa:Address><wsa:ReferenceProperties/>"),
    ("dpws-11.6-GetStatusResponse", "PT1H57M12S", "one hour"),
    ("dpws-11.6-SubscriptionEnd", "SourceShuttingDown", "SourceTired"),
]


@pytest.mark.parametrize(("name", "old", "new"), STRICTER)
def test_what_we_must_not_write_is_not_valid(name: str, old: str, new: str) -> None:
    """DSC-017, DSC-132, DPW-018, DPW-032, DPW-033, DPW-050, DPW-065: one change, and an example is none any more."""
    good = example(name).decode()

    assert old in good
    assert_valid(good.encode())
    with pytest.raises(etree.DocumentInvalid):
        assert_valid(good.replace(old, new).encode())


def test_only_what_says_nothing_has_an_empty_body():
    """The answer to Unsubscribe (DPW-069), and no answer of an operation."""
    kinds = ("eventing/UnsubscribeResponse", "eventing/RenewResponse")
    nothing, something = (f"<wsa:Action>http://schemas.xmlsoap.org/ws/2004/08/{kind}</wsa:Action>" for kind in kinds)

    assert assert_valid(messages.envelope(nothing, "")) is not None
    for blocks in ("", something):
        with pytest.raises(AssertionError, match="an empty body"):
            assert_valid(messages.envelope(blocks, ""))


def test_the_namespaces_of_the_schemas_are_ours():
    """Each is spelled as in the code."""
    ours = {value for name, value in vars(namespaces).items() if name.isupper() and isinstance(value, str)}
    ours.add("http://schemas.microsoft.com/windows/2006/08/wdp/scan")

    assert {etree.parse(FOLDER / name).getroot().get("targetNamespace") for name in FILES} <= ours
