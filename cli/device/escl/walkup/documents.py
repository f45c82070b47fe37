"""XML of HP's walk-up interfaces: what a device sends, and the registration that it receives.

Source: escl.md section 8.
"""

from __future__ import annotations

from typing import Final

from lxml import etree
from lxml.builder import ElementMaker

from postscan.cli.device.escl.settings_reader import BadSettings, parse
from postscan.cli.device.escl.walkup import names
from postscan.cli.device.escl.walkup.names import WalkupApi, WalkupState, WalkupWords
from postscan.cli.device.escl.walkup.walkup import SCAN_EVENT, TableEvent, WalkupDestination

_SCAN: Final = "http://schemas.hp.com/imaging/escl/2011/05/03"

_SPACES: Final = {"dd": names.DD, "dd3": names.DD3}
_DD = ElementMaker(namespace=names.DD, nsmap=_SPACES)
_DD3 = ElementMaker(namespace=names.DD3, nsmap=_SPACES)
_EV = ElementMaker(namespace=names.EVENTS, nsmap={"ev": names.EVENTS, "dd": names.DD})
_LEDM = ElementMaker(namespace=names.LEDM, nsmap={"ledm": names.LEDM, "dd": names.DD})
_MAN = ElementMaker(namespace=names.MANIFEST, nsmap={"man": names.MANIFEST, "map": names.MAP, "dd": names.DD})
_MAP = ElementMaker(namespace=names.MAP, nsmap={"map": names.MAP})
_TYPE = ElementMaker(namespace=names.SCANTYPE, nsmap={"scantype": names.SCANTYPE, "dd": names.DD})


def discovery_tree(words: WalkupWords) -> bytes:
    """Write ledm:DiscoveryTree, with the manifests of eSCL and of the walk-up interface."""
    manifests = ((names.ESCL_MANIFEST, "eSCL:eSclManifest"), (words.manifest, words.manifest_type))
    interfaces = [
        _LEDM.SupportedIfc(_LEDM.ManifestURI(uri), _DD.ResourceType(kind), _DD.Revision(names.MANIFEST))
        for uri, kind in manifests
    ]
    tree = _LEDM.SupportedTree(_DD.ResourceURI(names.EVENT_TABLE), _DD.ResourceType("ledm:hpLedmEventTable"))
    return _bytes(_LEDM.DiscoveryTree(_version(), tree, *interfaces))


def walkup_manifest(api: WalkupApi) -> bytes:
    """Write the manifest of the walk-up interface: its resources below its folder."""
    words = api.value
    maker = _wus(words)
    resources = [f"{words.folder}Destinations"]
    if api is WalkupApi.COMP:
        resources += [f"{words.folder}Caps", f"{words.folder}Event"]
    nodes = [
        _MAP.ResourceNode(
            _MAP.ResourceLink(_DD.ResourceURI(f"/{one}")),
            _MAP.ResourceType(maker(f"{words.folder}ResourceType", one)),
        )
        for one in resources
    ]
    return _manifest(words.namespace, f"/{words.folder}", nodes)


def escl_manifest(root: str) -> bytes:
    """Write the manifest of eSCL, whose resources are below *root*."""
    maker = ElementMaker(namespace=_SCAN, nsmap={"scan": _SCAN})
    nodes = [
        _MAP.ResourceNode(_MAP.ResourceLink(_DD.ResourceURI(f"/{one}")), _MAP.ResourceType(maker.ScanResourceType(one)))
        for one in ("ScannerCapabilities", "ScannerStatus", "ScanBufferInfo", "ScanJobs")
    ]
    return _manifest(_SCAN, root, nodes)


def walkup_caps(words: WalkupWords, *, multi_page: bool, action_seconds: float) -> bytes:
    """Write WalkupScanToCompCaps."""
    maker = _wus(words)
    return _bytes(
        maker(
            f"{words.folder}Caps",
            _version(),
            maker.MaxNetworkDestinations(str(names.MAX_DESTINATIONS)),
            maker.SupportsMultiItemScanFromPlaten(str(multi_page).lower()),
            maker.UserActionTimeout(_DD.ValueFloat(f"{action_seconds:g}"), _DD.Unit("seconds")),
            maker.ShortcutSupport(*map(maker.Shortcut, names.SHORTCUTS)),
        )
    )


def destination_list(api: WalkupApi, destinations: list[WalkupDestination], origin: str) -> bytes:
    """Write all destinations, without what the user chose; the older interface writes URLs below *origin*."""
    words = api.value
    maker = _wus(words)
    limit = [maker.MaxNetworkDestinations(str(names.MAX_DESTINATIONS))] if api is WalkupApi.OLD else []
    children = [_destination(api, one, origin) for one in destinations]
    return _bytes(maker(f"{words.folder}Destinations", _version(), *limit, *children))


def chosen_destination(api: WalkupApi, one: WalkupDestination, origin: str) -> bytes:
    """Write one destination with what the user chose; the older interface wraps it into a list."""
    words = api.value
    maker = _wus(words)
    element = _destination(api, one, origin)
    if one.shortcut:
        mode = _DD.ScanPlexMode("Duplex" if one.duplex else "Simplex")
        settings = maker(f"{words.folder}Settings", _TYPE.ScanSettings(mode), maker.Shortcut(one.shortcut))
        element.append(settings)
    return _bytes(element if api is WalkupApi.COMP else maker(f"{words.folder}Destinations", element))


def walkup_event(words: WalkupWords, state: WalkupState) -> bytes:
    """Write WalkupScanToCompEvent."""
    maker = _wus(words)
    return _bytes(maker(words.folder + "Event", maker(f"{words.folder}EventType", state.value)))


def event_table(api: WalkupApi, events: list[TableEvent], origin: str) -> bytes:
    """Write ev:EventTable."""
    return _bytes(_EV.EventTable(_version(), *(_event(api, one, origin) for one in events)))


def registration(api: WalkupApi, data: bytes) -> tuple[str, str]:
    """Read name and host name of a POST of a destination; raise `BadSettings`, also for the other generation's."""
    words = api.value
    root = parse(data)
    if root.tag != f"{{{words.namespace}}}{words.folder}Destination":
        raise BadSettings(f"is a {etree.QName(root).text}; expected {words.folder}Destination of {words.namespace}")
    name = root.findtext(f"{{{names.DD}}}Name", "").strip()
    host = root.findtext(f"{{{names.DD3}}}Hostname", "").strip()
    if not name or root.findtext(f"{{{words.namespace}}}LinkType", "").strip() != "Network":
        raise BadSettings("needs a Name, and LinkType Network")
    return name, host


def _destination(api: WalkupApi, one: WalkupDestination, origin: str) -> etree._Element:
    words = api.value
    maker = _wus(words)
    return maker(
        f"{words.folder}Destination",
        _DD.ResourceURI(uri_of(api, one.identity, origin)),
        _DD.Name(one.name),
        _DD3.Hostname(one.hostname),
        maker.LinkType("Network"),
    )


def uri_of(api: WalkupApi, identity: str, origin: str) -> str:
    """Return the URI of a destination as the device writes it: a path, or with the older interface a URL."""
    return f"{origin if api is WalkupApi.OLD else ''}{api.value.destinations}/{identity}"


def _event(api: WalkupApi, one: TableEvent, origin: str) -> etree._Element:
    words = api.value
    element = _EV.Event(_DD.UnqualifiedEventCategory(one.category), _DD.AgingStamp(one.stamp))
    if one.category == SCAN_EVENT:
        uri = uri_of(api, one.destination, origin)
        element.append(_EV.Payload(_DD.ResourceURI(uri), _DD.ResourceType(words.payload_type)))
        if api is WalkupApi.COMP:
            kind = f"wus:{words.folder}Event"
            element.append(_EV.Payload(_DD.ResourceURI(words.event), _DD.ResourceType(kind)))
    return element


def _manifest(namespace: str, base: str, nodes: list[etree._Element]) -> bytes:
    spaces = _MAN.InterfaceNamespaces(_MAN.InterfaceNamespace(namespace))
    link = _MAP.ResourceLink(_DD.ResourceURI(base), _MAP.Base("Root"))
    return _bytes(_MAN.Manifest(_version(), spaces, _MAP.ResourceMap(link, *nodes)))


def _wus(words: WalkupWords) -> ElementMaker:
    return ElementMaker(namespace=words.namespace, nsmap={"wus": words.namespace, **_SPACES})


def _version() -> etree._Element:
    return _DD.Version(_DD.Revision("postscan"))


def _bytes(root: etree._Element) -> bytes:
    """Serialize with all namespaces declared at the root, as devices do: clients with text parsers rely on that."""
    inner = {prefix: space for one in root.iter() for prefix, space in one.nsmap.items()}
    etree.cleanup_namespaces(root, top_nsmap=inner)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")
