"""Which destination a recipient names."""

from __future__ import annotations

import pytest

from postscan.plugins import Destination
from postscan.plugins.sources.smtp.recipients import Recipients, address_form
from postscan.plugins.sources.smtp.replies import Rejected

INVOICES = Destination(id="D1aa", label="Invoices (Ann)")
OFFICE = Destination(id="D2bb", label="Rechnungen (Büro, groß)")
KANJI = Destination(id="D3cc", label="書類")
TWIN = Destination(id="D4dd", label="invoices: ANN")


@pytest.mark.parametrize(
    ("label", "form"),
    [
        ("Invoices (Ann)", "invoices-ann"),
        ("Rechnungen (Büro, groß)", "rechnungen-buro-gross"),
        ("  A.b_c/1 ", "a-b-c-1"),
        ("書類", ""),
        ("Scan 書類 2", "scan-2"),
    ],
)
def test_a_label_is_written_as_devices_can_enter_it(label: str, form: str) -> None:
    """Lower case Latin letters and digits, joined by hyphens."""
    assert address_form(label) == form


@pytest.mark.parametrize(
    ("recipient", "destination"),
    [
        ("invoices-ann@scan.example", "D1aa"),
        ("Invoices-Ann@SCAN.EXAMPLE", "D1aa"),
        ("invoices-ann", "D1aa"),
        ("D1AA@scan.example", "D1aa"),
        ("rechnungen-buro-gross@scan.example", "D2bb"),
        ('"invoices-ann"@scan.example', "D1aa"),
        ("papers@scan.example", "D3cc"),
        ("ann@office.example", "D1aa"),
        ("ANN@office.example", "D1aa"),
    ],
)
def test_a_recipient_names_an_id_a_label_or_a_name_of_the_settings(recipient: str, destination: str) -> None:
    """In any case; a whole address of the settings may have another domain."""
    named = {"papers": "書類", "ann@office.example": "Invoices (Ann)"}

    assert Recipients([INVOICES, OFFICE, KANJI], named, ["scan.example"]).destination(recipient) == destination


@pytest.mark.parametrize(
    "recipient",
    ["", "@scan.example", "nobody@scan.example", "invoices-ann@elsewhere.example", "invoices-ann@", "a@b@scan.example"],
)
def test_another_recipient_is_unknown(recipient: str) -> None:
    """The reply says which."""
    with pytest.raises(Rejected) as caught:
        Recipients([INVOICES, KANJI], {}, ["scan.example"]).destination(recipient)

    assert caught.value.reply == f"550 5.1.1 {recipient} is no destination of this server"


def test_without_domains_any_is_accepted() -> None:
    """A scanner that speaks to this server means it."""
    assert Recipients([INVOICES], {}).destination("invoices-ann@[10.0.0.9]") == "D1aa"


def test_a_label_of_two_destinations_names_none() -> None:
    """They have ids, and names in the settings; what has none is a problem."""
    recipients = Recipients([INVOICES, TWIN, KANJI], {"twin": "D4dd", "none": "Letters"})

    assert recipients.destination("twin") == "D4dd"
    with pytest.raises(Rejected):
        recipients.destination("invoices-ann")
    assert recipients.problems == [
        "the label 'Invoices (Ann)' gives no address of its own; expected a name for it in recipients",
        "the label '書類' gives no address of its own; expected a name for it in recipients",
        "recipients.none: no destination of this inlet is named 'Letters'",
    ]
