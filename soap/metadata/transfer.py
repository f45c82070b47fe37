"""WS-Transfer Get and GetMetadata, as rows of a table, for the device and for its services.

Put, Create and Delete are not supported: metadata comes from the settings. Source: dpws.md sections 2
and 7 (R2044, R2045).
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
class MetadataOperation:
    """One row: `decode` reads the body, `response` is the action of the response."""

    decode: Callable[[etree._Element], messages.MetadataQuery]
    response: str


OPERATIONS: Final = {
    namespaces.WXF + "/Get": MetadataOperation(messages.read_get, namespaces.WXF + "/GetResponse"),
    namespaces.WSX + "/GetMetadata/Request": MetadataOperation(
        messages.read_get_metadata, namespaces.WSX + "/GetMetadata/Response"
    ),
}


def reply(message: SoapRequest, sections: Iterable[messages.Section], device: DeviceSettings) -> bytes:
    """Return the envelope that answers a request for metadata from *sections*; raise `Fault`."""
    operation = OPERATIONS.get(message.header.action)
    if operation is None:
        raise faults.action_not_supported(message.header.action)
    body = messages.write(sections, operation.decode(message.body), device)
    return writing.write(operation.response, message.header.message_id, writing.new_message_id(), body)
