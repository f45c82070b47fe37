"""The form of a scan process: what it shows, and the files that a submitted form makes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from stored_processes import CATALOGUE, GUID, LETTER, RAW, SCHEMA, letter

from postscan.console.forms import ControlKind
from postscan.console.pages.processes import form as process_form
from postscan.console.pages.processes.form import OpenedProcess, ProcessForm
from postscan.core.errors import InvalidArgument
from postscan.core.model.process import FilterInstructions
from postscan.soap.processes import drafts, fields
from postscan.soap.processes.files import ProcessFiles
from postscan.soap.processes.folder import parse

GONE = "urn:test:gone"


def opened(*filters: FilterInstructions, users: Sequence[str] = ()) -> OpenedProcess:
    """Return a stored process with these filters."""
    files = drafts.new("Archive", users, filters, server="scan01", author="ann")
    return of_files(files)


def of_files(files: ProcessFiles) -> OpenedProcess:
    """Return the process of these files."""
    process = parse(GUID, files)
    return OpenedProcess(files, process, fields.of([one.dialect for one in process.instructions.filters], CATALOGUE))


def browser(form: ProcessForm, **edits: str | None) -> dict[str, list[str]]:
    """Return what a browser submits of a form with these edits; `f1__text` is the control `f1.text`."""
    shown = {one.name: [one.text] for one in form.controls}
    shown |= {one.name: [one.text] for section in form.sections for one in section.controls}
    shown |= {f"{section.key}.position": [section.position] for section in form.sections}
    shown |= {"new": form.added}
    changed = {name.replace("__", "."): text for name, text in edits.items()}
    return shown | {name: [text] for name, text in changed.items() if text is not None}


def submit(form: ProcessForm, **edits: str | None) -> process_form.SubmittedProcess:
    """Return what a form makes of these edits."""
    return process_form.read(form, browser(form, **edits), "ann")


def filters_of(files: ProcessFiles | None) -> list[tuple[str, str]]:
    """Return the short dialects and the texts of the filters of a process."""
    assert files
    return [
        (one.dialect, SCHEMA.read(one.xml, LETTER)["text"] if one.dialect == LETTER else "")
        for one in parse(GUID, files).instructions.filters
    ]


TWO = opened(letter("one"), letter("two"), users=["ann@fabrikam.example", "S-1-5-21-1"])


def test_a_form_that_is_opened_and_saved_makes_the_same_files() -> None:
    """Of a process with comments, with a filter that no plugin has, and with one that reads its XML itself."""
    files = opened(
        letter("one"),
        FilterInstructions(RAW, b"<r xmlns='urn:test:raw'> <a/> </r>"),
        FilterInstructions(GONE, b'<g xmlns="urn:test:gone"/>'),
    ).files
    by_hand = ProcessFiles(
        (files.xml or b"").replace(b"<psp:Filter>", b"<!-- by hand -->\r\n<psp:Filter >"),
        b"# ours\r\n" + (files.properties or b""),
    )
    form = process_form.opened(of_files(by_hand), CATALOGUE)

    assert submit(form).files == by_hand
    assert [(one.key, bool(one.controls), bool(one.problem)) for one in form.sections] == [
        ("f1", True, False),
        ("f2", False, True),
        ("f3", False, True),
    ]


def test_instructions_that_do_not_fit_their_filter_stay_as_they_are() -> None:
    """The form says what is wrong, and has no fields for them."""
    files = opened(letter("one")).files
    broken = of_files(ProcessFiles((files.xml or b"").replace(b"<Text>one</Text>", b"<Odd/>"), files.properties))
    form = process_form.opened(broken, CATALOGUE)

    assert "Odd" in form.sections[0].problem
    assert submit(form, name="Other").files == ProcessFiles(
        broken.files.xml, (files.properties or b"").replace(b"Archive", b"Other")
    )


def test_values_of_the_process_and_of_its_filters_are_changed_at_once() -> None:
    """Each filter of the same dialect has its own fields."""
    form = process_form.opened(TWO, CATALOGUE)
    made = submit(form, name="Papers", users="", document_root="Paper", continue_on_error="true", f2__text="new")

    assert made.files
    process = parse(GUID, made.files)
    assert filters_of(made.files) == [(LETTER, "one"), (LETTER, "new")]
    assert (process.display_name, process.users) == ("Papers", frozenset())
    assert (process.instructions.document_root, process.instructions.continue_on_error) == ("Paper", True)


def test_filters_are_moved_removed_and_added() -> None:
    """In one step with their values; of two with the same position the earlier comes first."""
    form = process_form.opened(TWO, CATALOGUE, [LETTER])

    assert filters_of(submit(form, n1__text="new").files) == [(LETTER, "one"), (LETTER, "two"), (LETTER, "new")]
    assert filters_of(submit(form, n1__text="new", n1__position="1", f1__position="2", f2__remove="yes").files) == [
        (LETTER, "new"),
        (LETTER, "one"),
    ]
    assert filters_of(submit(form, f1__position="3", n1__remove="yes").files) == [(LETTER, "two"), (LETTER, "one")]


def test_a_new_process_is_made_of_a_form() -> None:
    """Its root name is its name unless it has one of its own."""
    form = process_form.new(CATALOGUE, [LETTER], "scan01")
    made = submit(form, name="Mail", users="ann@fabrikam.example\r\n\r\nS-1-5-21-1", n1__text="t", n1__to="a\r\nb")

    assert made.files
    process = parse(GUID, made.files)
    assert (process.display_name, process.repository) == ("Mail", "scan01")
    assert process.users == {"ann@fabrikam.example", "S-1-5-21-1"}
    assert process.instructions.document_root == "Mail"
    assert SCHEMA.read(process.instructions.filters[0].xml, LETTER)["to"] == ("a", "b")
    assert [one.kind for one in form.sections[0].controls] == [ControlKind.LINE, ControlKind.CHOICE, ControlKind.LINES]


def errors(form: ProcessForm) -> dict[str, str]:
    """Return the errors of a form by the names of its controls."""
    found = {one.name: one.error for one in form.controls if one.error}
    for section in form.sections:
        found |= {one.name: one.error for one in section.controls if one.error}
        found |= {f"{section.key}.position": section.position_error} if section.position_error else {}
    return found


def test_every_error_is_beside_its_control_and_what_was_typed_stays() -> None:
    """Those of the same dialect are told apart."""
    form = process_form.opened(TWO, CATALOGUE, [LETTER])
    wrong = submit(form, name=" ", f2__text="t" * 21, f2__size="a6", n1__text="", f1__position="first")

    assert wrong.files is None
    assert set(errors(wrong.form)) == {"name", "f2.text", "f2.size", "n1.text", "f1.position"}
    assert errors(wrong.form)["f2.size"] == "'a6' is not valid; expected one of a4, a5"
    assert wrong.form.sections[1].controls[0].text == "t" * 21


def test_what_only_the_whole_file_shows_is_beside_its_control_as_well() -> None:
    """A name of two lines, which a line control cannot have, and a root name that is too long."""
    form = process_form.opened(TWO, CATALOGUE)

    assert set(errors(submit(form, name="a\x7fb").form)) == {"name"}
    assert set(errors(submit(form, document_root="r" * 256).form)) == {"document_root"}
    assert set(errors(submit(form, users="a\x7fb").form)) == {"users"}


def test_an_error_of_a_filter_itself_is_beside_its_field_where_there_is_one() -> None:
    """Else it is a problem of the whole form: of two filters of a dialect, the error names none."""
    error = InvalidArgument(f"{{{LETTER}}}Text", "x", "better words, in filter 1 (Print)")
    one = process_form.opened(opened(letter("x")), CATALOGUE).with_error(error)
    two = process_form.opened(TWO, CATALOGUE).with_error(error)

    assert errors(one) == {"f1.text": "'x' is not valid; expected better words, in filter 1 (Print)"}
    assert (errors(two), list(two.problems)) == ({}, [str(error)])
    assert one.has_errors
    assert two.has_errors


def test_a_process_without_filters_is_refused() -> None:
    """All were removed."""
    made = submit(process_form.opened(TWO, CATALOGUE), f1__remove="yes", f2__remove="yes")

    assert (made.files, list(made.form.problems)) == (None, ["a process has at least one filter"])


@pytest.mark.parametrize("added", [[RAW], [GONE], ["<img onerror>"], [LETTER] * (process_form.MOST_FILTERS + 1)])
def test_filters_without_fields_and_too_many_cannot_be_added(added: list[str]) -> None:
    """A form that was made by hand may name anything."""
    with pytest.raises(InvalidArgument):
        process_form.new(CATALOGUE, added, "scan01")
