"""DSP-015 to DSP-024, DSP-083: which jobs can be created, and what they are called."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from xml.sax.saxutils import escape

import pytest
from acceptance.scanning import Scanner, good, instructions
from acceptance.server import SHARE
from conformance.wire import changed, creation, invalid, job_of
from messages import FILTER

PLAIN = instructions("copy")
UNKNOWN = "0F4E8A36-5B1C-4D2E-9F70-A1B2C3D4E5F6"


@pytest.mark.conformance("DSP-015")
@pytest.mark.parametrize("missing", ["UserIdentifier", "PSP_Identifier", "PostScanInstructions"])
def test_a_create_without_one_of_its_arguments_is_refused_by_its_name(scanner: Scanner, missing: str) -> None:
    """The detail is the element that is missing, empty."""
    message = creation(scanner.device, scanner.server.store(PLAIN), PLAIN)
    begin, end = message.index(f"<dsp:{missing}>".encode()), message.index(f"</dsp:{missing}>".encode())

    assert invalid(scanner.device.post(message[:begin] + message[end + len(f"</dsp:{missing}>") :])) == (missing, "")


@pytest.mark.conformance("DSP-016")
@pytest.mark.parametrize("user", ["mlopez", "S-1-5-", "S-1-5-21-4294967296", "S-2-5-21-1", "S-1-5-21-1-x", ""])
def test_a_user_who_is_no_sid_is_refused(scanner: Scanner, user: str) -> None:
    """The detail shows what was sent instead."""
    scanner.device.user = user

    assert invalid(scanner.device.create(scanner.server.store(PLAIN), PLAIN)) == ("UserIdentifier", user)


@pytest.mark.conformance("DSP-017")
def test_a_scan_process_that_nobody_knows_is_refused(scanner: Scanner) -> None:
    """Also where the same instructions are stored under another identifier."""
    scanner.server.store(PLAIN)

    assert invalid(scanner.device.create(UNKNOWN, PLAIN)) == ("PSP_Identifier", UNKNOWN)


@pytest.mark.conformance("DSP-018")
def test_the_case_of_a_guid_says_nothing(scanner: Scanner) -> None:
    """Neither that of a scan process nor that of a job."""
    process_id = scanner.server.store(PLAIN)
    tokens = [scanner.device.create(one, PLAIN).find("JobToken") for one in (process_id.lower(), process_id.upper())]

    assert all(tokens)
    assert scanner.status(str(tokens[0]).upper()).state == "Creating"


LACKING = {
    "DocumentRootName": ("<psp:DocumentRootName>Invoice</psp:DocumentRootName>", ""),
    "Filter": (PLAIN[PLAIN.index("<psp:Filter>") : PLAIN.index("</psp:FiltersToProcess>")], ""),
    "Dialect": ("<psp:Dialect>urn:acme:copy</psp:Dialect>", ""),
    "Instructions": ('<psp:Instructions><a:do xmlns:a="urn:acme"></a:do></psp:Instructions>', ""),
}


@pytest.mark.conformance("DSP-019")
@pytest.mark.parametrize(("missing", "change"), LACKING.items(), ids=LACKING)
def test_instructions_without_a_part_are_refused_by_its_name(
    scanner: Scanner, missing: str, change: tuple[str, str]
) -> None:
    """A root name, a filter, and both parts of each filter must be there."""
    message = creation(scanner.device, scanner.server.store(PLAIN), PLAIN)

    assert invalid(scanner.device.post(changed(message, *change))) == (missing, "")


@pytest.mark.conformance("DSP-020")
def test_a_text_may_have_255_characters_and_no_more(scanner: Scanner) -> None:
    """Of a root name; of a token; and the fault shows no more of it either."""
    longest, longer = (instructions("copy", root="R" * length) for length in (255, 256))
    job_of(scanner, longest)

    assert invalid(scanner.device.create(scanner.server.store(longest), longer)) == ("DocumentRootName", "R" * 255)
    assert invalid(scanner.device.cancel("t" * 256)) == ("JobToken", "t" * 255)


OTHER = r"\\nas\others"
TWO = instructions("copy", f"share {SHARE}", go_on="false")
DEVIATIONS = {
    "a share": (TWO.replace(SHARE, OTHER), ("ShareUNC", OTHER)),
    "the order": (instructions(f"share {SHARE}", "copy", go_on="false"), ("Dialect", f"{FILTER}fileshare")),
    "a filter more": (instructions("copy", f"share {SHARE}", "copy", go_on="false"), ("FiltersToProcess", "3 filters")),
    "ContinueOnError": (TWO.replace(">false<", ">true<"), ("ContinueOnError", "true")),
}


@pytest.mark.conformance("DSP-021")
@pytest.mark.parametrize(("sent", "detail"), DEVIATIONS.values(), ids=DEVIATIONS)
def test_instructions_other_than_the_stored_ones_are_refused(
    scanner: Scanner, sent: str, detail: tuple[str, str]
) -> None:
    """The detail is the element that deviates (O-1)."""
    process_id = scanner.server.store(TWO)

    assert invalid(scanner.device.create(process_id, sent)) == detail


@pytest.mark.conformance("DSP-021")
def test_the_same_in_other_words_is_the_same(scanner: Scanner) -> None:
    """Another prefix, another form of a boolean, another case of a host: no deviation (O-1)."""
    reworded = TWO.replace(">false<", ">0<").replace("f:", "q:").replace("xmlns:f=", "xmlns:q=")

    job_of(scanner, reworded.replace(SHARE, SHARE.upper()), stored=TWO)


SPX = "http://schemas.microsoft.com/windows/2010/09/imaging/postscan/scanprocess/extensions"


def permission(name: str) -> str:
    """Return what a stored scan process says to allow the device something."""
    return f'<x:{name} xmlns:x="{SPX}">true</x:{name}>'


@pytest.mark.conformance("DSP-022")
def test_another_root_name_is_accepted_where_the_stored_process_allows_it(scanner: Scanner) -> None:
    """And refused where it does not."""
    sent = PLAIN.replace("Invoice", "March")
    job_of(scanner, sent, stored=PLAIN, allow=permission("AllowDeviceFileNameChange"))
    refused = scanner.device.create(scanner.server.store(PLAIN), sent)

    assert invalid(refused) == ("DocumentRootName", "March")


@pytest.mark.conformance("DSP-022")
def test_another_share_is_accepted_where_the_stored_process_allows_it(scanner: Scanner) -> None:
    """And refused where it allows nothing, or only another name."""
    stored, sent = instructions(f"share {OTHER}"), instructions(f"share {SHARE}")
    job_of(scanner, sent, stored=stored, allow=permission("AllowDeviceFilePathChange"))
    for allow in ("", permission("AllowDeviceFileNameChange")):
        refused = scanner.device.create(scanner.server.store(stored, allow=allow), sent)

        assert invalid(refused) == ("ShareUNC", SHARE)


def mailing(*addresses: str, can_add: str) -> str:
    """Write instructions with one filter, which mails to these addresses."""
    listed = "".join(f"<e:EmailAddress>{escape(one)}</e:EmailAddress>" for one in addresses)
    group = f'<e:SendToAddresses e:CanAddAddresses="{can_add}">{listed}</e:SendToAddresses>'
    config = f'<e:EmailConfig xmlns:e="{FILTER}email">{group}</e:EmailConfig>'
    return PLAIN.replace("urn:acme:copy", f"{FILTER}email").replace('<a:do xmlns:a="urn:acme"></a:do>', config)


@pytest.mark.conformance("DSP-022")
def test_an_address_more_is_accepted_where_the_stored_process_allows_it(scanner: Scanner) -> None:
    """What the request says of its own permission counts for nothing."""
    one, two = "ap@fabrikam.example", "audit@fabrikam.example"
    job_of(scanner, mailing(one, two, can_add="false"), stored=mailing(one, can_add="true"))
    process_id = scanner.server.store(mailing(one, can_add="false"))

    assert invalid(scanner.device.create(process_id, mailing(one, two, can_add="true"))) == ("EmailAddress", two)


@pytest.mark.conformance("DSP-023")
def test_no_two_jobs_have_one_token(scanner: Scanner) -> None:
    """Not even those that are created at the same moment."""
    scanner.server.store(PLAIN)
    with ThreadPoolExecutor(4) as pool:
        tokens = list(pool.map(lambda _: scanner.create("copy"), range(24)))

    assert len(set(tokens)) == 24


@pytest.mark.conformance("DSP-024")
def test_a_token_is_a_random_guid_in_lower_case(scanner: Scanner) -> None:
    """Version 4; and over some jobs each of its random digits takes several values."""
    tokens = [scanner.create("copy") for _ in range(24)]
    digits = list(zip(*(token.replace("-", "") for token in tokens), strict=True))

    assert [str(uuid.UUID(token)) for token in tokens] == tokens
    assert {uuid.UUID(token).version for token in tokens} == {4}
    assert all(len(set(digit)) > 1 for at, digit in enumerate(digits) if at != 12)


@pytest.mark.conformance("DSP-083")
def test_a_create_that_comes_again_makes_no_second_job(scanner: Scanner) -> None:
    """The same MessageID and the same request: the same token; another MessageID: another job."""
    message_id = f"urn:uuid:{uuid.uuid4()}"
    first, again = (job_of(scanner, PLAIN, message_id=message_id) for _ in range(2))

    assert first == again
    assert job_of(scanner, PLAIN) != first


@pytest.mark.conformance("DSP-083")
def test_a_message_id_that_is_no_guid_names_nothing(scanner: Scanner) -> None:
    """The deviation: some devices send a fixed text, and their second job is a second job."""
    first, second = (job_of(scanner, PLAIN, message_id="uuid:UniqueMsgId") for _ in range(2))
    good(scanner.device.cancel(first))

    assert scanner.status(second).state == "Creating"
