"""The two questions about ourselves as rows, for the device as for the service; `operations` has the rest.

Put, Create and Delete are no rows: there is nothing to write. Source: DPWS digest, sections 2 and 7 (R2044, R2045).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from lxml import etree

from postscan.core.settings.network import DeviceSettings
from postscan.soap import answer, faults, metadata, ns
from postscan.soap.operations import Message, related


@dataclass(frozen=True, slots=True)
class Question:
    """One row: `decode` reads the body, `response` is the action of the answer."""

    decode: Callable[[etree._Element], metadata.Wanted]
    response: str


QUESTIONS: Final = {
    ns.WXF + "/Get": Question(metadata.read_get, ns.WXF + "/GetResponse"),
    ns.WSX + "/GetMetadata/Request": Question(metadata.read_get_metadata, ns.WSX + "/GetMetadata/Response"),
}


def reply(message: Message, sections: Iterable[metadata.Section], device: DeviceSettings) -> bytes:
    """Return the envelope that answers a question out of *sections*; raise `Fault` that relates to *message*."""
    with related(message):
        question = QUESTIONS.get(message.header.action)
        if question is None:
            raise faults.action_not_supported(message.header.action)
        body = metadata.write(sections, question.decode(message.body), device)
        return answer.write(question.response, message.header.message_id, answer.new_message_id(), body)
