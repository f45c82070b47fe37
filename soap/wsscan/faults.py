"""The errors of a call to a device.

    CallError
    ├── DeviceFault       the device answered with a SOAP fault
    ├── DeviceAway        there is no answer, or it breaks off
    │   └── InvalidAnswer     what comes is not what was asked for, or above a limit
    └── CallAborted       this side ended the call with `abort`
    StaleToken            the device does not know the DestinationToken: subscribe again

Source: ws-scan.md sections 8 and 9.
"""

from __future__ import annotations

from typing import Final

LONGEST_TEXT: Final = 300
"""Most characters of a text of a device that are kept."""


class CallError(Exception):
    """A call to a device has no result; the text is a sentence for the log."""


class DeviceFault(CallError):
    """The device answered with a SOAP fault.

    `code` and `subcode` are local names (`Sender`, `ClientErrorNoImagesAvailable`), "" where there is none; `text` is
    the reason as the device wrote it, cut.
    """

    def __init__(self, code: str, subcode: str, text: str) -> None:
        self.code = code[:LONGEST_TEXT]
        self.subcode = subcode[:LONGEST_TEXT]
        self.text = text[:LONGEST_TEXT]
        name = self.subcode or self.code or "a fault"
        super().__init__(f"the device answered {name}" + (f": {self.text}" if self.text else ""))

    def named(self, *names: str) -> bool:
        """Return whether the subcode is one of *names*, or one of their other spellings."""
        return _SPELLINGS.get(self.subcode, self.subcode) in names


class DeviceAway(CallError):
    """The device does not answer, or its answer breaks off."""


class InvalidAnswer(DeviceAway):
    """The answer is malformed, above a limit, or none to this request."""


class CallAborted(CallError):
    """This side ended the call."""

    def __init__(self) -> None:
        super().__init__("the call was aborted")


class StaleToken(Exception):
    """The device does not know the DestinationToken or the ScanIdentifier of a press: subscribe again (WSS-017)."""


NO_IMAGES: Final = "ClientErrorNoImagesAvailable"
JOB_CANCELLED: Final = "ClientErrorJobCancelled"
NO_SUCH_JOB: Final = "ClientErrorJobIdNotFound"
NOT_ACCEPTING: Final = "ServerErrorNotAcceptingJobs"
TEMPORARY: Final = "ServerErrorTemporaryError"
BAD_TOKEN: Final = "ClientErrorInvalidDestinationToken"  # noqa: S105  (the name of a fault)
BAD_IDENTIFIER: Final = "ClientErrorInvalidScanIdentifier"
BAD_FORMAT: Final = "ClientErrorFormatNotSupported"
CONFLICT: Final = "ClientErrorConflictingRequiredParameters"
BAD_ARGUMENTS: Final = "InvalidArgs"

_SPELLINGS: Final = {
    "ClientErrorInvalidDetinationToken": BAD_TOKEN,  # one Samsung
    "ClientErrorInvalidDestinationtoken": BAD_TOKEN,
    "ClientErrorJobCanceled": JOB_CANCELLED,
    "DocumentFormatNotSupported": BAD_FORMAT,
    "ClientErrorDocumentFormatNotSupported": BAD_FORMAT,
}
"""Other spellings of fault subcodes, in the published text and on devices (ws-scan.md sections 1 and 8)."""
