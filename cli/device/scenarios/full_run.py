"""A complete run of the simulated device: find the server, read its metadata, subscribe, scan.

Source: ws-dsp.md section 8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

from postscan.cli.device import discovery, metadata
from postscan.cli.device.client import Device, ReportedJob
from postscan.cli.device.discovery import Match
from postscan.cli.device.eventing.event_listener import EventListener, ReceivedEvent, local_address_for
from postscan.cli.device.eventing.events import EndStateEvent, StatusEvent
from postscan.cli.device.eventing.subscription import DeviceSubscription
from postscan.cli.device.metadata import Description
from postscan.cli.device.scenarios import misbehaviour
from postscan.cli.device.scenarios.job_session import JobSession, ScanJob
from postscan.cli.device.scenarios.misbehaviour import Assessment, Scenario
from postscan.cli.device.scenarios.progress_log import ProgressLog
from postscan.cli.device.transport import DSP, DeviceError, SoapFault, Transport, Unreachable
from postscan.core.errors import PostscanError

_PREFIXES: Final = {
    discovery.WSDP: "wsdp",
    DSP: "dsp",
    "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/configuration": "dsc",
}


class DeviceRun:
    """The steps of a run; `record` has their results as plain values for `--json`. If *secure*, it uses HTTPS only."""

    def __init__(self, transport: Transport, progress: ProgressLog, *, secure: bool) -> None:
        self.record: dict[str, Any] = {"found": []}
        self._transport = transport
        self._progress = progress
        self._secure = secure

    def find(self, host: str, port: int, wait: float) -> list[Description]:
        """Return the devices at *host*, or on all networks for ""; raise `DeviceError` if there is none."""
        if host:
            schemes = ("https",) if self._secure else ("https", "http")
            return [self._describe(one) for one in discovery.at_host(self._transport, host, port, schemes, wait)]
        found = discovery.on_group(wait)
        if not found:
            raise Unreachable(f"no device found on the network within {wait:g} s; name it: postscan device HOST")
        return [one for match in found if (one := self._describe_if_possible(match)) is not None]

    def service(self, found: list[Description]) -> str:
        """Return the address of WS-DSP on the server found; raise `PostscanError` unless there is exactly one."""
        if len(found) != 1:
            addresses = ", ".join(one.address for one in found) or "none with readable metadata"
            raise PostscanError(
                f"{len(found)} servers were found ({addresses}); name one: postscan device HOST FILE..."
            )
        address = metadata.processing(found[0])
        self._check_secure(address)
        return address

    def scan(self, address: str, user: str, job: ScanJob, expires: int | None) -> ReportedJob:
        """Scan with a subscription for *expires* seconds at a time, or without one; return how the job ended."""
        with Device(address, user, transport=self._transport) as device:
            session = JobSession(device, job, self._progress)
            ended = session.run() if expires is None else self._with_subscription(address, session, expires)
        self.record["events"] = [self._event_record(event) for event in session.events]
        self.record["job"] = {"token": session.token} | dataclasses.asdict(ended)
        return ended

    def misbehave(self, address: str, user: str, job: ScanJob, names: Iterable[str], pause: float) -> list[Assessment]:
        """Run these misbehaviours one after another; return all assessments."""
        scenario = Scenario(address, user, job, self._transport, pause)
        every: list[Assessment] = []
        self.record["misbehaviours"] = []
        for name in names:
            self._progress.write(f"{name}: a device that {misbehaviour.MISBEHAVIOURS[name].about}")
            for assessment in misbehaviour.run(name, scenario):
                self._progress.write(
                    f"  {'good' if assessment.good else 'BAD '}  {assessment.wanted}: {assessment.did}"
                )
                self.record["misbehaviours"].append({"name": name} | dataclasses.asdict(assessment))
                every.append(assessment)
        return every

    def _describe(self, match: Match) -> Description:
        """Get the metadata of a match, and print it."""
        write = self._progress.write
        write(f"Found {match.endpoint} at {' '.join(match.addresses) or 'no address'} ({match.via})")
        write(f"  types    {_types(match.types)}")
        entry: dict[str, Any] = {"match": dataclasses.asdict(match), "description": None}
        self.record["found"].append(entry)
        for address in match.addresses[:1]:
            self._check_secure(address)
        found = metadata.describe(self._transport, match)
        entry["description"] = dataclasses.asdict(found)
        model = f"{found.manufacturer} {found.model} {found.model_number}".rstrip()
        write(f"  device   {found.name} ({model}, serial number {found.serial_number or 'unknown'})")
        for service in found.services:
            write(f"  service  {_types(service.types)} at {' '.join(service.addresses)}")
        return found

    def _describe_if_possible(self, match: Match) -> Description | None:
        """Get the metadata of one of several matches; print the error if that fails, and go on with the others."""
        try:
            return self._describe(match)
        except DeviceError as error:
            self._progress.write(f"  error    {error}")
            self.record["found"][-1]["error"] = str(error)
            return None

    def _check_secure(self, address: str) -> None:
        """Refuse an address without TLS: a response by UDP is not authenticated, so it cannot disable TLS (DSP-080)."""
        if self._secure and not address.lower().startswith("https:"):
            raise DeviceError(f"the server has the address {address}; with --ca or --cert it has to be https")

    def _with_subscription(self, address: str, session: JobSession, expires: int) -> ReportedJob:
        with (
            EventListener(local_address_for(address)) as listener,
            DeviceSubscription(self._transport, address, listener, expires) as subscription,
        ):
            self._progress.write(f"Subscribe: events to {listener.notify_to}, for {subscription.granted:g} s")
            ended = session.run(subscription)
            left, unsubscribed = (None, False) if subscription.is_over else self._unsubscribe(subscription)
            self.record["subscription"] = {
                "granted": subscription.granted,
                "renewals": subscription.renewals,
                "left": left,
                "unsubscribed": unsubscribed,
                "strange": listener.refused,
            }
            for why in listener.refused:
                self._progress.write(f"Refused: {why}")
        return ended

    def _unsubscribe(self, subscription: DeviceSubscription) -> tuple[float | None, bool]:
        """Get the remaining seconds, which is optional for servers, and unsubscribe; return both results."""
        left = None
        try:
            left = subscription.status()
            self._progress.write(f"GetStatus: {left:g} s left, after {subscription.renewals} renewals")
        except SoapFault as fault:
            self._progress.write(f"GetStatus refused: {fault}")
        try:
            subscription.unsubscribe()
        except SoapFault as fault:
            self._progress.write(f"Unsubscribe refused: {fault}")
            return left, False
        self._progress.write("Unsubscribe")
        return left, True

    def _event_record(self, event: ReceivedEvent) -> dict[str, Any]:
        """Return an event as plain values, with the seconds since the start of the run."""
        names: dict[type, str] = {StatusEvent: "PostScanJobStatusEvent", EndStateEvent: "PostScanJobEndStateEvent"}
        fields = dataclasses.asdict(event.content)
        status = fields.pop("status")
        name = names.get(type(event.content), type(event.content).__name__)
        head = {"seconds": round(self._progress.since(event.at), 3), "event": name}
        return head | fields | (status if isinstance(status, dict) else {"status": status})


def _types(names: Iterable[str]) -> str:
    return " ".join(map(_type, names))


def _type(clark: str) -> str:
    """Return a Clark name with its usual prefix, if it has one."""
    uri, _, local = clark.removeprefix("{").rpartition("}")
    return f"{_PREFIXES[uri]}:{local}" if uri in _PREFIXES else clark
