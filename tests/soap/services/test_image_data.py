"""The image of a SendImage request: in a part of the package, or inline in base64."""

from __future__ import annotations

import base64

import messages
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processing_messages import cut, read, refused

from postscan.soap.message.faults import Fault
from postscan.soap.xml import namespaces


def image(content: str) -> str:
    """Return a SendImage body with another ImageData."""
    start = messages.SEND_IMAGE.index("<dsp:ImageData>") + len("<dsp:ImageData>")
    return messages.SEND_IMAGE[:start] + content + "</dsp:ImageData></dsp:SendImageRequest>"


def include(href: str, namespace: str = namespaces.XOP, content: str = "") -> str:
    """Return an xop:Include."""
    return f'<x:Include xmlns:x="{namespace}" href="{href}">{content}</x:Include>'


@pytest.mark.parametrize("namespace", [namespaces.XOP, namespaces.XOP_2003])
def test_an_included_image_is_found(namespace):
    """Both namespaces of xop:Include are about (ws-dsp.md quirk 10, DSP-026)."""
    request = read("SendImage", image(f"\n  {include('cid:a%40b', namespace)}\n"))

    assert (request.cid, request.inline) == ("a%40b", None)


@pytest.mark.parametrize("scheme", ["http", "https", "file", "ftp", "data", "urn", "jar", "mailto", ""])
@pytest.mark.parametrize(
    "encode", [str, lambda href: href.replace(":", "%3A"), lambda href: href.replace(":", "&#58;")]
)
def test_no_other_reference_is_ever_followed(scheme, encode):
    """Only cid: is looked at; the fault names ImageData (O-19, DSP-029, T-M1)."""
    with pytest.raises(Fault) as caught:
        read("SendImage", image(include(encode(f"{scheme}://127.0.0.1/etc/passwd"))))
    assert caught.value.detail[0] == namespaces.dsp("ImageData")


@pytest.mark.parametrize("href", ["\\\\127.0.0.1\\share", "cid:", "cid", "", "xcid:a", "cid%3Aa"])
def test_a_reference_that_is_none_is_refused(href):
    """A UNC path, a scheme without a name, nothing at all (T-M1)."""
    with pytest.raises(Fault) as caught:
        read("SendImage", image(include(href)))
    assert caught.value.detail == (namespaces.dsp("ImageData"), href)


@pytest.mark.parametrize(
    "content",
    [
        include("cid:a") + include("cid:b"),
        include("cid:a") + "JVBERi0=",
        "JVBERi0=" + include("cid:a"),
        include("cid:a", content=include("cid:b")),
        include("cid:a", namespace="urn:x"),
        f"<a>{include('cid:a')}</a>",
        '<Include href="cid:a"/>',
    ],
    ids=range(7),
)
def test_an_include_stands_alone(content):
    """Two, nested ones, and ones beside text are no image (O-19, T-M2)."""
    with pytest.raises(Fault) as caught:
        read("SendImage", image(content))
    assert caught.value.detail[0] == namespaces.dsp("ImageData")


@pytest.mark.parametrize("name", ["JobToken", "DocumentId", "Format"])
def test_an_include_elsewhere_is_refused(name):
    """Only the image may be elsewhere (T-M2)."""
    xml = cut("SendImage", name)[1]

    assert refused("SendImage", xml, f"<dsp:{name}>{include('cid:a')}</dsp:{name}>")[0] == namespaces.dsp(name)


@given(st.binary(min_size=1))
def test_an_inline_image_is_decoded(data):
    """XOP is only an optimisation of base64 (DSP-027, O-18)."""
    request = read("SendImage", image(base64.b64encode(data).decode()))

    assert (request.cid, request.inline) == (None, data)


def test_white_space_within_base64_is_allowed():
    """Some write 76 characters a line."""
    encoded = base64.encodebytes(bytes(range(256))).decode()

    assert read("SendImage", image(f"\r\n{encoded}\t")).inline == bytes(range(256))


@pytest.mark.parametrize(
    "content", ["", "  ", "JVBERi0", "JVB=ERi0", "JVBE*Ri0", "JVBERi0=x", "====", "JVBE\u00a0Ri0=", "ÄÖÜ="]
)
def test_an_inline_image_that_is_none_is_refused(content):
    """Empty, cut short, or with other characters; the fault tells the size, not the data (O-19, O-33)."""
    with pytest.raises(Fault) as caught:
        read("SendImage", image(content))
    assert caught.value.detail == (namespaces.dsp("ImageData"), f"{len(content)} characters" if content.strip() else "")
