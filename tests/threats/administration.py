"""What is said to the configuration service, in front of which administrators stand; shares no code with the server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from certificates import Credentials
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from device import DSP, Answer, Device

DSC = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/configuration"
MESSAGE_ID = "urn:uuid:0c1a7f52-1111-4222-8333-944455566678"
_STATUS = "<dsp:RequestedElements><dsp:Name>dsp:{}</dsp:Name></dsp:RequestedElements>"
_TOKEN = "<dsp:JobToken>{}</dsp:JobToken>"


def say(device: Device, operation: str, content: str = "", message_id: str = "") -> Answer:
    """Send the request of an operation of WS-DSC; *content* is XML in which dsp stands for its namespace."""
    request = device.envelope(operation, content, message_id=message_id)
    return there(device).post(request.replace(DSP.encode(), DSC.encode()))


def there(device: Device) -> Device:
    """Return the same client in front of the configuration service."""
    return replace(device, url=device.url.replace("/processing", "/configuration"))


def cancel(device: Device, token: str, message_id: str = "") -> Answer:
    """Cancel somebody's job."""
    return say(device, "CancelPostScanJob", _TOKEN.format(token), message_id)


def elements(device: Device, token: str, message_id: str = "") -> Answer:
    """Ask how somebody's job stands."""
    return say(device, "GetPostScanJobElements", _TOKEN.format(token) + _STATUS.format("JobStatus"), message_id)


OPERATIONS: dict[str, Callable[[Device, str], Answer]] = {
    "GetRepositoryElements": lambda device, _token: say(
        device, "GetRepositoryElements", _STATUS.format("RepositoryStatus"), MESSAGE_ID
    ),
    "CancelPostScanJob": lambda device, token: cancel(device, token, MESSAGE_ID),
    "GetPostScanJobElements": lambda device, token: elements(device, token, MESSAGE_ID),
    "GetActiveJobs": lambda device, _token: say(device, "GetActiveJobs", "", MESSAGE_ID),
    "GetJobHistory": lambda device, _token: say(device, "GetJobHistory", "", MESSAGE_ID),
}
"""All of WS-DSC's operations; three of them name no job."""


def named(shown: Credentials) -> str:
    """Return the name by which the settings know a certificate."""
    return f"sha256:{shown.certificate.fingerprint(SHA256()).hex()}"


def by_key(shown: Credentials) -> str:
    """Return how the audit trail names whoever shows a certificate without a user in it."""
    key = shown.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"device-cert:{hashlib.sha256(key).hexdigest()}"
