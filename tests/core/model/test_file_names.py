"""Names for what postscan writes."""

from __future__ import annotations

import contextlib
import tempfile
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import ANNA, AnyProcess
from hypothesis import assume, example, given
from hypothesis import strategies as st
from works import Works

from postscan.core.engine import Engine
from postscan.core.errors import SettingsError
from postscan.core.model import file_names, formats
from postscan.core.settings import load
from postscan.core.settings.engine import NamingSettings

MORNING = datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)
FORMATS = st.sampled_from([*formats.MEDIA, "tiff-single-g4", "tiff-multi-jpeg-tn2", "x-vendor:raw"])

HOSTILE = [
    *("", ".", "..", "...", " ", "/", "\\", "../../etc/passwd", "..\\..\\x", "a/b", "a\\b", "x:y", "a\x00b", "~root"),
    *("con", "CON", "Con.txt", "con .txt", "aux.", "NUL", "com1", "LPT9.tif", "com\u00b9", "CONIN$", "nul" + " " * 220),
    *("-rf", ".hidden", "name.", "name ", "name. . ", "a\nb", "a\x1b[31mb", "a\u202egnp.exe", "a\u2028b", "\u3000x"),
    *("con" + " " * 200 + "x", "e\u0301" * 150, "ä" * 255, "😀" * 255, "\ud800", "a\u200db", "PROGRA~1", "-.~ con"),
]
names = st.text(max_size=300) | st.text(alphabet="./\\~-: aCONcon1\u0301\u202e\x00\n😀", max_size=300)


def hostile(test):
    """Run a property on every name of T-F1, besides those that Hypothesis finds."""
    for name in HOSTILE:
        test = example(name)(test)
    return test


@hostile
@given(names)
def test_a_component_is_always_one_component(text):
    """Whatever a device sends stays directly below the folder that it was meant for (T-F1, PSP-017)."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, file_names.component(text))

        assert target.resolve().parent == Path(folder).resolve()


@hostile
@given(names)
def test_a_component_can_be_made_and_is_found_under_its_name(text):
    """The file system takes it as it is."""
    with tempfile.TemporaryDirectory() as folder:
        name = file_names.component(text)
        Path(folder, name).touch(exist_ok=False)

        assert [path.name for path in Path(folder).iterdir()] == [name]


@hostile
@given(names)
def test_a_component_is_fit_for_windows_too(text):
    """No forbidden character, no device, no blank or dot at the end, nothing that looks like an option or a home."""
    name = file_names.component(text)

    assert not set(name) & set('<>:"/\\|?*')
    assert name.isprintable()
    assert name[0] not in "-.~ "
    assert name[-1] not in ". "
    assert name.split(".")[0].strip().lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9", "com¹", "conin$"}


@hostile
@given(names)
def test_a_component_goes_in_unchanged(text):
    """Cleaning twice is cleaning once."""
    once = file_names.component(text)

    assert file_names.component(once) == once


@hostile
@given(names)
def test_a_component_is_not_too_long(text):
    """At most 200 characters, and few enough bytes for a number behind it."""
    name = file_names.component(text)

    assert 0 < len(name) <= 200
    assert len(name.encode()) <= 240


@hostile
@given(names)
def test_a_component_is_in_the_composed_form(text):
    """File systems that compose names by themselves would else find two of them to be one."""
    assert unicodedata.is_normalized("NFC", file_names.component(text))


def test_an_empty_root_becomes_scan():
    """What has no name left gets one (ws-dsp.md section 10)."""
    assert file_names.component(" .. ") == "Scan"


def test_an_ordinary_name_is_left_as_it_is():
    """Letters of any script, digits, dots, blanks and most marks are fine."""
    for name in ("Invoice 2026-03", "Rechnung_Süd (1)", "請求書", "anna@fabrikam.example", "a.b.c", "100% & more"):
        assert file_names.component(name) == name


VARIANTS = [
    *(("A@x", "a@X"), ("a@x", "a@x."), ("a@x", "a@x "), ("a@x", " a@x"), ("DOM\\a", "DOM/a"), ("DOM\\a", "DOM_a")),
    *(("é@x", "e\u0301@x"), ("a@x", "а@x"), ("ﬁ@x", "fi@x"), ("a@x", "a\u200b@x"), ("a b@x", "a  b@x"), ("", "user")),
    *(("con", "_con"), (".", ".."), ("/", "\\"), ("x" * 250, "x" * 251), ("a@x", "a@x\x00"), ("S-1-5-21", "S-1-5-21 ")),
]


@pytest.mark.parametrize(("one", "other"), VARIANTS)
def test_similar_users_have_different_folders(one, other):
    """Case, blanks, dots, look-alikes, other normal forms: variants are other users (T-F2, T-O2)."""
    assert file_names.user_folder(one) != file_names.user_folder(other)


@given(names, names)
def test_two_users_never_share_a_folder(one, other):
    """The mapping is injective (T-F2)."""
    assert (file_names.user_folder(one) == file_names.user_folder(other)) == (one == other)


@hostile
@given(names)
def test_nobody_can_take_a_name_that_looks_like_another_users_folder(user):
    """The folder of a user, used as a user name, gives another folder, unless it is the user's own name."""
    folder = file_names.user_folder(user)

    assert file_names.user_folder(folder) != folder or folder == user


@hostile
@given(names)
def test_a_user_folder_is_one_component(user):
    """It keeps the promises of a component (T-F2, PSP-015, PSP-017)."""
    folder = file_names.user_folder(user)

    assert file_names.component(folder) == folder


def test_an_ordinary_user_has_a_folder_of_exactly_that_name():
    """`user@domain`, as people expect it (PSP-015)."""
    assert file_names.user_folder("anna@fabrikam.example") == "anna@fabrikam.example"


@hostile
@given(names)
@example("😀" * 255)
def test_a_document_name_is_short_enough(root):
    """At most 200 characters, and with a number behind it still at most 255 bytes."""
    name = file_names.document_name(root, root, MORNING, 2**31 - 1, "x-vendor:raw")

    assert len(name) <= 200
    assert len(file_names.numbered(name, 99_999).encode()) <= 255


@given(names, names, st.integers(1, 2**31 - 1), FORMATS)
def test_a_document_name_is_one_component(root, user, document_id, format):
    """Root and user are made safe, and stay so when they are put together (T-F1, DSP-081)."""
    name = file_names.document_name(root, user, MORNING, document_id, format)

    assert file_names.component(name) == name
    assert name.endswith(f"_20260302-094107_{document_id:03d}{formats.suffix(format)}")


def test_a_document_name_tells_root_user_time_and_id():
    """The pattern of ws-dsp.md section 10."""
    name = file_names.document_name("Invoice", "anna@fabrikam.example", MORNING, 7, "png")

    assert name == "Invoice_anna@fabrikam.example_20260302-094107_007.png"


def test_the_time_in_a_name_is_in_utc():
    """Two servers in two zones name the same moment alike."""
    there = MORNING.astimezone(timezone(timedelta(hours=9)))

    assert file_names.document_name("a", "b", there, 1, "png") == file_names.document_name("a", "b", MORNING, 1, "png")


# --- templates ---------------------------------------------------------------------------------------------------


def named(template, **changes):
    """Return the name of a document by this template."""
    values = {"root": "Invoice", "user": "anna@fabrikam.example", "created": MORNING, "document_id": 7, "format": "png"}
    return file_names.document_name(**values | {"process": "Archive"} | changes, template=template)


texts = st.text(alphabet="aZ09 ._-~()+%äé\u0301請😀", max_size=12)
dates = st.lists(st.sampled_from([f"%{one}" for one in file_names.DIRECTIVES] + ["-", "_", ".", "é"]), max_size=6)
fields = st.permutations(["{root}", "{user}", "{process}"]).flatmap(
    lambda all: st.integers(0, 3).map(lambda number: all[:number])
)


@st.composite
def templates(draw):
    """Draw templates that can be used: each field at most once, dates as they come, text between all of them."""
    pages = st.sampled_from(["{page}", "{page:d}", "{page:02d}", "{page:09d}"])
    when = st.lists(dates.map(lambda form: f"{{date:{''.join(form)}}}"), max_size=2)
    pieces = draw(st.permutations([*draw(fields), *draw(when), draw(pages)]))
    template = draw(texts) + "".join(piece + draw(texts) for piece in pieces)
    try:
        file_names.pieces(template)
    except ValueError:
        assume(False)
    return template


@given(templates(), names, names, names, st.timedeltas(timedelta(-45_000), timedelta(2_900_000)), FORMATS)
@example("com1.{root}{page}", "x" * 200, "", "", timedelta(), "png")
@example("." * 90 + "{page}", "", "", "", timedelta(), "png")
@example("{process}{root}\u0301{user}{page}", "é" * 200, "\u0323" * 200, "é" * 200, timedelta(), "png")
def test_whatever_the_template_and_the_values_a_name_is_one_component(template, root, user, process, later, format):
    """Nobody leads a document elsewhere, hides it, or makes its name too long for the file system (T-F1, PSP-017)."""
    changes = {"root": root, "user": user, "process": process, "created": MORNING + later}
    name = named(template, **changes, format=format, document_id=1234567890)

    assert file_names.component(name) == name
    assert len(name) <= 200
    assert len(file_names.numbered(name, 99_999).encode()) <= 255
    assert name.endswith(formats.suffix(format))
    assert "1234567890" in name


@given(names, names, st.integers(1, 2**31 - 1), FORMATS)
def test_without_a_template_names_are_what_they_always_were(root, user, document_id, format):
    """An update must not rename the documents of a job that is being delivered."""
    tail = f"_20260302-094107_{document_id:03d}{formats.suffix(format)}"
    name = file_names.document_name(root, user, MORNING, document_id, format)

    assert named(file_names.TEMPLATE, root=root, user=user, document_id=document_id, format=format) == name
    assert name.endswith(tail)
    short_root, short_user = file_names.component(root), file_names.component(user, "user")
    if len(short_root.encode()) <= 100 and len(short_user.encode()) <= 64:
        assert name == f"{short_root}_{short_user}{tail}"


def test_every_field_goes_where_the_template_says():
    """With text around it; a date and a page in the form that is asked for."""
    template = "{date:%Y-%m-%d} {process} - {root}, {user} {{p. {page:d}}}"

    assert named(template) == "2026-03-02 Archive - Invoice, anna@fabrikam.example {p. 7}.png"
    assert named("{date:%G-W%V %H%M}_{page}") == "2026-W10 0941_007.png"


def test_a_user_who_is_called_like_a_path_leads_nowhere():
    """Each field is made safe by itself (T-F1)."""
    assert named("{user}_{page}", user="../../x") == "_.._x_007.png"
    assert named("{process}{page}", process="..") == "Process007.png"


def test_a_value_is_never_taken_for_a_template():
    """Braces in a name are braces."""
    assert named("{root}_{page}", root="{user.__class__}") == "{user.__class__}_007.png"


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{usr}_{page}", "{usr} is no field; expected one of {root}, {user}, {date}, {process}, {page}"),
        ("{user.__class__}_{page}", "{user.__class__} is no field"),
        ("{user[0]}_{page}", "{user[0]} is no field"),
        ("{0}_{page}", "{0} is no field"),
        ("{}_{page}", "{} is no field"),
        ("{user!r}_{page}", "{user!r} has a conversion"),
        ("{user:>999999999}_{page}", "{user:>999999999} has a form"),
        ("{user:{root}}_{page}", "{user:{root}} has a form"),
        ("{page:999999999d}", "is no form of a number"),
        ("{page:{page}}", "is no form of a number"),
        ("{date:%A}_{page}", "%A is no part of a date here; expected one of %Y %y"),
        ("{date:%}_{page}", "% is no part of a date here"),
        ("{date:{root}}_{page}", "{date:{root}} has a field in its form"),
        ("{date:%H:%M}_{page}", "a file name cannot hold ':'"),
        ("{user}/{page}", "a file name cannot hold '/'"),
        ("..\\{page}", r"a file name cannot hold '\\'"),
        ("a\u202e{page}", r"a file name cannot hold '\u202e'"),
        ("{root}  {page}", "a file name cannot hold '  '"),
        ("{root}_{page", "expected '}'"),
        ("{root}_{page}}", "Single '}'"),
        ("{root}_{user}", "{page} is missing"),
        ("", "{page} is missing"),
        ("{page}-{page:d}", "{page} is there more than once"),
        ("{root}{root}{page}", "{root} is there more than once"),
        ("x" * 101 + "{page}", "take 101 bytes; expected at most 100"),
        ("{date}" * 7 + "{page}", "take 105 bytes; expected at most 100"),
    ],
)
def test_a_template_that_could_mean_anything_else_is_refused(template, fault):
    """The sentence names what is wrong; Python's own formatting is never asked (PSP-017)."""
    with pytest.raises(ValueError) as caught:
        named(template)

    assert fault in str(caught.value)


def test_a_template_that_cannot_be_used_is_refused_when_the_settings_are_read(tmp_path):
    """Not by the first job; the sentence names the file, the key and the fault."""
    file = tmp_path / "postscan.toml"
    file.write_text("[naming]\ntemplate = '{usr}_{page}'\n")

    with pytest.raises(SettingsError) as caught:
        load(file)
    assert str(caught.value) == (
        f"{file}: naming.template: {{usr}} is no field; expected one of {{root}}, {{user}}, {{date}}, {{process}}, "
        "{page} (got '{usr}_{page}')"
    )


def test_filters_get_the_names_of_the_settings(core):
    """The date is that of the job, so that a run after a restart names its documents alike."""
    template = "{date:%Y-%m-%d %H%M%S} {process} {page:d}"
    named = Engine(core.settings.model_copy(update={"naming": NamingSettings(template=template)}), AnyProcess())
    with contextlib.closing(named), named.running():
        works = Works(named, ANNA)
        job = works.ended(works.start("copy", images=2))

    when = f"{job.created:%Y-%m-%d %H%M%S}"
    assert works.delivered() == [f"{when} Test process 1.png", f"{when} Test process 2.png"]


@pytest.mark.parametrize(
    ("format", "suffix", "media"),
    [
        ("dib", ".bmp", "image/bmp"),
        ("exif", ".jpg", "image/jpeg"),
        ("jfif", ".jpg", "image/jpeg"),
        ("jbig", ".jbg", "image/jbig"),
        ("jpeg2k", ".jp2", "image/jp2"),
        ("pdf-a", ".pdf", "application/pdf"),
        ("png", ".png", "image/png"),
        ("tiff-single-g4", ".tif", "image/tiff"),
        ("tiff-multi-jpeg-tn2", ".tif", "image/tiff"),
        ("xps", ".xps", "application/vnd.ms-xpsdocument"),
        ("x-vendor:raw", ".bin", "application/octet-stream"),
    ],
)
def test_each_format_has_its_extension_and_media_type(format, suffix, media):
    """The table of ws-dsp.md section 10."""
    assert (formats.suffix(format), formats.media_type(format)) == (suffix, media)


def test_a_taken_name_gets_a_number_before_its_extension():
    """`a.png`, `a-2.png`, `a-3.png` (DSP-082)."""
    assert [file_names.numbered("a.b.png", n) for n in (1, 2, 3)] == ["a.b.png", "a.b-2.png", "a.b-3.png"]
    assert file_names.numbered("plain", 2) == "plain-2"
    assert file_names.numbered(".hidden", 2) == ".hidden-2"
