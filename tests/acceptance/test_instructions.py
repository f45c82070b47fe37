"""Instructions of filters from outside, seen by a device: a wrong one is refused by its name before there is a job."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.scanning import INVALID, UNEXPECTED, Refusal, Scanner, good, refusal
from acceptance.server import Server, running
from device import Answer

PRINT, MOODY = "urn:acme:print", "urn:acme:moody"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module's own: what filters do to it may be in its log."""
    with running(tmp_path_factory.mktemp("judging")) as server:
        yield server


@pytest.fixture
def scanner(server: Server) -> Iterator[Scanner]:
    """A device; whatever its test does, the server is the same afterwards, and takes a good job."""
    scanner, process = Scanner(server), server.pid
    yield scanner
    assert server.pid == process
    token = scanner.create("copy")
    scanner.send(token)
    good(scanner.device.end(token))
    assert scanner.ended(token).state == "Completed"


def one(dialect: str, config: str) -> str:
    """Write one filter."""
    return f"<psp:Filter><psp:Dialect>{dialect}</psp:Dialect><psp:Instructions>{config}</psp:Instructions></psp:Filter>"


def asking(*filters: str) -> str:
    """Write instructions with these filters, behind one that takes anything."""
    inside = one("urn:acme:copy", "") + "".join(filters)
    return f"<psp:DocumentRootName>Invoice</psp:DocumentRootName><psp:FiltersToProcess>{inside}</psp:FiltersToProcess>"


def printing(inside: str) -> str:
    """Ask the filter Print, which declares what it takes."""
    return asking(one(PRINT, f'<p:Order xmlns:p="{PRINT}">{inside}</p:Order>'))


def moody(mood: str) -> str:
    """Ask the filter Moody, which judges by itself."""
    return asking(one(MOODY, f'<a:do xmlns:a="urn:acme">{mood}</a:do>'))


SLOW = "the check took longer than 2 s"


def created(scanner: Scanner, asked: str, *, slow: bool = False) -> Answer:
    """Return the answer to a Create; ask again, as devices do, while a check takes too long that is not *slow*."""
    identifier = scanner.server.store(asked)
    for _ in range(20):
        slow_before = scanner.server.log().count(SLOW)
        answer = scanner.device.create(identifier, asked)
        if slow or scanner.server.log().count(SLOW) == slow_before:
            break
    return answer


def refused(scanner: Scanner, asked: str, *, slow: bool = False) -> Refusal:
    """Return the fault for a process that asks for this, and see that no job was made."""
    scanner.server.store(asked)
    before = scanner.server.everything()
    fault = refusal(created(scanner, asked, slow=slow))
    assert scanner.server.everything() == before
    return fault


WRONG = {
    "too many": ("<p:Copies>10</p:Copies>", ("Copies", "10"), "a whole number, at least 1, at most 9"),
    "no number": ("<p:Copies>some</p:Copies>", ("Copies", "some"), "a whole number, at least 1, at most 9"),
    "no choice": ("<p:Colour>blue</p:Colour>", ("Colour", "blue"), "one of grey, red"),
    "twice": ("<p:Colour>red</p:Colour><p:Colour>red</p:Colour>", ("Colour", "2 elements"), "one, in Order"),
    "unknown": (
        "<p:Size>A4</p:Size>",
        ("Size", f"{{{PRINT}}}Size"),
        "what Order may hold: Colour, Copies, Pages/First",
    ),
    "unknown in a group": ("<p:Pages><p:Odd/></p:Pages>", ("Odd", f"{{{PRINT}}}Odd"), "what Order may hold: Colour"),
    "markup": ("<p:Colour>&lt;/x&gt;</p:Colour>", ("Colour", "</x>"), "one of grey, red"),
}


@pytest.mark.parametrize(("inside", "detail", "expected"), WRONG.values(), ids=WRONG)
def test_an_element_that_a_filter_does_not_take_is_named(
    scanner: Scanner, inside: str, detail: tuple[str, str], expected: str
) -> None:
    """DSP-021, T-O6: the fault has the element, the log the filter and what was expected."""
    fault = refused(scanner, printing(inside))

    assert (fault.status, fault.subcode, fault.reason, fault.detail) == (400, "dsp:InvalidArgs", INVALID, detail)
    assert expected in scanner.server.log()
    assert f"in filter 2 (Print, {PRINT})" in scanner.server.log()


def test_another_config_is_refused(scanner: Scanner) -> None:
    """PSP-007: the element and the namespace are those of the filter."""
    fault = refused(scanner, asking(one(PRINT, f'<p:Command xmlns:p="{PRINT}"/>')))

    assert fault.detail == ("Command", f"{{{PRINT}}}Command")


def test_what_the_authors_code_refuses_is_refused(scanner: Scanner) -> None:
    """A rule between two elements; the device hears which config, the log in which words."""
    fault = refused(scanner, printing("<p:Pages><p:First>5</p:First><p:Last>3</p:Last></p:Pages>"))

    assert (fault.status, fault.subcode) == (400, "dsp:InvalidArgs")
    assert fault.detail is not None
    assert fault.detail[0] == "Order"
    assert f"but: First is 5, after Last, which is 3, in filter 2 (Print, {PRINT})" in scanner.server.log()


def test_what_a_filters_check_refuses_is_refused(scanner: Scanner) -> None:
    """Also of a filter that reads its XML itself."""
    fault = refused(scanner, moody("refuse"))

    assert (fault.status, fault.subcode) == (400, "dsp:InvalidArgs")
    assert fault.detail == ("do", '<a:do xmlns:a="urn:acme">refuse</a:do>')
    assert f"but: it does not want to, in filter 2 (Moody, {MOODY})" in scanner.server.log()


@pytest.mark.parametrize(
    ("mood", "why"),
    [
        ("break", "RuntimeError: a secret of the inside"),
        ("leave", "SystemExit: 0"),
        ("die", "its process died during the check"),
        ("sleep", SLOW),
    ],
)
def test_a_check_that_gives_no_answer_is_a_temporary_error(scanner: Scanner, mood: str, why: str) -> None:
    """F-R8, T-P5: nobody has said that the device is wrong; what happened is for the administrator alone."""
    fault = refused(scanner, moody(mood), slow=why == SLOW)

    assert fault == Refusal(500, "soap:Receiver", "dsp:ServerErrorTemporaryError", UNEXPECTED, None, fault.relates_to)
    assert (
        f'instructions not checked logger=postscan.core.registry.validation plugin=acme filter=Moody reason="{why}'
        in (scanner.server.log())
    )


def test_what_is_taken_reaches_the_filter(scanner: Scanner) -> None:
    """As values, with the defaults filled in."""
    asked = printing("<p:Pages><p:First>2</p:First></p:Pages><p:Copies> 3 </p:Copies>")
    token = good(created(scanner, asked)).find("JobToken") or ""
    scanner.send(token)
    good(scanner.device.end(token))

    assert scanner.ended(token).filters == ("CompletedSuccessfully",) * 2
    assert "print 3 grey 2 9999" in (scanner.server.out / f"{token}.trace").read_text()
