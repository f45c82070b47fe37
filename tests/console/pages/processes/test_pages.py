"""The pages of scan processes, as a browser sees and sends them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from console_browser import Browser, person
from stored_processes import GUID, LETTER, RAW, SCHEMA, StoredProcesses, letter, shown_form

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, Unavailable
from postscan.core.model.principal import Role
from postscan.core.model.process import FilterInstructions
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin, PluginState
from postscan.core.registry.remembered import RememberedCatalogue
from postscan.soap.processes.folder import ProcessFolder

PAGE = f"/processes/{GUID}"


def texts(stored: StoredProcesses, guid: str = GUID) -> list[str]:
    """Return the texts of the letters of a stored process."""
    process = ProcessFolder(stored.folder).find(guid)
    assert process
    return [SCHEMA.read(one.xml, LETTER)["text"] for one in process.instructions.filters]


# --- the list --------------------------------------------------------------------------------------------------------


def test_the_list_has_all_processes_and_why_one_cannot_be_used(admin: Browser, stored: StoredProcesses) -> None:
    """An empty list says what is missing."""
    assert admin.get("/processes").status_code == 200
    assert admin.sees("No scan processes are stored.")

    stored.store(name="Archive")
    stored.store(id=GUID.replace("7", "8"))
    (stored.folder / f"{GUID.replace('7', '8')}.xml").write_bytes(b"<oops")
    admin.get("/processes")

    assert admin.sees("Archive")
    assert admin.sees("letter")
    assert admin.sees("XML that can be read")
    assert f'action="{PAGE}/test"' in admin.page
    assert f'href="/processes/{GUID.replace("7", "8")}/xml"' in admin.page


def test_an_operator_tests_and_does_not_edit(browser: Callable[..., Browser], stored: StoredProcesses) -> None:
    """The list is all of it; a test page needs a server, which none is here."""
    stored.store()
    operator = browser(Role.OPERATOR)

    assert operator.get("/processes").status_code == 200
    assert f'action="{PAGE}/test"' in operator.page
    assert f'href="{PAGE}"' not in operator.page
    assert operator.post(f"{PAGE}/test").status_code == 503
    assert operator.sees("postscan serve")
    assert operator.get(PAGE).status_code == 403


@pytest.mark.parametrize("path", ["", "/xml", "/remove"])
@pytest.mark.parametrize("guid", [GUID, "none", "..%2f..%2fetc", "{" + GUID + "}"])
def test_what_is_not_stored_is_not_there(admin: Browser, path: str, guid: str) -> None:
    """Whatever the name is."""
    assert admin.get(f"/processes/{guid}{path}").status_code == 404


# --- the form --------------------------------------------------------------------------------------------------------


def test_a_form_that_is_opened_and_saved_changes_no_byte(admin: Browser, stored: StoredProcesses) -> None:
    """As the browser has it, with line ends of its own."""
    stored.store(letter("one"), FilterInstructions(RAW, b"<r xmlns='urn:test:raw'> <a/> </r>"))
    xml = stored.folder / f"{GUID}.xml"
    xml.write_bytes(xml.read_bytes().replace(b"<psp:Filter>", b"<!-- by hand -->\r\n<psp:Filter >"))
    before = stored.all()
    admin.get(PAGE)
    form = shown_form(admin.page)
    response = admin.post(PAGE, form)

    assert (form["f1.text"], form["name"]) == (["one"], ["Archive"])
    assert (response.status_code, response.headers["location"]) == (303, PAGE)
    assert stored.all() == before


def test_an_edit_is_checked_first_and_then_stored(admin: Browser, stored: StoredProcesses, core: Engine) -> None:
    """The check stores nothing and shows the names of the documents; the audit trail says who has stored it."""
    stored.store(letter("one"), letter("two"))
    before = stored.all()
    admin.get(PAGE)
    edited = shown_form(admin.page) | {
        "f2.text": "new",
        "document_root": "Paper",
        "f1.position": "2",
        "f2.position": "1",
    }
    checked = admin.post(PAGE, edited | {"do": "check"})
    assert (checked.status_code, admin.sees("It can be stored."), admin.sees("Paper_ann@")) == (200, True, True)
    assert stored.all() == before

    assert admin.post(PAGE, edited | {"do": "save"}).status_code == 303
    assert texts(stored) == ["new", "one"]
    lines = list(core.audit_trail.older_than(core.clock.now() + timedelta(days=1), person(Role.ADMINISTRATOR)))
    assert (lines[-1].who, lines[-1].verb, lines[-1].token) == ("link:administrator", "stored", GUID)


def test_a_process_is_made_by_the_form_alone(admin: Browser, stored: StoredProcesses) -> None:
    """A filter is added, its fields are filled in, and what was typed before stays."""
    admin.get("/processes/new")
    form = shown_form(admin.page) | {"name": "Mail <1>", "users": "ann@fabrikam.example"}
    assert admin.post("/processes/new", form | {"do": "add", "filter": LETTER}).status_code == 200
    form = shown_form(admin.page) | {"n1.text": "hello", "n1.to": "a\r\nb"}
    made = admin.post("/processes/new", form | {"do": "save"})
    guid = made.headers["location"].rpartition("/")[2]

    assert (form["name"], form["new"]) == (["Mail <1>"], [LETTER])
    assert texts(stored, guid) == ["hello"]
    assert admin.get(made.headers["location"]).status_code == 200
    assert admin.sees("Mail <1>")
    assert admin.sees("Saved.")


def test_a_form_that_is_sent_twice_makes_one_process(admin: Browser, stored: StoredProcesses) -> None:
    """A second click, or a page that is loaded again; another form with the same GUID replaces nothing."""
    admin.get(f"/processes/new?filter={LETTER}")
    form = shown_form(admin.page) | {"name": "Mail", "n1.text": "hello", "do": "save"}
    first, second = (admin.post("/processes/new", form).headers["location"] for _ in range(2))

    assert first == second
    assert len(stored.all()) == 2
    assert admin.post("/processes/new", form | {"n1.text": "other"}).status_code == 409
    assert texts(stored, first.rpartition("/")[2]) == ["hello"]


def test_errors_stand_beside_their_fields(admin: Browser, stored: StoredProcesses) -> None:
    """All that are wrong, with what was typed; nothing is stored."""
    stored.store()
    before = stored.all()
    admin.get(PAGE)
    wrong = admin.post(PAGE, shown_form(admin.page) | {"name": " ", "f1.text": "t" * 21, "f1.size": "a6", "do": "save"})

    assert wrong.status_code == 400
    for control in ("name", "f1.text", "f1.size"):
        assert f'id="c-{control}-wrong"' in admin.page
    assert admin.page.count('aria-invalid="true"') == 3
    assert shown_form(admin.page)["f1.text"] == ["t" * 21]
    assert stored.all() == before


def test_what_a_filter_itself_refuses_stands_beside_its_field(
    admin: Browser, stored: StoredProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that cannot be asked now is no error of the person."""
    stored.store()
    admin.get(PAGE)
    form = shown_form(admin.page) | {"f1.text": "rude", "do": "save"}

    def refuse(*_: object) -> None:
        raise InvalidArgument(f"{{{LETTER}}}Text", "rude", "kind words, in filter 1")

    monkeypatch.setattr("postscan.console.pages.processes.checks.check", refuse)
    assert admin.post(PAGE, form).status_code == 400
    assert admin.sees("'rude' is not valid; expected kind words")
    assert 'id="c-f1.text-wrong"' in admin.page

    def late(*_: object) -> None:
        raise Unavailable("filter 1 did not reply")

    monkeypatch.setattr("postscan.console.pages.processes.checks.check", late)
    admin.post(PAGE, form)
    assert admin.sees("it cannot be checked now: filter 1 did not reply")
    assert texts(stored) == ["one"]


def test_a_form_of_older_files_stores_nothing_and_shows_what_differs(admin: Browser, stored: StoredProcesses) -> None:
    """Another administrator was faster, in the form or in the XML."""
    stored.store()
    admin.get(PAGE)
    form = shown_form(admin.page) | {"f1.text": "mine", "do": "save"}
    admin.get(f"{PAGE}/xml")
    text = shown_form(admin.page)
    admin.get(PAGE)
    assert admin.post(PAGE, shown_form(admin.page) | {"f1.text": "theirs", "do": "save"}).status_code == 303

    assert admin.post(PAGE, form).status_code == 409
    assert admin.sees("theirs")
    assert admin.sees("mine")
    assert admin.post(f"{PAGE}/xml", text | {"do": "save"}).status_code == 409
    assert admin.sees("<Text>theirs</Text>")
    assert texts(stored) == ["theirs"]


def test_filters_that_no_form_has_cannot_be_added(admin: Browser, stored: StoredProcesses) -> None:
    """Neither by the URL nor by a form that was made by hand."""
    stored.store()

    assert admin.get(f"/processes/new?filter={RAW}").status_code == 400
    assert admin.post("/processes/new", {"new": [LETTER] * 40, "do": "add"}).status_code == 400


def test_a_full_disk_leaves_the_process_as_it_was(
    admin: Browser, stored: StoredProcesses, core: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page says why; the audit trail has the attempt and its failure."""
    stored.store()
    before = stored.all()
    admin.get(PAGE)
    form = shown_form(admin.page) | {"name": "New", "f1.text": "new", "do": "save"}

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("postscan.soap.processes.file_pair.os.fsync", full)
        assert admin.post(PAGE, form).status_code == 503
    assert admin.sees("No space left on device")
    assert stored.all() == before
    assert [path for path in stored.folder.iterdir() if "-" in path.name and path.name not in before] == []
    lines = list(core.audit_trail.older_than(core.clock.now() + timedelta(days=1), person(Role.ADMINISTRATOR)))
    assert [(line.verb, line.outcome) for line in lines[-2:]] == [("stored", "done"), ("stored", "failed")]


# --- the XML ---------------------------------------------------------------------------------------------------------


def test_the_text_of_the_files_is_stored_byte_for_byte(admin: Browser, stored: StoredProcesses) -> None:
    """Opened and saved it is the same; a change is the only one; line ends stay those of the file."""
    stored.store(FilterInstructions(RAW, b'<r xmlns="urn:test:raw"/>'))
    xml = stored.folder / f"{GUID}.xml"
    xml.write_bytes(b"\xef\xbb\xbf" + xml.read_bytes().replace(b"\n", b"\r\n"))
    before = stored.all()
    admin.get(f"{PAGE}/xml")
    form = shown_form(admin.page)
    admin.post(f"{PAGE}/xml", form | {"do": "save"})
    unchanged = stored.all()
    changed = form | {"xml": form["xml"][0].replace('<r xmlns="urn:test:raw"', '<r xmlns="urn:test:raw" a="&lt;b"')}
    admin.post(f"{PAGE}/xml", changed | {"do": "save"})

    assert unchanged == before
    assert stored.all()[f"{GUID}.xml"] == before[f"{GUID}.xml"].replace(b':raw"/>', b':raw" a="&lt;b"/>')


def test_a_broken_process_is_corrected_as_text(admin: Browser, stored: StoredProcesses) -> None:
    """Its form leads there, the reason stands above it, and a text that is wrong too is not stored."""
    good = stored.store()
    (stored.folder / f"{GUID}.xml").write_bytes(b"<oops")
    assert admin.get(PAGE).headers["location"] == f"{PAGE}/xml"
    admin.get(f"{PAGE}/xml")
    assert admin.sees("XML that can be read")
    form = shown_form(admin.page)

    assert admin.post(f"{PAGE}/xml", form | {"xml": "<still>wrong", "do": "save"}).status_code == 400
    assert (stored.folder / f"{GUID}.xml").read_bytes() == b"<oops"
    assert admin.post(f"{PAGE}/xml", form | {"xml": (good.xml or b"").decode(), "do": "save"}).status_code == 303
    assert texts(stored) == ["one"]


def test_a_new_process_is_stored_of_its_text(admin: Browser, stored: StoredProcesses) -> None:
    """For filters without fields."""
    xml = (stored.store(FilterInstructions(RAW, b'<r xmlns="urn:test:raw"/>')).xml or b"").decode()
    admin.get("/processes/new/xml")
    made = admin.post("/processes/new/xml", shown_form(admin.page) | {"xml": xml, "do": "save"})

    assert made.status_code == 303
    assert len(stored.all()) == 4


def test_secrets_in_instructions_are_on_no_page(admin: Browser, stored: StoredProcesses, core: Engine) -> None:
    """The form says that there is one, and leaves it as it is; the XML, which has it, is not shown and not taken."""
    secret = tuple(replace(one, secret=one.name == "text") for one in SCHEMA.parameters)
    info = FilterInfo(LETTER, "Print", "", 5.0, instructions=replace(SCHEMA, parameters=secret))
    catalogue = Catalogue((Plugin("printers", "d", "1", PluginState.READY, filters=(info,)),))
    core.remembered_catalogue = RememberedCatalogue(lambda: catalogue, core.clock)
    stored.store(letter("swordfish"))
    before = stored.all()
    admin.get(PAGE)
    form = shown_form(admin.page)

    assert "swordfish" not in admin.page
    assert admin.sees("A value is set.")
    admin.post(PAGE, form | {"do": "save"})
    assert stored.all() == before
    admin.post(PAGE, form | {"f1.text": "marlin", "f1.size": "a6"})
    assert "marlin" not in admin.page
    for broken in (False, True):
        if broken:
            (stored.folder / f"{GUID}.toml").write_bytes(b"oops")
        assert admin.get(f"{PAGE}/xml").status_code == 403
        assert admin.post(f"{PAGE}/xml", {"xml": "<a/>", "do": "save"}).status_code == 403
        assert "swordfish" not in admin.page


# --- removal, hostile texts ------------------------------------------------------------------------------------------


def test_a_process_is_removed_after_a_question(admin: Browser, stored: StoredProcesses) -> None:
    """Only as it was shown."""
    stored.store()
    admin.get(f"{PAGE}/remove")
    form = shown_form(admin.page)

    assert admin.post(f"{PAGE}/remove", {"revision": "0" * 64}).status_code == 409
    assert len(stored.all()) == 2
    assert admin.post(f"{PAGE}/remove", form).headers["location"] == "/processes"
    assert stored.all() == {}


def test_hostile_texts_stay_text(admin: Browser, stored: StoredProcesses) -> None:
    """In names, fields, errors and differences."""
    evil = '"><img src=x onerror=alert(1)>\u202e</textarea><script>'
    stored.store(letter("<img onerror>"), name=evil)
    admin.get(PAGE)
    form = shown_form(admin.page)
    pages = [admin.page]
    for path, sent in (
        (PAGE, form | {"f1.size": evil, "do": "check"}),
        (PAGE, form | {"name": evil * 2, "revision": "old"}),
        (f"{PAGE}/xml", {"xml": evil, "properties": evil, "do": "save"}),
    ):
        admin.post(path, sent)
        pages.append(admin.page)
    for path in ("/processes", f"{PAGE}/xml", f"{PAGE}/remove"):
        admin.get(path)
        pages.append(admin.page)

    assert form["name"] == [evil]
    assert [page for page in pages if "<img" in page or "<script>" in page] == []
