"""The arguments of a request: each in its place, each at most once, and nothing of the service's that nobody asked for.

What both services read alike is here; their own requests are read in `processing` and `configuration`. Source:
ws-dsp.md sections 3, 4 and 11 (O-32); ws-dsc.md sections 2 and 5.3.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.soap.message import faults
from postscan.soap.services import requested_elements
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces
from postscan.soap.xml.reading import children, required, tag, text

_Request = TypeVar("_Request")


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """EndPostScanJob and CancelPostScanJob: which job."""

    token: str


@dataclass(frozen=True, slots=True)
class ElementsRequest:
    """GetPostScanJobElements: which job, and which of its elements."""

    token: str
    names: tuple[RequestedName, ...]


def faulting(read: Callable[[etree._Element], _Request]) -> Callable[[etree._Element], _Request]:
    """Let *read* raise `Fault` where its parts raise `InvalidArgument`."""

    @functools.wraps(read)
    def reading(body: etree._Element) -> _Request:
        try:
            return read(body)
        except InvalidArgument as error:
            raise faults.from_error(error) from None

    return reading


def token_request(request: str) -> Callable[[etree._Element], TokenRequest]:
    """Return what reads a request, by its Clark name, that says nothing but which job."""
    return faulting(lambda body: TokenRequest(token(of(body, request, "JobToken")["JobToken"])))


def elements_request(request: str) -> Callable[[etree._Element], ElementsRequest]:
    """Return what reads a GetPostScanJobElementsRequest of either service, by its Clark name."""

    @faulting
    def read(body: etree._Element) -> ElementsRequest:
        found = of(body, request, "JobToken", "RequestedElements")
        return ElementsRequest(token(found["JobToken"]), requested_elements.read(found["RequestedElements"]))

    return read


def of(body: etree._Element, request: str, *names: str) -> dict[str, etree._Element]:
    """Return the arguments of a request by local name; *request* is its Clark name, and each of *names* must be there.

    Raises `Fault` if the body is something else, `InvalidArgument` if an argument is missing, unknown or twice there.
    """
    if tag(body) != request:
        local = namespaces.split(request)[1]
        raise faults.invalid_argument(tag(body), "", f"the body is {tag(body)}; the action wants {local}")
    return within(body, *names)


def within(element: etree._Element, *names: str) -> dict[str, etree._Element]:
    """Return the children of the element's own namespace; each of *names* must be there. Raises `InvalidArgument`."""
    namespace = namespaces.split(tag(element))[0]
    found = children(element, namespace, names)
    for name in names:
        required(found, namespace, name)
    return found


def token(element: etree._Element) -> str:
    """Return the text of a JobToken; raise `InvalidArgument` if there is none."""
    value = text(element)
    if not value:
        raise InvalidArgument(tag(element), "", "the JobToken of a job")
    return value
