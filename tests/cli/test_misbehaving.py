"""A device that misbehaves really does, and as the same message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from postscan.cli.exchange import DSP, Answer, Courier, Request, Unreachable
from postscan.cli.misbehaving import PIECES, Cutting, Dripping, HangingUp, Twice

BODY = bytes(range(250)) * 40
SOAP = b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><a>%d</a></e:Body></e:Envelope>'


@dataclass
class Road:
    """An honest courier that remembers what it carried, and whether the device broke off; answers count upwards."""

    carried: list[list[bytes]] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    answers: Callable[[int], int] = lambda number: number

    def __call__(self, request: Request, /) -> Answer:
        """Carry a request, as far as it goes."""
        self.carried.append([])
        self.whole.append(False)
        self.carried[-1].extend(bytes(piece) for piece in request.content())
        self.whole[-1] = True
        return Answer(request.url, 200, SOAP % self.answers(len(self.carried)))


def request(operation: str) -> Request:
    """Return a request in three pieces."""

    def content() -> Iterator[bytes]:
        yield BODY[:100]
        yield BODY[100:7000]
        yield BODY[7000:]

    return Request("http://server/", f"{DSP}/{operation}", {"Content-Length": str(len(BODY))}, content)


def test_a_cut_image_is_half_an_image_and_then_a_whole_one() -> None:
    """T-M5: broken off in the middle; the same bytes again, so the same MessageID."""
    road = Road()
    Cutting(road)(request("SendImage"))
    cut, sent = (b"".join(one) for one in road.carried)

    assert road.whole == [False, True]
    assert cut == BODY[: len(BODY) // 2]
    assert sent == BODY


def test_a_device_that_hangs_up_has_said_everything() -> None:
    """DSP-083: to the last byte, and nobody takes the answer; then the same bytes again."""
    for operation in ("CreatePostScanJob", "SendImage", "EndPostScanJob"):
        road = Road()
        HangingUp(road)(request(operation))

        assert road.whole == [False, True]
        assert [b"".join(one) for one in road.carried] == [BODY, BODY]


def test_a_slow_device_sends_many_pieces() -> None:
    """T-H2: each of them small, and all of them in the end."""
    road = Road()
    Dripping(road, 0.0)(request("SendImage"))

    assert len(road.carried[0]) >= PIECES
    assert max(map(len, road.carried[0])) <= len(BODY) // PIECES + 1
    assert b"".join(road.carried[0]) == BODY


def test_a_device_that_repeats_itself_compares_the_answers() -> None:
    """DSP-083: the same bytes twice, and the first answer counts."""
    same, other = Road(answers=lambda _number: 1), Road()
    faithful, faithless = Twice(same), Twice(other)

    assert faithful(request("EndPostScanJob")).data == SOAP % 1
    assert faithless(request("EndPostScanJob")).data == SOAP % 1
    assert [b"".join(one) for one in same.carried] == [BODY, BODY]
    assert [(one.count, one.differed) for one in (faithful, faithless)] == [(1, 0), (1, 1)]


@pytest.mark.parametrize(
    ("misbehaving", "operation", "times"),
    [
        (Cutting, "EndPostScanJob", 1),
        (lambda road: Dripping(road, 0.0), "EndPostScanJob", 1),
        (HangingUp, "GetPostScanJobElements", 1),
        (Twice, "GetPostScanJobElements", 2),
    ],
)
def test_what_is_no_part_of_the_bad_manner_goes_as_ever(
    misbehaving: Callable[[Courier], Courier], operation: str, times: int
) -> None:
    """Only images are cut and dripped; a question may have another answer the second time."""
    road = Road()
    courier = misbehaving(road)
    courier(request(operation))

    assert road.carried == [[BODY[:100], BODY[100:7000], BODY[7000:]]] * times
    assert not isinstance(courier, Twice) or courier.count == 0


def test_a_server_that_hangs_up_first_is_asked_again() -> None:
    """It may have had enough of half an image before the device has."""
    road, calls = Road(), []

    def impatient(request: Request) -> Answer:
        calls.append(request)
        if len(calls) == 1:
            raise Unreachable("closed")
        return road(request)

    assert Cutting(impatient)(request("SendImage")).status == 200
    assert b"".join(road.carried[0]) == BODY
