"""Faults, and the table from the core's errors to them."""

from __future__ import annotations

import messages
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree
from schemas import assert_valid

from postscan.core import errors
from postscan.core.model.states import JobState, Verb
from postscan.soap.message import faults
from postscan.soap.message.faults import Fault
from postscan.soap.xml import namespaces

INVALID = "At least one input argument is invalid."
NO_JOB = "A PostScan job identified by the specified JobToken argument could not be found."
NOT_NOW = "The service cannot perform the requested operation."
UNEXPECTED = "The service had an unexpected error."
NO_ACTION = "The [wsa:Action] cannot be processed at the receiver."
BAD_HEADER = "A message information header is not valid and the message cannot be processed."
NO_HEADER = "A required message information header, To, MessageID, or Action, is not present."

TABLE = [
    (
        errors.JobNotFound("t"),
        "Sender",
        "dsp:ClientErrorJobTokenNotFound",
        NO_JOB,
        (namespaces.dsp("JobToken"), "t"),
        400,
    ),
    (
        errors.JobCanceled(Verb.RECEIVE, JobState.CANCELED),
        *("Receiver", "dsp:ServerErrorPostScanJobCanceled", "The PostScan job has been canceled.", None, 500),
    ),
    (errors.WrongState(Verb.RECEIVE, JobState.PENDING), "Receiver", "dsp:OperationFailed", NOT_NOW, None, 500),
    (errors.StoredProcessInvalid("x"), "Receiver", "dsp:OperationFailed", NOT_NOW, None, 500),
    (
        errors.InvalidArgument("DocumentId", "-1", "a number"),
        *("Sender", "dsp:InvalidArgs", INVALID, (namespaces.dsp("DocumentId"), "-1"), 400),
    ),
    (
        errors.InvalidArgument(namespaces.psp("DocumentRootName"), "", "a text"),
        *("Sender", "dsp:InvalidArgs", INVALID, (namespaces.psp("DocumentRootName"), ""), 400),
    ),
    (errors.Unavailable("x"), "Receiver", "dsp:ServerErrorTemporaryError", UNEXPECTED, None, 500),
    (errors.SpoolFull("x"), "Receiver", "dsp:ServerErrorTemporaryError", UNEXPECTED, None, 500),
    (errors.StoreBusy("x"), "Receiver", "dsp:ServerErrorTemporaryError", UNEXPECTED, None, 500),
    (errors.PluginError("x"), "Receiver", "dsp:ServerErrorInternalError", UNEXPECTED, None, 500),
    (errors.PostscanError("x"), "Receiver", "dsp:ServerErrorInternalError", UNEXPECTED, None, 500),
    (RuntimeError("x"), "Receiver", "dsp:ServerErrorInternalError", UNEXPECTED, None, 500),
]

PROTOCOL = [
    (faults.action_not_supported("urn:a"), "wsa:ActionNotSupported", NO_ACTION, (namespaces.wsa("Action"), "urn:a")),
    (faults.invalid_header("ReplyTo", "urn:a"), "wsa:InvalidMessageInformationHeader", BAD_HEADER, None),
    (faults.header_required("MessageID"), "wsa:MessageInformationHeaderRequired", NO_HEADER, None),
    (faults.invalid_argument("JobToken", "t"), "dsp:InvalidArgs", INVALID, (namespaces.dsp("JobToken"), "t")),
    (faults.malformed("no XML"), "dsp:InvalidArgs", INVALID, None),
]

ALL = [
    *(faults.from_error(error) for error, *_ in TABLE),
    *(fault for fault, *_ in PROTOCOL),
    faults.must_understand([("urn:q", "Lock"), ("", "Bare")]),
    faults.version_mismatch(soap11=False),
    faults.version_mismatch(soap11=True),
]


def written(fault: Fault, relates_to: str | None = messages.MESSAGE_ID) -> etree._Element:
    """Return the root of the fault's message; it is valid."""
    return assert_valid(faults.write(fault, relates_to))


def one(root: etree._Element, path: str) -> etree._Element:
    """Return the one element at a path with the usual prefixes."""
    (found,) = root.findall(path, namespaces.PREFIXES)
    return found


@pytest.mark.parametrize(("error", "code", "subcode", "reason", "detail", "status"), TABLE)
def test_each_error_of_the_core_has_its_fault(error, code, subcode, reason, detail, status):
    """Code, subcode, text, detail and status are those of the protocol (DSP-072, DSP-075)."""
    fault = faults.from_error(error)

    assert (fault.code, fault.subcode, fault.reason, fault.detail) == (code, subcode, reason, detail)
    assert fault.status() == status
    assert str(fault) == str(error)


@pytest.mark.parametrize(("fault", "subcode", "reason", "detail"), PROTOCOL)
def test_each_fault_of_the_protocol_has_its_words(fault, subcode, reason, detail):
    """They are the sender's mistakes, one and all."""
    assert (fault.code, fault.subcode, fault.reason, fault.status()) == ("Sender", subcode, reason, 400)
    assert detail is None or fault.detail == detail


@pytest.mark.parametrize("fault", ALL)
def test_every_fault_is_a_valid_message(fault):
    """The whole envelope holds by our schema."""
    assert written(fault) is not None


@pytest.mark.parametrize("fault", ALL)
def test_every_fault_can_be_sent_with_500(fault):
    """Some clients read the body of no other status (D16)."""
    assert fault.status(always_500=True) == 500


def test_a_fault_says_on_the_wire_what_it_holds():
    """Code, subcode, an English reason, and the offending element by its own name (DSP-074)."""
    root = written(faults.invalid_argument("UserIdentifier", "mlopez & <co>"))
    fault = one(root, "soap:Body/soap:Fault")

    assert one(fault, "soap:Code/soap:Value").text == "soap:Sender"
    assert one(fault, "soap:Code/soap:Subcode/soap:Value").text == "dsp:InvalidArgs"
    assert one(fault, "soap:Reason/soap:Text").text == INVALID
    assert one(fault, "soap:Reason/soap:Text").attrib == {f"{{{namespaces.XML}}}lang": "en"}
    assert one(fault, "soap:Detail/dsp:UserIdentifier").text == "mlopez & <co>"


def test_a_fault_has_the_headers_of_a_fault():
    """Its action is the fault action, and it relates to the request (DSP-073)."""
    root = written(faults.malformed("x"))

    assert one(root, "soap:Header/wsa:Action").text == namespaces.FAULT_ACTION
    assert one(root, "soap:Header/wsa:RelatesTo").text == messages.MESSAGE_ID
    assert one(root, "soap:Header/wsa:To").text == namespaces.ANONYMOUS


def test_a_fault_without_a_known_request_relates_to_the_unspecified_message():
    """There has to be a RelatesTo all the same (ruling 21)."""
    root = written(faults.malformed("x"), None)

    assert one(root, "soap:Header/wsa:RelatesTo").text == namespaces.UNSPECIFIED


def test_a_fault_stays_the_fault_that_it_is():
    """The table is for the errors of the core."""
    fault = faults.malformed("x")

    assert faults.from_error(fault) is fault


@pytest.mark.parametrize("fault", [faults.malformed("x"), faults.from_error(errors.SpoolFull("disk /var/x is full"))])
def test_a_fault_without_detail_has_no_detail_element(fault):
    """Where the table says none, there is none."""
    assert b"Detail" not in faults.write(fault, None)


def test_no_inner_sentence_goes_over_the_wire():
    """Paths and reasons are for the log (threats, fault and status rules)."""
    assert b"/var/x" not in faults.write(faults.from_error(errors.SpoolFull("disk /var/x is full")), None)


def test_a_shown_value_is_at_most_255_characters_long():
    """What a stranger sends is not sent back by the megabyte (ruling 17)."""
    root = written(faults.invalid_argument("PSP_Identifier", "x" * 10_000))

    assert len(one(root, ".//dsp:PSP_Identifier").text) == 255


def test_an_unknown_token_and_a_foreign_one_get_the_same_bytes():
    """All but the MessageID, which is always new (D2, DSP-051, T-O1)."""
    first, second = (faults.write(faults.from_error(errors.JobNotFound("t")), "urn:a") for _ in range(2))

    assert one(etree.fromstring(first), ".//wsa:MessageID").text.encode() in first
    assert first[:400] == second[:400]
    assert first[first.index(b"<wsa:RelatesTo>") :] == second[second.index(b"<wsa:RelatesTo>") :]


@given(st.text(st.characters(), max_size=300), st.text(st.characters(), max_size=60))
@example("\x00]]><!--", "\ud800\x0b")
def test_no_text_can_break_a_fault(value, message_id):
    """Whatever a device sent, the fault that shows it is a valid message (T-X11)."""
    data = faults.write(faults.invalid_argument("JobToken", value), message_id)

    assert etree.fromstring(data).find(f".//{{{namespaces.DSP}}}JobToken") is not None


def test_a_detail_of_a_foreign_namespace_declares_it():
    """A body element that nobody knows is named with its own namespace."""
    root = written(faults.invalid_argument("{urn:a&b}Thing", "v"))

    assert root.findtext(".//{urn:a&b}Thing") == "v"


def test_headers_that_were_not_understood_are_named():
    """Each by a block of its own, with its namespace (T-X9)."""
    root = written(faults.must_understand([("urn:q", "Lock"), ("urn:r", "Key")]))
    blocks = root.findall("soap:Header/soap:NotUnderstood", namespaces.PREFIXES)

    assert [(block.get("qname"), block.nsmap["x"]) for block in blocks] == [("x:Lock", "urn:q"), ("x:Key", "urn:r")]


def test_a_version_mismatch_tells_what_is_spoken_here():
    """The Upgrade block names our envelope (T-X9)."""
    root = written(faults.version_mismatch(soap11=False))

    assert one(root, "soap:Header/soap:Upgrade/soap:SupportedEnvelope").get("qname") == "soap:Envelope"
    assert one(root, ".//soap:Code/soap:Value").text == "soap:VersionMismatch"
    assert faults.version_mismatch(soap11=False).status() == 500


def test_an_old_envelope_is_answered_by_an_old_envelope():
    """A SOAP 1.1 client can read that, and learns of SOAP 1.2 (ruling 17)."""
    root = written(faults.version_mismatch(soap11=True))

    assert root.tag == f"{{{namespaces.SOAP11}}}Envelope"
    assert root.findtext(".//faultcode") == "soap11:VersionMismatch"
    assert root.find(".//soap:Upgrade/soap:SupportedEnvelope", namespaces.PREFIXES) is not None


CONFIGURATION = [
    (
        faults.action_not_supported("urn:a"),
        "wsa:ActionNotSupported",
        "The [action] cannot be processed at the receiver",
    ),
    (faults.malformed("x"), "dsc:InvalidArgs", "At least one input argument is invalid"),
    (
        faults.from_error(errors.WrongState(Verb.CANCEL, JobState.PENDING)),
        *("dsc:OperationFailed", "Scan repository service cannot perform the requested operation"),
    ),
    (
        faults.from_error(errors.StoreBusy("x")),
        *("dsc:ServerErrorTemporaryError", "The service had an unexpected error"),
    ),
    (faults.from_error(RuntimeError("x")), "dsc:ServerErrorInternalError", "The service had an unexpected error"),
    (
        faults.from_error(errors.JobNotFound("t")),
        "dsc:ClientErrorJobTokenNotFound",
        "A PostScan job identified by the specified dsc:JobToken argument could not be found.",
    ),
]


@pytest.mark.parametrize(("fault", "subcode", "reason"), CONFIGURATION)
def test_the_configuration_service_has_its_own_words(fault, subcode, reason):
    """Subcode and text, with and without a full stop as they stand there (ws-dsc.md section 1.10)."""
    told = faults.of_configuration(fault)

    assert (told.code, told.subcode, told.reason) == (fault.code, subcode, reason)
    assert (str(told), told.status()) == (str(fault), fault.status())


@pytest.mark.parametrize("fault", [*ALL, faults.not_scan_admin("x")])
def test_every_fault_of_the_configuration_service_is_valid_and_its_own(fault):
    """Nothing in it is of the namespace of the other service; what has no namespace of either stays as it is."""
    told = faults.of_configuration(fault)
    root = written(told)

    assert b"dsp:" not in faults.write(told, messages.MESSAGE_ID)
    assert not [one for one in root.iter() if namespaces.split(one.tag)[0] == namespaces.DSP]
    assert (told.not_understood, told.upgrade, told.soap11) == (fault.not_understood, fault.upgrade, fault.soap11)


def test_the_detail_is_of_the_configuration_service():
    """The token as the caller wrote it (DSC-033), and any other argument; what is of a third namespace stays there."""
    token = faults.of_configuration(faults.from_error(errors.JobNotFound("{T}")))
    foreign = faults.of_configuration(faults.invalid_argument(namespaces.wsa("MessageID"), "m"))

    assert one(written(token), ".//soap:Detail/dsc:JobToken").text == "{T}"
    assert one(written(foreign), ".//soap:Detail/wsa:MessageID").text == "m"


def test_the_action_of_a_fault_stays():
    """It is that of the specification which defines the fault."""
    fault = Fault("Sender", "wse:UnableToRenew", "No such subscription.", action=f"{namespaces.WSE}/fault")
    translated = faults.of_configuration(fault)

    assert (translated.subcode, translated.action) == ("wse:UnableToRenew", f"{namespaces.WSE}/fault")


def test_who_is_no_administrator_gets_no_detail():
    """The sender's mistake, and nothing that tells one operation or token from another (ruling 9)."""
    told = faults.of_configuration(faults.not_scan_admin("GetActiveJobs by somebody"))
    root = written(told)

    assert (told.code, told.status()) == ("Sender", 400)
    assert one(root, ".//soap:Subcode/soap:Value").text == "dsc:ClientErrorCurrentUserNotScanAdmin"
    assert root.find(".//soap:Detail", namespaces.PREFIXES) is None
    assert b"GetActiveJobs" not in faults.write(told, None)
