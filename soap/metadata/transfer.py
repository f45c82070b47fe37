"""The two questions about ourselves as rows, for the device as for the service; `operations` has the rest.

Put, Create and Delete are no rows: there is nothing to write. Source: dpws.md sections 2 and 7 (R2044, R2045).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.core.settings.network import DeviceSettings
from postscan.soap.message import faults
from postscan.soap.message.request import SoapRequest
from postscan.soap.metadata import messages
from postscan.soap.xml import namespaces, writing


@dataclass(frozen=True, slots=True)
class Question:
    """One row: `decode` reads the body, `response` is the action of the answer."""

    decode: Callable[[etree._Element], messages.Wanted]
    response: str


QUESTIONS: Final = {
    namespaces.WXF + "/Get": Question(messages.read_get, namespaces.WXF + "/GetResponse"),
    namespaces.WSX + "/GetMetadata/Request": Question(
        messages.read_get_metadata, namespaces.WSX + "/GetMetadata/Response"
    ),
}


def reply(message: SoapRequest, sections: Iterable[messages.Section], device: DeviceSettings) -> bytes:
    """Return the envelope that answers a question out of *sections*; raise `Fault`."""
    question = QUESTIONS.get(message.header.action)
    if question is None:
        raise faults.action_not_supported(message.header.action)
    body = messages.write(sections, question.decode(message.body), device)
    return writing.write(question.response, message.header.message_id, writing.new_message_id(), body)
