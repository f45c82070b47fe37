"""The list of documents that a filter makes, on both sides of the pipe."""

from __future__ import annotations

import pytest

from postscan.core.filters.delivery import changes
from postscan.core.filters.delivery.changes import Changes, Entry


@pytest.fixture
def list_of_three(tmp_path):
    """Documents 1, 2 and 3."""
    return Changes([(1, "png"), (2, "png"), (3, "jfif")], tmp_path)


@pytest.fixture
def file(tmp_path):
    """Something that a filter has made."""
    path = tmp_path / "made.pdf"
    path.write_bytes(b"made")
    return path


def test_a_filter_that_changes_nothing_says_nothing(list_of_three):
    """The filters after it get what it got."""
    assert list_of_three.entries is None


def test_a_replaced_document_keeps_its_id_and_its_place(list_of_three, file):
    """It is still the same document to the filters that follow."""
    list_of_three.replace(2, file, "pdf")

    assert list_of_three.entries == [Entry(1, "png", None), Entry(2, "pdf", 0), Entry(3, "jfif", None)]


def test_what_is_added_comes_last_or_behind_another_one_in_the_order_of_the_calls(list_of_three, tmp_path):
    """So a page can be cut in two, or three."""
    for name, after in (("a", 1), ("b", 1), ("c", None)):
        (tmp_path / name).write_bytes(b"x")
        list_of_three.add(tmp_path / name, "png", after)

    assert [(one.id, one.made) for one in list_of_three.entries or []] == [
        (1, None), (None, 0), (None, 1), (2, None), (3, None), (None, 2)
    ]  # fmt: skip


def test_a_file_that_was_handed_over_cannot_be_changed_any_more(list_of_three, file, tmp_path):
    """The filter may use the same name for its next one."""
    list_of_three.replace(1, file, "pdf")
    file.write_bytes(b"next")
    list_of_three.replace(2, file, "pdf")

    assert [(tmp_path / changes.FOLDER / number).read_bytes() for number in "01"] == [b"made", b"next"]


def test_a_file_elsewhere_is_copied_and_stays(list_of_three, tmp_path_factory):
    """The bytes of another document, say, belong to the server."""
    elsewhere = tmp_path_factory.mktemp("spool") / "image"
    elsewhere.write_bytes(b"image")
    list_of_three.replace(1, elsewhere, "png")

    assert elsewhere.read_bytes() == b"image"


def test_a_document_that_was_removed_is_not_there_any_more(list_of_three, file):
    """A mistake of the author has a name."""
    list_of_three.remove(2)

    for mistake in (lambda: list_of_three.remove(2), lambda: list_of_three.replace(2, file, "pdf")):
        with pytest.raises(ValueError, match="document 2 is missing"):
            mistake()


def test_a_format_that_nobody_knows_and_a_file_that_is_not_there_are_refused(list_of_three, file, tmp_path):
    """At the call, where the author can see it."""
    with pytest.raises(ValueError, match="'docx' is not a format; expected one of"):
        list_of_three.replace(1, file, "docx")
    with pytest.raises(ValueError, match="is not a file"):
        list_of_three.add(tmp_path / "nowhere", "png")

    assert list_of_three.entries is None


def test_a_list_crosses_the_pipe_as_it_is(list_of_three, file):
    """Told and heard are the same."""
    list_of_three.replace(2, file, "pdf")
    list_of_three.remove(1)

    assert changes.decode(changes.encode(list_of_three.entries), [1, 2, 3]) == list_of_three.entries


@pytest.mark.parametrize(
    "nonsense",
    [
        "list", [1], [[1, "png"]], [[1, "png", None, None]], [[1.5, "png", None]], [[True, "png", None]],
        [[None, "png", None]], [[None, "png", -1]], [[None, "png", "../../etc"]], [[9, "png", None]],
        [[1, "png", 1 << 31]], [[1 << 31, "png", None]], [["x" * 10_000, "png", 0]],
        [[1, "png", None], [1, "png", None]], [[1, "exe", 0]], [[1, None, 0]], [[1, "tiff-/../..", 0]],
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_not_heard(nonsense):
    """A worker is a stranger (ruling 10)."""
    with pytest.raises(ValueError, match=r".") as caught:
        changes.decode(nonsense, [1, 2])

    assert len(str(caught.value)) < 300
