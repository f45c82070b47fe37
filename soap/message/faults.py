"""SOAP faults, and the table from the errors of the core to faults.

The protocol fixes the reason on the wire; the text of the exception, which describes the error of this message, is for
the log. Source: ws-dsp.md section 7; dpws.md section 4; ws-dsc.md section 1.10; SOAP 1.2 part 1, section 5.4 and
appendix A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from postscan.core.errors import (
    InvalidArgument,
    JobCanceled,
    JobNotFound,
    RequestReused,
    StoredProcessInvalid,
    Unavailable,
    WrongState,
)
from postscan.soap.xml import namespaces, writing

LONGEST_VALUE: Final = 255
"""Most characters of an offending value that a fault shows."""

_INVALID_ARGS = "At least one input argument is invalid."
_NO_SUCH_JOB = "A PostScan job identified by the specified JobToken argument could not be found."
_NOT_NOW = "The service cannot perform the requested operation."
_UNEXPECTED = "The service had an unexpected error."
_CANCELED = "The PostScan job has been canceled."
_NO_SUCH_ACTION = "The [wsa:Action] cannot be processed at the receiver."
_BAD_HEADER = "A message information header is not valid and the message cannot be processed."
_NO_HEADER = "A required message information header, To, MessageID, or Action, is not present."
_NOT_UNDERSTOOD = "A mandatory header was not understood."
_OTHER_VERSION = "The message is not a SOAP 1.2 envelope."
_NOT_SCAN_ADMIN = "The current user is not an administrator of the scan repository"

_OF_CONFIGURATION: Final = {
    "dsp:InvalidArgs": "At least one input argument is invalid",
    "dsp:OperationFailed": "Scan repository service cannot perform the requested operation",
    "dsp:ServerErrorTemporaryError": "The service had an unexpected error",
    "dsp:ServerErrorInternalError": "The service had an unexpected error",
    "dsp:ClientErrorJobTokenNotFound": (
        "A PostScan job identified by the specified dsc:JobToken argument could not be found."
    ),
    "wsa:ActionNotSupported": "The [action] cannot be processed at the receiver",
}
"""The reasons of the configuration service, which differ from those of WS-DSP, most in the full stop."""


class Fault(Exception):
    """An error that the client receives as a SOAP fault.

    `code` is the local name of the SOAP code, `subcode` has its prefix (`dsp:InvalidArgs`). `detail` is the offending
    element's Clark name and its value. `not_understood` names header blocks as (namespace, local name). `action` is
    the wsa:Action of its message: some specifications have a fault action of their own. A fault does not carry the
    MessageID that it relates to; the endpoint that received the request passes it to `write`. `str()` is the sentence
    for the log.
    """

    def __init__(
        self,
        code: str,
        subcode: str | None,
        reason: str,
        detail: tuple[str, str] | None = None,
        *,
        sentence: str = "",
        not_understood: tuple[tuple[str, str], ...] = (),
        upgrade: bool = False,
        soap11: bool = False,
        action: str = namespaces.FAULT_ACTION,
    ) -> None:
        super().__init__(sentence or reason)
        self.code = code
        self.subcode = subcode
        self.reason = reason
        self.detail = detail
        self.not_understood = not_understood
        self.upgrade = upgrade
        self.soap11 = soap11
        self.action = action

    def status(self, always_500: bool = False) -> int:
        """Return the HTTP status: 400 for errors of the sender, 500 for all others."""
        return 400 if self.code == "Sender" and not always_500 else 500


def invalid_argument(name: str, value: str = "", sentence: str = "") -> Fault:
    """Return the fault for an argument that is wrong, unknown or missing (then *value* is empty).

    *name* is a Clark name, or a name of the processing service.
    """
    clark = name if name.startswith("{") else namespaces.dsp(name)
    return Fault(
        "Sender", "dsp:InvalidArgs", _INVALID_ARGS, (clark, value), sentence=sentence or f"{name}: {value[:64]!r}"
    )


def malformed(sentence: str) -> Fault:
    """Return the fault for a message that cannot be read, without a detail."""
    return Fault("Sender", "dsp:InvalidArgs", _INVALID_ARGS, sentence=sentence)


def action_not_supported(uri: str) -> Fault:
    """Return the fault for an operation that the service does not have."""
    return Fault(
        "Sender",
        "wsa:ActionNotSupported",
        _NO_SUCH_ACTION,
        (namespaces.wsa("Action"), uri),
        sentence=f"there is no operation {uri[:LONGEST_VALUE]!r}",
    )


def invalid_header(name: str, value: str, sentence: str = "") -> Fault:
    """Return the fault for a bad or forbidden addressing header; *name* is its local name."""
    return Fault(
        "Sender",
        "wsa:InvalidMessageInformationHeader",
        _BAD_HEADER,
        (namespaces.wsa(name), value),
        sentence=sentence or f"wsa:{name} {value[:LONGEST_VALUE]!r} is not valid",
    )


def header_required(name: str) -> Fault:
    """Return the fault for an addressing header that is missing; *name* is its local name."""
    return Fault(
        "Sender",
        "wsa:MessageInformationHeaderRequired",
        _NO_HEADER,
        (namespaces.wsa(name), ""),
        sentence=f"wsa:{name} is missing or empty",
    )


def must_understand(names: Iterable[tuple[str, str]]) -> Fault:
    """Return the fault for unknown mandatory header blocks, given as (namespace, local name)."""
    unknown = tuple(names)
    listed = ", ".join(f"{{{uri}}}{local}" for uri, local in unknown)
    return Fault(
        "MustUnderstand",
        None,
        _NOT_UNDERSTOOD,
        not_understood=unknown,
        sentence=f"mandatory header not understood: {listed}",
    )


def not_scan_admin(sentence: str) -> Fault:
    """Return the fault for a caller who is no administrator: equal for all operations and tokens (ruling 9).

    WS-DSC defines only the subcode (ws-dsc.md section 1.5); the reason is ours.
    """
    return Fault("Sender", "dsc:ClientErrorCurrentUserNotScanAdmin", _NOT_SCAN_ADMIN, sentence=sentence)


def version_mismatch(soap11: bool) -> Fault:
    """Return the fault for a message that is no SOAP 1.2 envelope; with *soap11* as a SOAP 1.1 envelope."""
    return Fault("VersionMismatch", None, _OTHER_VERSION, upgrade=True, soap11=soap11)


def _in_dsc(subcode: str | None) -> str | None:
    return "dsc:" + subcode.removeprefix("dsp:") if subcode and subcode.startswith("dsp:") else subcode


def _detail_in_dsc(detail: tuple[str, str] | None) -> tuple[str, str] | None:
    uri, local = namespaces.split(detail[0]) if detail else ("", "")
    return (namespaces.dsc(local), detail[1]) if detail and uri == namespaces.DSP else detail


def _server_error(subcode: str, reason: str) -> Callable[[Exception], Fault]:
    return lambda error: Fault("Receiver", subcode, reason, sentence=str(error))


def _no_such_job(error: JobNotFound) -> Fault:
    detail = (namespaces.dsp("JobToken"), error.token)
    return Fault("Sender", "dsp:ClientErrorJobTokenNotFound", _NO_SUCH_JOB, detail, sentence=str(error))


def _reused(error: RequestReused) -> Fault:
    return invalid_argument(namespaces.wsa("MessageID"), error.message_id, str(error))


def _invalid(error: InvalidArgument) -> Fault:
    return invalid_argument(error.argument, error.value, str(error))


_INTERNAL_ERROR: Final = _server_error("dsp:ServerErrorInternalError", _UNEXPECTED)

FAULTS: Final[dict[type[Exception], Callable[[Any], Fault]]] = {
    JobNotFound: _no_such_job,
    JobCanceled: _server_error("dsp:ServerErrorPostScanJobCanceled", _CANCELED),
    WrongState: _server_error("dsp:OperationFailed", _NOT_NOW),
    InvalidArgument: _invalid,
    RequestReused: _reused,
    StoredProcessInvalid: _server_error("dsp:OperationFailed", _NOT_NOW),
    Unavailable: _server_error("dsp:ServerErrorTemporaryError", _UNEXPECTED),
}
"""Faults by error of the core; an error that is not listed counts as its nearest listed base class."""


def from_error(error: Exception) -> Fault:
    """Return the fault for an error: a fault is its own, and an error that is not in `FAULTS` is an internal error."""
    if isinstance(error, Fault):
        return error
    for kind in type(error).__mro__:
        if kind in FAULTS:
            return FAULTS[kind](error)
    return _INTERNAL_ERROR(error)


def of_configuration(fault: Fault) -> Fault:
    """Return a fault of the configuration service: subcode, reason and detail in its namespace."""
    return Fault(
        fault.code,
        _in_dsc(fault.subcode),
        _OF_CONFIGURATION.get(fault.subcode or "", fault.reason),
        _detail_in_dsc(fault.detail),
        sentence=str(fault),
        not_understood=fault.not_understood,
        upgrade=fault.upgrade,
        soap11=fault.soap11,
        action=fault.action,
    )


def write(fault: Fault, relates_to: str | None) -> bytes:
    """Return the envelope of *fault* as the reply to the message with the MessageID *relates_to*; None if unknown."""
    if fault.soap11:
        return _write_soap11(fault)
    blocks = "".join(_not_understood(*name) for name in fault.not_understood) + (_UPGRADE if fault.upgrade else "")
    return writing.write(
        fault.action, relates_to or namespaces.UNSPECIFIED, writing.new_message_id(), _body(fault), blocks
    )


_UPGRADE: Final = '<soap:Upgrade><soap:SupportedEnvelope qname="soap:Envelope"/></soap:Upgrade>'


def _body(fault: Fault) -> str:
    subcode = f"<soap:Subcode>{_subcode(fault.subcode)}</soap:Subcode>" if fault.subcode else ""
    detail = f"<soap:Detail>{_detail(*fault.detail)}</soap:Detail>" if fault.detail else ""
    return (
        f"<soap:Fault><soap:Code><soap:Value>soap:{fault.code}</soap:Value>{subcode}</soap:Code>"
        f'<soap:Reason><soap:Text xml:lang="en">{writing.escape(fault.reason)}</soap:Text></soap:Reason>'
        f"{detail}</soap:Fault>"
    )


def _subcode(name: str) -> str:
    prefix = name.partition(":")[0]
    declared = "" if prefix in namespaces.PREFIXES else f' xmlns:{prefix}="{namespaces.LOCAL_PREFIXES[prefix]}"'
    return f"<soap:Value{declared}>{name}</soap:Value>"


def _detail(clark: str, value: str) -> str:
    return writing.element(clark, value[:LONGEST_VALUE])


def _not_understood(uri: str, local: str) -> str:
    if not uri:
        return f'<soap:NotUnderstood qname="{local}"/>'
    return f'<soap:NotUnderstood qname="x:{local}" xmlns:x="{writing.attribute(uri)}"/>'


def _write_soap11(fault: Fault) -> bytes:
    return (
        f'<soap11:Envelope xmlns:soap11="{namespaces.SOAP11}" xmlns:soap="{namespaces.SOAP}">'
        f"<soap11:Header>{_UPGRADE}</soap11:Header><soap11:Body><soap11:Fault>"
        f"<faultcode>soap11:{fault.code}</faultcode><faultstring>{writing.escape(fault.reason)}</faultstring>"
        f"</soap11:Fault></soap11:Body></soap11:Envelope>"
    ).encode()
