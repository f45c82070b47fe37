"""The whole way of a device, told as it goes and recorded for programs: find, read what it is, subscribe, scan.

Source: ws-dsp.md section 8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Final

from postscan.cli.device import discovery, metadata
from postscan.cli.device.client import Device, ReportedJob
from postscan.cli.device.discovery import Match
from postscan.cli.device.event_listener import EventListener, ReceivedEvent, towards
from postscan.cli.device.events import EndStateEvent, StatusEvent
from postscan.cli.device.metadata import Description
from postscan.cli.device.scenarios import misbehaviour
from postscan.cli.device.scenarios.job_session import JobSession, ProgressLog, ScanJob
from postscan.cli.device.scenarios.misbehaviour import Assessment, Scenario
from postscan.cli.device.subscription import DeviceSubscription
from postscan.cli.device.transport import DSP, DeviceError, SoapFault, Transport, Unreachable
from postscan.core.errors import PostscanError

_PREFIXES: Final = {
    discovery.WSDP: "wsdp",
    DSP: "dsp",
    "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/configuration": "dsc",
}


class DeviceRun:
    """One way, step by step; `record` has what programs want to know of it. If *secure*, it keeps to HTTPS."""

    def __init__(self, courier: Transport, story: ProgressLog, *, secure: bool) -> None:
        self.record: dict[str, Any] = {"found": []}
        self._courier = courier
        self._story = story
        self._secure = secure

    def find(self, host: str, port: int, wait: float) -> list[Description]:
        """Return what there is at *host*, or on the whole network if that is ""; raise `DeviceError` if nothing is."""
        if host:
            schemes = ("https",) if self._secure else ("https", "http")
            return [self._describe(one) for one in discovery.at_host(self._courier, host, port, schemes, wait)]
        found = discovery.on_group(wait)
        if not found:
            sentence = f"nobody on this network answered within {wait:g} s"
            raise Unreachable(f"{sentence}; name the server: postscan device HOST")
        return [one for match in found if (one := self._describe_if_possible(match)) is not None]

    def service(self, found: list[Description]) -> str:
        """Return where WS-DSP is, on the one server that was found; raise `PostscanError` if it is not one."""
        if len(found) != 1:
            there = ", ".join(one.address for one in found) or "none that could be read"
            raise PostscanError(f"{len(found)} servers were found ({there}); name one: postscan device HOST FILE...")
        address = metadata.processing(found[0])
        self._check_secure(address)
        return address

    def scan(self, address: str, user: str, errand: ScanJob, expires: int | None) -> ReportedJob:
        """Scan, with a subscription for *expires* seconds at a time, or without; return how the job ended."""
        with Device(address, user, courier=self._courier) as device:
            visit = JobSession(device, errand, self._story)
            ended = visit.run() if expires is None else self._subscribed(address, visit, expires)
        self.record["events"] = [self._event(heard) for heard in visit.heard]
        self.record["job"] = {"token": visit.token} | dataclasses.asdict(ended)
        return ended

    def misbehave(
        self, address: str, user: str, errand: ScanJob, names: Iterable[str], pause: float
    ) -> list[Assessment]:
        """Play these misbehaviours one after another; return all remarks."""
        scene = Scenario(address, user, errand, self._courier, pause)
        every: list[Assessment] = []
        self.record["misbehaviours"] = []
        for name in names:
            self._story.say(f"{name}: a device that {misbehaviour.MISBEHAVIOURS[name].about}")
            for remark in misbehaviour.run(name, scene):
                self._story.say(f"  {'good' if remark.good else 'BAD '}  {remark.wanted}: {remark.did}")
                self.record["misbehaviours"].append({"name": name} | dataclasses.asdict(remark))
                every.append(remark)
        return every

    def _describe(self, match: Match) -> Description:
        """Tell what a match is, and return that."""
        say = self._story.say
        say(f"Found {match.endpoint} at {' '.join(match.addresses) or 'no address'} ({match.via})")
        say(f"  types    {_types(match.types)}")
        entry: dict[str, Any] = {"match": dataclasses.asdict(match), "description": None}
        self.record["found"].append(entry)
        for address in match.addresses[:1]:
            self._check_secure(address)
        found = metadata.describe(self._courier, match)
        entry["description"] = dataclasses.asdict(found)
        model = f"{found.manufacturer} {found.model} {found.model_number}".rstrip()
        say(f"  device   {found.name} ({model}, serial number {found.serial_number or 'unknown'})")
        for service in found.services:
            say(f"  service  {_types(service.types)} at {' '.join(service.addresses)}")
        return found

    def _describe_if_possible(self, match: Match) -> Description | None:
        """Tell what one of several is: if it cannot be read, that is no reason to pass over the others."""
        try:
            return self._describe(match)
        except DeviceError as error:
            self._story.say(f"  error    {error}")
            self.record["found"][-1]["error"] = str(error)
            return None

    def _check_secure(self, address: str) -> None:
        """Whoever answers a Probe by UDP has proven nothing, so he cannot talk a device out of TLS (DSP-080)."""
        if self._secure and not address.lower().startswith("https:"):
            raise DeviceError(f"the server tells the address {address}; with --ca or --cert it has to be https")

    def _subscribed(self, address: str, visit: JobSession, expires: int) -> ReportedJob:
        with (
            EventListener(towards(address)) as ear,
            DeviceSubscription(self._courier, address, ear, expires) as subscription,
        ):
            self._story.say(f"Subscribe: events to {ear.notify_to}, for {subscription.granted:g} s")
            ended = visit.run(subscription)
            left, unsubscribed = (None, False) if subscription.is_over else self._taken_back(subscription)
            self.record["subscription"] = {
                "granted": subscription.granted,
                "renewals": subscription.renewals,
                "left": left,
                "unsubscribed": unsubscribed,
                "strange": ear.strange,
            }
            for why in ear.strange:
                self._story.say(f"Not taken: {why}")
        return ended

    def _taken_back(self, subscription: DeviceSubscription) -> tuple[float | None, bool]:
        """Ask how many seconds are left, which a server need not know, and take the subscription back."""
        left = None
        try:
            left = subscription.status()
            self._story.say(f"GetStatus: {left:g} s left, after {subscription.renewals} renewals")
        except SoapFault as fault:
            self._story.say(f"GetStatus refused: {fault}")
        try:
            subscription.unsubscribe()
        except SoapFault as fault:
            self._story.say(f"Unsubscribe refused: {fault}")
            return left, False
        self._story.say("Unsubscribe")
        return left, True

    def _event(self, heard: ReceivedEvent) -> dict[str, Any]:
        """Return what was heard as a record of plain values, with the seconds since the beginning."""
        names: dict[type, str] = {StatusEvent: "PostScanJobStatusEvent", EndStateEvent: "PostScanJobEndStateEvent"}
        notice = heard.notice
        told = dataclasses.asdict(notice)
        status = told.pop("status")
        said = status if isinstance(status, dict) else {"status": status}
        name = names.get(type(notice), type(notice).__name__)
        return {"seconds": round(self._story.since(heard.at), 3), "event": name} | told | said


def _types(names: Iterable[str]) -> str:
    return " ".join(map(_type, names))


def _type(clark: str) -> str:
    """Return a Clark name with the prefix that everybody knows, if there is one."""
    uri, _, local = clark.removeprefix("{").rpartition("}")
    return f"{_PREFIXES[uri]}:{local}" if uri in _PREFIXES else clark
