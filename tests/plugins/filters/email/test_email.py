"""The e-mail filter, with a real mail server."""

from __future__ import annotations

import hashlib
import os

import pytest
from lxml import etree
from smtp import MailServer

from postscan.core.filters import parameters
from postscan.core.model.principal import User
from postscan.core.model.states import FilterState
from postscan.plugins.filters.email import NAMESPACE, Email, postscan_filters
from postscan.plugins.testing import run_filter

ANNA = "anna@fabrikam.example"
SENDER = "scans@fabrikam.example"
NAMES = [f"Scan_{ANNA}_20260302-094107_{id:03d}.{suffix}" for id, suffix in ((1, "png"), (2, "tif"))]
TYPES = ["image/png", "image/tiff"]


def config(*addresses, to_user=None, prefix="emlf"):
    """Return an EmailConfig that names these addresses."""
    root = etree.Element(f"{{{NAMESPACE}}}EmailConfig", nsmap={prefix: NAMESPACE})
    if to_user is not None:
        etree.SubElement(root, f"{{{NAMESPACE}}}SendToScanUser").text = to_user
    if addresses:
        group = etree.SubElement(root, f"{{{NAMESPACE}}}SendToAddresses")
        for address in addresses:
            etree.SubElement(group, f"{{{NAMESPACE}}}EmailAddress").text = address
    return etree.tostring(root)


def table(server, **more):
    """Return settings for this server; a message is tried twice."""
    return {"host": "127.0.0.1", "port": server.port, "sender": SENDER, "tries": 2, "seconds": 20, **more}


@pytest.fixture
def server():
    """A mail server that takes everything."""
    with MailServer() as server:
        yield server


@pytest.fixture
def pages(tmp_path):
    """Two pages."""
    paths = [tmp_path / "page.png", tmp_path / "page.tif"]
    for path in paths:
        path.write_bytes(os.urandom(5000))
    return paths


def run(server, pages, *addresses, to_user=None, settings=None, **more):
    """Run the filter for these recipients."""
    return run_filter(
        Email(),
        pages,
        instructions=config(*addresses, to_user=to_user),
        settings=table(server, **(settings or {})),
        **more,
    )


# --- what is sent, and to whom -----------------------------------------------------------------------------------


def test_one_mail_with_all_documents_goes_to_everybody(server, pages):
    """PSP-018 and PSP-019: all in the envelope, and all attached."""
    result = run(server, pages, "ap@fabrikam.example", "audit@fabrikam.example")

    (mail,) = server.messages
    assert result.outcome is FilterState.SUCCEEDED
    assert mail.sender == SENDER
    assert mail.recipients == ["ap@fabrikam.example", "audit@fabrikam.example"]
    assert [(name, kind) for name, kind, _ in mail.attachments] == list(zip(NAMES, TYPES, strict=True))


def test_what_is_attached_is_what_was_scanned(server, pages):
    """PSP-026, by SHA-256."""
    run(server, pages, ANNA)

    attached = [hashlib.sha256(content).digest() for _, _, content in server.messages[0].attachments]
    assert attached == [hashlib.sha256(page.read_bytes()).digest() for page in pages]


@pytest.mark.parametrize(("to_user", "expected"), [("true", ["ap@x.example", ANNA]), ("1", ["ap@x.example", ANNA])])
def test_the_user_of_the_job_gets_it_if_the_process_says_so(server, pages, to_user, expected):
    """PSP-020."""
    run(server, pages, "ap@x.example", to_user=to_user)

    assert server.messages[0].recipients == expected


@pytest.mark.parametrize("to_user", [None, "false", "0"])
def test_the_user_does_not_get_it_otherwise(server, pages, to_user):
    """PSP-012 and PSP-021."""
    run(server, pages, "ap@x.example", to_user=to_user)

    assert server.messages[0].recipients == ["ap@x.example"]


def test_a_user_without_an_address_keeps_nobody_else_from_it(server, pages):
    """The others get the mail, and then it has failed."""
    user = User("S-1-5-21-1-2-3-1002", "ben@fabrikam.example")
    result = run(server, pages, "ap@x.example", to_user="true", user=user)

    assert server.messages[0].recipients == ["ap@x.example"]
    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("UnableToSendEmail",))
    assert "ben@fabrikam.example has no valid mail address" in result.detail


def test_nobody_gets_it_twice(server, pages):
    """PSP-022: upper and lower case make no second recipient; the first spelling counts."""
    run(server, pages, "Ap@x.example", "ap@X.example", "ANNA@fabrikam.example", to_user="true")

    assert server.messages[0].recipients == ["Ap@x.example", "ANNA@fabrikam.example"]


@pytest.mark.parametrize("to_user", [None, "false"])
def test_without_recipients_it_warns(pages, to_user):
    """PSP-053: legal, and nothing is done; it needs no settings for that."""
    result = run_filter(Email(), pages, instructions=config(to_user=to_user))

    assert result.outcome is FilterState.WARNINGS
    assert result.warnings == ("the scan process names no EmailAddress: nothing was sent",)


def test_without_documents_it_warns(server):
    """A mail about nothing helps nobody (O-11)."""
    result = run(server, [], ANNA)

    assert result.warnings == ("the job has no document: nothing was sent",)
    assert server.connections == 0


def test_any_prefix_blanks_and_foreign_elements_are_fine(server, pages):
    """PSP-008, PSP-010 and PSP-013."""
    xml = f"""<EmailConfig xmlns='{NAMESPACE}' xmlns:v='urn:vendor' v:x='1'>
        <v:Before/><SendToAddresses CanAddAddresses='true'><EmailAddress>
            ap@x.example </EmailAddress></SendToAddresses></EmailConfig>"""
    run_filter(Email(), pages, instructions=xml.encode(), settings=table(server))

    assert server.messages[0].recipients == ["ap@x.example"]


def test_the_subject_and_the_text_say_what_the_settings_say(server, pages):
    """The fields are filled in; the text may have several lines and any letters, and its dots stay dots (T-F9)."""
    text = "Für {user}\n.\n..\nfrom {process} {curly"
    result = run(server, pages, ANNA, settings={"subject": "{process} of {user}, {date}", "text": text})

    assert result.outcome is FilterState.SUCCEEDED, result.detail
    mail = server.messages[0].parsed
    assert mail["Subject"] == f"Test process of {ANNA}, 2026-03-02 09:41 UTC"
    assert mail.get_body().get_content().splitlines() == [f"Für {ANNA}", ".", "..", "from Test process {curly"]


def test_addresses_beyond_ascii_are_fine_if_the_server_offers_smtputf8(pages):
    """Envelope and header have them as they are."""
    with MailServer(utf8=True) as server:
        result = run(server, pages, "jürgen@exämple.example")

    (mail,) = server.messages
    assert (result.outcome, mail.recipients) == (FilterState.SUCCEEDED, ["jürgen@exämple.example"])
    assert mail.parsed["To"] == "jürgen@exämple.example"
    assert "SMTPUTF8" in mail.options


def test_addresses_beyond_ascii_fail_if_it_does_not(server, pages):
    """Only they do."""
    result = run(server, pages, "jürgen@exämple.example", "ap@x.example")

    assert server.messages[0].recipients == ["ap@x.example"]
    assert result.reasons == ("UnableToSendEmail",)
    assert "jürgen@exämple.example is not ASCII, and the mail server does not offer SMTPUTF8" in result.detail


def test_a_sender_beyond_ascii_needs_smtputf8_too(server, pages):
    """The setting is named."""
    result = run(server, pages, ANNA, settings={"sender": "scän@fabrikam.example"})

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("InvalidSMTPServer",))
    assert result.detail == "filters.email.sender is not ASCII, and the mail server does not offer SMTPUTF8"


# --- what is not sent --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "anna",
        "anna@",
        "@fabrikam.example",
        "anna@fabrikam.example\r\nBcc: eve@evil.example",
        "anna@fabrikam.example\nRCPT TO:<eve@evil.example>",
        "anna@fabrikam.example\t",
        "an\u0085na@fabrikam.example",
        "anna@fabrikam.example, eve@evil.example",
        "Anna <anna@fabrikam.example>",
        "group: anna@fabrikam.example;",
        '"anna"@fabrikam.example',
        "eve%evil.example@fabrikam.example",
        "evil.example!eve@fabrikam.example",
        "@relay.example:eve@evil.example",
        "anna@[192.0.2.1]",
        "=?utf-8?q?a=0ABcc=3A_eve?=@fabrikam.example",
        "-oQ/tmp@fabrikam.example",
        "|sh@fabrikam.example",
        "/etc/passwd@fabrikam.example",
        "anna..b@fabrikam.example",
        "anna@fabrikam..example",
        "anna@-fabrikam.example",
        "anna@fabrikam.example.",
        "anna＠fabrikam.example",
        "an\u202ena@fabrikam.example",
    ],
)
def test_what_is_no_address_is_refused_and_named(server, pages, address):
    """InvalidArgs; the others get their mail (PSP-023, PSP-029, T-F7, T-F8)."""
    instructions = Email.Instructions(addresses=(address, "ap@x.example"))
    result = run_filter(Email(), pages, instructions=instructions, settings=table(server))

    assert server.messages[0].recipients == ["ap@x.example"]
    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("InvalidArgs",))
    assert f"{address!r} is not a mail address" in result.detail


def test_a_control_character_in_the_xml_does_not_become_a_header(server, pages):
    """As a device would send it."""
    result = run(server, pages, "ap@x.example\nBcc:eve@evil.example")

    assert result.reasons == ("InvalidArgs",)
    assert server.connections == 0


def test_mails_go_to_allowed_domains_only(server, pages):
    """Exactly those, whatever the case (PSP-037)."""
    addresses = ("a@Fabrikam.example", "b@sub.fabrikam.example", "c@evil.example", "d@fabrikam.example.evil.example")
    result = run(server, pages, *addresses, settings={"allowed_domains": ["fabrikam.example"]})

    assert server.messages[0].recipients == ["a@Fabrikam.example"]
    assert result.reasons == ("InvalidArgs",)
    assert "c@evil.example: mails to this domain are not allowed; see filters.email.allowed_domains" in result.detail


# --- large jobs --------------------------------------------------------------------------------------------------


@pytest.fixture
def large(tmp_path):
    """Five pages of 40 kB."""
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for path in paths:
        path.write_bytes(os.urandom(40_000))
    return paths


def attached(server):
    """Return the numbers of the documents in each message."""
    return [[int(name[-7:-4]) for name, _, _ in mail.attachments] for mail in server.messages]


def test_what_fits_into_one_message_stays_in_one(server, large):
    """And its subject says nothing about parts."""
    run(server, large, ANNA)

    assert attached(server) == [[1, 2, 3, 4, 5]]
    assert "part" not in server.messages[0].parsed["Subject"]


def test_what_does_not_fit_into_one_message_becomes_several(server, large):
    """Each below the limit, the documents in their order, and each says which part it is."""
    result = run(server, large, ANNA, settings={"most_bytes": 120_000, "subject": "Scan"})

    assert attached(server) == [[1, 2], [3, 4], [5]]
    assert [mail.parsed["Subject"] for mail in server.messages] == [f"Scan (part {n} of 3)" for n in (1, 2, 3)]
    assert all(len(mail.content) <= 120_000 for mail in server.messages)
    assert server.connections == 1
    assert result.progress[-1] == (3, 3, "messages")


def test_the_limit_of_the_mail_server_counts_as_well(large):
    """It says it in its answer to EHLO (RFC 1870)."""
    with MailServer(most=70_000) as server:
        result = run(server, large, ANNA)

    assert result.outcome is FilterState.SUCCEEDED
    assert attached(server) == [[1], [2], [3], [4], [5]]


def test_a_document_that_is_too_large_is_named_and_the_others_are_sent(server, large):
    """UnableToSendEmail."""
    large[1].write_bytes(os.urandom(100_000))
    result = run(server, large, ANNA, settings={"most_bytes": 120_000})

    assert attached(server) == [[1, 3], [4, 5]]
    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("UnableToSendEmail",))
    assert "_002.png is too large: 100,000 bytes; a mail may have 120,000" in result.detail


# --- again -------------------------------------------------------------------------------------------------------


def test_the_server_hears_of_one_output_per_message(server, large):
    """With the Message-ID as its name."""
    result = run(server, large, "ap@x.example", ANNA, settings={"most_bytes": 150_000})

    ids = [mail.parsed["Message-ID"] for mail in server.messages]
    where = f"mailto:ap@x.example,{ANNA}"
    assert result.published == [(None, f"{where} part {n} of 3", ids[n - 1]) for n in (1, 2, 3)][: len(ids)]
    assert len(set(ids)) == len(ids) > 1


def test_a_second_run_sends_the_very_same_bytes(server, pages):
    """So the Message-ID is the same as well, and a mailbox can tell the second copy (F-R15)."""
    run(server, pages, ANNA)
    run(server, pages, ANNA)

    first, second = server.messages
    assert first.content == second.content


def test_other_recipients_or_documents_make_another_mail(server, pages):
    """Two e-mail filters of one job must not look like one."""
    run(server, pages, ANNA)
    run(server, pages, "ap@x.example")
    run(server, pages[:1], ANNA)

    assert len({mail.parsed["Message-ID"] for mail in server.messages}) == 3


def test_the_token_of_the_job_is_not_in_the_mail(server, pages):
    """Who has it could cancel the job."""
    run(server, pages, ANNA)

    token = b"5a0c3c5e-6d3c-4f0e-9d59-0b8f2f7c1a10"
    assert all(piece not in server.messages[0].content for piece in (token, token.replace(b"-", b"")))


def test_after_a_crash_only_what_may_not_have_been_sent_is_sent_again(server, large):
    """A part is known to be sent once the next one was begun; of the last one nobody knows (F-S16)."""
    settings = {"most_bytes": 120_000}
    first = run(server, large, ANNA, settings=settings)
    server.messages.clear()
    again = run(server, large, ANNA, settings=settings, earlier=first.published[:2])

    assert attached(server) == [[3, 4], [5]]
    assert again.published == first.published[1:]


def test_what_was_begun_with_other_documents_is_no_reason_to_leave_something_out(server, large):
    """The name in the record is another one."""
    settings = {"most_bytes": 120_000}
    first = run(server, large[:4], ANNA, settings=settings)
    server.messages.clear()
    run(server, large[1:], ANNA, settings=settings, earlier=first.published)

    assert attached(server) == [[1, 2], [3, 4]]


def test_without_settings_the_plugin_can_be_used_and_the_filter_fails(pages):
    """It is installed with every server."""
    result = run_filter(Email(), pages, instructions=config(ANNA))

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("InvalidSMTPServer",))
    assert result.detail == "filters.email.host is not set; expected the name of a mail server"


def test_without_a_sender_nothing_can_be_sent(pages):
    """The sentence names the setting."""
    result = run_filter(Email(), pages, instructions=config(ANNA), settings={"host": "mail.example"})

    assert result.reasons == ("InvalidSMTPServer",)
    assert result.detail == "filters.email.sender is not set; expected the address that mails come from"


def test_the_instructions_are_those_of_the_protocol():
    """By the name of their element."""
    (filter,) = postscan_filters()

    assert (filter.dialect, parameters.schema(filter.Instructions).element) == (NAMESPACE, "EmailConfig")
