"""Names that libxml2 may remember."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import messages
import pytest
from collector import errors_in_cycles

from postscan.soap.message import envelope
from postscan.soap.xml.name_cache import NameCache, in_own_thread


def _resident() -> int:
    """Return the bytes of memory that this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_what_devices_say_is_learned():
    """The second message of a kind is familiar, whatever values it carries."""
    names = NameCache()
    first, second = messages.message("SendImage"), messages.message("SendImage").replace(b"p1%2Bfront", b"p2")
    names.admits(first)
    room = names._room

    assert names.admits(second)
    assert names._room == room


def test_learning_ends_when_there_is_no_more_room():
    """A stranger cannot make the names grow for ever; what was learned before stays familiar."""
    names = NameCache(most_bytes=64)
    names.admits(b"<known/>")

    assert not names.admits(b"<%s/>" % (b"n" * 64))
    assert names.admits(b"<known/>")


@pytest.mark.parametrize(
    "document",
    [
        b"""<a b=">" evil="1"/>""",
        b"""<a b='>' evil="1"/>""",
        b"""<a b="'" c='>' evil="1"/>""",
        b"""<a b='">"' evil=""/>""",
        b"<a><!-- b --></a>",
        b"<a><![CDATA[<b]]></a>",
    ],
)
def test_a_tag_that_hides_names_is_never_familiar(document):
    """A `>` in a value, a comment or a CDATA section could hide names from the look at the tags."""
    names = NameCache()

    assert not names.admits(document)
    assert not names.admits(document)


def test_a_namespace_counts_as_a_name():
    """libxml2 remembers namespaces, too; an attribute within the text of one is no way around."""
    names = NameCache(most_bytes=200)
    accepted = [names.admits(b"""<a xmlns:b='u c="%d"'/>""" % number) for number in range(100)]

    assert accepted.count(True) < 12


def test_other_attribute_values_cost_no_room():
    """Every SendImage has another Content-ID."""
    names = NameCache(most_bytes=200)

    assert all(names.admits(b'<a href="cid:%d"/>' % number) for number in range(100))


def test_work_done_apart_returns_and_raises_like_any_other():
    """The thread is invisible to its caller."""
    assert in_own_thread(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        in_own_thread(lambda: 1 // 0)


def test_an_error_of_work_done_apart_leaves_nothing_to_the_garbage_collector():
    """T-H6: the frames of its traceback have the document."""
    with errors_in_cycles() as found, contextlib.suppress(ZeroDivisionError):
        in_own_thread(lambda: 1 // 0)

    assert found == []


def test_new_names_in_every_message_do_not_fill_the_memory():
    """Without the names each of these messages would leave a MiB behind, for ever (T-X4)."""

    def strange(number: int) -> bytes:
        names = "".join(f"<n{number}_{n}_{'x' * 80}/>" for n in range(9000))
        return messages.envelope(messages.headers("X"), f"<a>{names}</a>")

    for number in range(5):
        envelope.read(strange(number))
    before = _resident()
    for number in range(5, 35):
        envelope.read(strange(number))

    assert _resident() - before < 12 << 20
