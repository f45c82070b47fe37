"""Namespaces and qualified names."""

from __future__ import annotations

import pytest

from postscan.soap.xml import namespaces


def test_the_prefixes_are_those_that_firmware_knows():
    """Some devices understand these very letters only, so they are part of the protocol (D19, DSP-010)."""
    assert list(namespaces.PREFIXES) == ["soap", "wsa", "wse", "dsp", "psp", "xop", "dsc", "dsd"]


def test_no_namespace_was_rewritten_to_https():
    """Documentation tools put https into namespaces; we never emit that (ws-dsp.md quirk 19)."""
    assert not [
        uri for uri in (*namespaces.PREFIXES.values(), *namespaces.LOCAL_PREFIXES.values()) if uri.startswith("https:")
    ]


@pytest.mark.parametrize(
    ("clark", "parts"),
    [("{urn:a}b", ("urn:a", "b")), ("b", ("", "b")), (namespaces.dsp("JobToken"), (namespaces.DSP, "JobToken"))],
)
def test_a_clark_name_comes_apart(clark, parts):
    """A qualified name is its namespace and its local name."""
    assert namespaces.split(clark) == parts
