"""Read the arguments of a request: each exactly once, and no unknown element of the service's namespace.

Both services share these functions; `processing` and `configuration` read their own requests. Source:
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
    """EndPostScanJob and CancelPostScanJob: the job."""

    token: str


@dataclass(frozen=True, slots=True)
class ElementsRequest:
    """GetPostScanJobElements: the job, and the requested elements."""

    token: str
    names: tuple[RequestedName, ...]


def raising_faults(read: Callable[[etree._Element], _Request]) -> Callable[[etree._Element], _Request]:
    """Return *read* with `InvalidArgument` turned into `Fault`."""

    @functools.wraps(read)
    def wrapper(body: etree._Element) -> _Request:
        try:
            return read(body)
        except InvalidArgument as error:
            raise faults.from_error(error) from None

    return wrapper


def token_request(request: str) -> Callable[[etree._Element], TokenRequest]:
    """Return a reader for a request whose only argument is a JobToken; *request* is its Clark name."""
    return raising_faults(lambda body: TokenRequest(token(of(body, request, "JobToken")["JobToken"])))


def elements_request(request: str) -> Callable[[etree._Element], ElementsRequest]:
    """Return a reader for a GetPostScanJobElementsRequest of either service; *request* is its Clark name."""

    @raising_faults
    def read(body: etree._Element) -> ElementsRequest:
        found = of(body, request, "JobToken", "RequestedElements")
        return ElementsRequest(token(found["JobToken"]), requested_elements.read(found["RequestedElements"]))

    return read


def of(body: etree._Element, request: str, *names: str) -> dict[str, etree._Element]:
    """Return the arguments of a request by local name; *request* is its Clark name, and each of *names* must be there.

    Raises `Fault` if the body is another element, `InvalidArgument` if an argument is missing, unknown or repeated.
    """
    if tag(body) != request:
        local = namespaces.split(request)[1]
        raise faults.invalid_argument(tag(body), "", f"the body is {tag(body)}; expected {local} for this action")
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
