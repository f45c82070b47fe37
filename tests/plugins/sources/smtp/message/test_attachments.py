"""Which attachments of a mail are its pages, in what order, and which mails are rejected for one of them."""

from __future__ import annotations

import email.policy
import zipfile
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path

import image_files
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mail_inlet import mail, page

from postscan.plugins import FileState, examine
from postscan.plugins.sources.smtp.incoming import IncomingMail, SpoolSpace
from postscan.plugins.sources.smtp.message.attachments import HTML, AttachmentRules, pages
from postscan.plugins.sources.smtp.message.screening import screen
from postscan.plugins.sources.smtp.replies import Rejected

RULES = AttachmentRules(("*.p7s", "*.VCF", "logo*.gif"), 1000)
CLIENT = "10.0.0.7"
TNEF = b"\x78\x9f\x3e\x22" + bytes(100)


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Callable[..., list[bytes]]]:
    """Return the pages of a mail; nothing of it is left at the end."""
    mails: list[IncomingMail] = []
    space = SpoolSpace(tmp_path, 1 << 30)

    def read(content: bytes | EmailMessage, rules: AttachmentRules = RULES) -> list[bytes]:
        mails.append(IncomingMail(tmp_path, space, CLIENT))
        raw = content.as_bytes(policy=email.policy.SMTP) if isinstance(content, EmailMessage) else content
        mails[-1].write(raw)
        return [path.read_bytes() for path in pages(mails[-1].content, mails[-1], rules)]

    yield read
    for one in mails:
        one.close()
    assert space.taken == 0
    assert list(tmp_path.iterdir()) == []


def built(*attachments: tuple[bytes, str, str], text: str = "The scan.", html: str = "") -> EmailMessage:
    """Return a mail with files, each with its type and its name."""
    result = EmailMessage(policy=email.policy.SMTP)
    result["Subject"] = "a scan"
    result.set_content(text)
    if html:
        result.add_alternative(html, subtype="html")
    for content, kind, name in attachments:
        maintype, subtype = kind.split("/")
        result.add_attachment(content, maintype, subtype, filename=name)
    return result


def shown(picture: bytes, *, html: str = '<img src="cid:logo@a">', disposition: str = "inline") -> EmailMessage:
    """Return a mail with a page, and a picture that its HTML may show."""
    result = built((page(), "image/png", "scan.png"), html=html)
    related = result.get_body(("html",))
    assert related is not None
    related.add_related(picture, "image", "png", cid="<logo@a>", filename="logo.png", disposition=disposition)
    return result


# --- pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(image_files.SAMPLES))
def test_every_kind_of_page_is_found_by_its_content(read: Callable[..., list[bytes]], name: str) -> None:
    """Scanners name types that are wrong, or none."""
    content = image_files.SAMPLES[name]().content

    assert read(built((content, "application/octet-stream", "scan"))) == [content]
    assert read(built((content, "image/gif", ""))) == [content]


def test_pages_keep_their_order(read: Callable[..., list[bytes]]) -> None:
    """That of the mail, also from one multipart to the next."""
    several = [page(b"%d" % number) for number in range(20)]

    assert read(mail(*several)) == several


def test_a_mail_may_be_a_page_itself(read: Callable[..., list[bytes]]) -> None:
    """Without any text beside it."""
    content = EmailMessage(policy=email.policy.SMTP)
    content.set_content(page(), "image", "png")

    assert read(content) == [page()]


def test_an_attached_mail_is_opened(read: Callable[..., list[bytes]]) -> None:
    """Also one within it, as in mails that were forwarded; its text is left out."""
    inner = built((page(b"in"), "image/png", "in.png"))
    middle = built((page(b"mid"), "image/png", "mid.png"))
    middle.add_attachment(inner)
    outer = built()
    outer.add_attachment(middle)

    assert read(outer) == [page(b"mid"), page(b"in")]


def test_a_page_of_another_type_with_text_is_no_text(read: Callable[..., list[bytes]]) -> None:
    """What begins like a page is one, if it has a name."""
    assert read(built((page(), "text/plain", "scan.png"))) == [page()]


# --- what is left out ---------------------------------------------------------------------------------------------


def test_text_and_signatures_are_left_out(read: Callable[..., list[bytes]]) -> None:
    """Also text with a name: mail servers attach footers."""
    content = built(
        (b"BM is the beginning of a text", "text/plain", "ATT00001.txt"),
        (b"<p>footer</p>", "text/html", "footer.htm"),
        (page(), "image/png", "scan.png"),
        (b"signature", "application/pkcs7-signature", "smime.p7s"),
        (b"signature", "application/pgp-signature", ""),
        (b"signature", "application/octet-stream", "SMIME.P7S"),
        (b"card", "application/octet-stream", "ann.vcf"),
        (b"GIF89a", "image/gif", "Logo1.GIF"),
        text="BM",
        html="<p>%PDF-</p>",
    )

    assert read(content) == [page()]


def test_a_small_picture_that_the_html_shows_is_left_out(read: Callable[..., list[bytes]]) -> None:
    """A logo in a signature, also of a kind that is no page."""
    assert read(shown(page(b"logo"))) == [page()]
    assert read(shown(b"GIF89a")) == [page()]
    assert read(shown(page(b"logo"), html='<img src="CID:logo%40a">')) == [page()]


@pytest.mark.parametrize(
    "content",
    [
        shown(page(b"photo", 2000)),
        shown(page(b"photo"), html="<p>logo@a</p>"),
        shown(page(b"photo"), disposition="attachment"),
        shown(page(b"photo"), html='<img src="cid:logo@another">'),
    ],
    ids=["large", "not shown", "attached", "another"],
)
def test_another_picture_is_a_page(read: Callable[..., list[bytes]], content: EmailMessage) -> None:
    """Telephones put photographs into the text of a mail."""
    assert len(read(content)) == 2


def test_pictures_are_never_left_out_if_the_settings_say_so(read: Callable[..., list[bytes]]) -> None:
    """With a size of 0."""
    assert len(read(shown(page(b"logo")), AttachmentRules((), 0))) == 2


def test_html_that_cannot_be_read_shows_nothing(read: Callable[..., list[bytes]]) -> None:
    """The pages are read all the same; a picture is one then."""
    content = shown(page(b"logo")).as_bytes().replace(b'<img src="cid:logo@a">', b"=" * 100)

    assert len(read(content)) == 2


def test_the_html_of_a_mail_is_searched_to_a_bound(read: Callable[..., list[bytes]]) -> None:
    """Names of pictures would fill the memory else; what is shown behind it is a page."""
    content = shown(page(b"logo"), html="<p>" + "x" * HTML + '</p><img src="cid:logo@a">')

    assert len(read(content)) == 2
    many = built(*((b"<p>" + b"x" * HTML, "text/html", f"{number}.html") for number in range(2)), html="<p></p>")
    many.attach(shown(page(b"logo")))
    assert len(read(many)) == 2


# --- what is rejected ---------------------------------------------------------------------------------------------


def archive() -> bytes:
    """Return a ZIP archive, as documents of word processors are."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as writing:
        writing.writestr("word/document.xml", "<x/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("attachment", "reason"),
    [
        (
            (TNEF, "application/ms-tnef", "winmail.dat"),
            r"winmail.dat is TNEF \(winmail.dat\), which only Outlook reads",
        ),
        ((TNEF, "application/octet-stream", "x.dat"), "x.dat is TNEF"),
        ((b"x", "application/pkcs7-mime", "smime.p7m"), r"smime.p7m is encrypted or inside its signature \(S/MIME\)"),
        ((b"x", "message/external-body", ""), "an attachment is elsewhere"),
        (
            (archive(), "application/x-word", "letter.docx"),
            r"letter.docx \(application/x-word\) is no page; expected PDF",
        ),
        ((b"GIF89a" + bytes(50), "image/gif", "a.gif"), "a.gif .image/gif. is no page"),
        ((b"", "image/png", "a.png"), "a.png .image/png. is no page"),
        ((page()[:-3], "image/png", "a.png"), "a.png is cut: "),
    ],
)
def test_a_mail_with_an_attachment_that_is_no_page_is_rejected(
    read: Callable[..., list[bytes]], attachment: tuple[bytes, str, str], reason: str
) -> None:
    """An acknowledged mail has all its pages in a job; the sentence says what to do."""
    content = built((page(), "image/png", "scan.png"), attachment).as_bytes()

    with pytest.raises(Rejected, match=reason) as caught:
        read(content)
    assert caught.value.code == "554 5.6.0"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("Content-Type: multipart/encrypted; boundary=b", "is encrypted; send the mail without encryption"),
        ("Content-Type: message/partial; id=1; number=1", "is one of several fragments of a mail"),
        ("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64", "an attached mail is encoded"),
        ("Content-Type: image/png\r\nContent-Transfer-Encoding: x-uuencode", "the encoding x-uuencode is unknown"),
    ],
)
def test_a_mail_that_cannot_be_read_is_rejected(read: Callable[..., list[bytes]], fields: str, reason: str) -> None:
    """It may hold pages."""
    with pytest.raises(Rejected, match=reason):
        read(f"Subject: s\r\n{fields}\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n".encode())


def test_a_mail_without_a_page_is_rejected(read: Callable[..., list[bytes]]) -> None:
    """With what was expected."""
    with pytest.raises(
        Rejected, match="no attachment that is a page; expected PDF, JPEG, PNG, TIFF, BMP, JPEG 2000 or"
    ):
        read(built())


def test_a_page_that_is_too_large_for_the_work_folder_is_rejected(tmp_path: Path) -> None:
    """The client comes again: what all mails have taken is free then."""
    content = mail(page(size=50_000))
    with_room = IncomingMail(tmp_path, space := SpoolSpace(tmp_path, 2 * len(content) + 40_000), CLIENT)
    with_room.write(content)
    with pytest.raises(Rejected, match="too many mails at once"):
        pages(with_room.content, with_room, RULES)
    with_room.close()

    assert space.taken == 0
    assert list(tmp_path.iterdir()) == []


FRAGMENTS = (
    *(b"\r\n", b"\n", b"--", b"=", b"\x00", b"\xff", b'"', b";", b"=?", b"*0*="),
    *(b"Content-Type: ", b"multipart/mixed; boundary=", b"base64"),
)


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 60), st.sampled_from(FRAGMENTS) | st.binary(max_size=3))),
    st.integers(1, 5),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_arrives_is_read_or_rejected(
    tmp_path: Path, changes: list[tuple[int, int, bytes]], copies: int
) -> None:
    """A mail with bytes that are replaced anywhere: no other error, and no page that is not whole."""
    content = shown(page(b"one")).as_bytes() + b"\r\n" * copies
    for at, size, fragment in changes:
        content = content[:at] + fragment * copies + content[at + size :]
    incoming = IncomingMail(tmp_path, SpoolSpace(tmp_path, 1 << 30), CLIENT)
    incoming.write(content)
    reply, states = "", []
    try:
        screen(incoming.content)
        for path in pages(incoming.content, incoming, RULES):
            with path.open("rb") as file:
                states.append(examine(file).state)
    except Rejected as rejected:
        reply = rejected.reply
    finally:
        incoming.close()

    assert reply.isascii()
    assert reply.isprintable()
    assert FileState.CUT not in states
    assert bool(reply) != bool(states)
