"""Announce the scanner by mDNS, as `_uscan._tcp` (HTTP) and `_uscans._tcp` (HTTPS).

Source: escl.md section 1.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from postscan.cli.device.escl.documents import COLORS, DeviceIdentity, OfferedSettings
from postscan.cli.device.escl.machine.paper import PaperPath

if TYPE_CHECKING:
    from zeroconf import ServiceInfo

PLAIN: Final = "_uscan._tcp.local."
SECURE: Final = "_uscans._tcp.local."

_WORDS: Final = {"BlackAndWhite1": "binary", "Grayscale8": "grayscale", "RGB24": "color"}


def text_record(identity: DeviceIdentity, offered: OfferedSettings, path: PaperPath, root: str) -> dict[str, str]:
    """Return the keys of the TXT record; *root* is the path of eSCL."""
    inputs = ["platen"] if path is PaperPath.PLATEN else ["platen", "adf"]
    return {
        "txtvers": "1",
        "vers": identity.version,
        "rs": root.strip("/"),
        "ty": identity.make_and_model,
        "uuid": identity.uuid,
        "pdl": ",".join(offered.media_types),
        "cs": ",".join(_WORDS[one] for one in reversed(COLORS) if one in offered.colors),
        "is": ",".join(inputs),
        "duplex": "T" if path is PaperPath.DUPLEX else "F",
        "note": "",
        "adminurl": identity.admin_url,
    }


class ScannerAnnouncement:
    """Keeps the scanner announced until `close`.

    *urls* are those of eSCL, "" for none. Only the interface of their address is used; raises `OSError` if mDNS
    cannot be sent on it.
    """

    def __init__(self, name: str, urls: tuple[str, ...], text: dict[str, str]) -> None:
        from zeroconf import Zeroconf

        self.services = [_service(name, url, text) for url in urls if url]
        self._zeroconf = Zeroconf(interfaces=sorted({one for info in self.services for one in info.parsed_addresses()}))
        try:
            for info in self.services:
                self._zeroconf.register_service(info, allow_name_change=True)
        except BaseException:
            self._zeroconf.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the announcement back."""
        self._zeroconf.unregister_all_services()
        self._zeroconf.close()


def _service(name: str, url: str, text: dict[str, str]) -> ServiceInfo:
    from zeroconf import ServiceInfo

    parts = urlsplit(url)
    host = parts.hostname or ""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = SECURE if parts.scheme == "https" else PLAIN
    return ServiceInfo(
        kind,
        f"{name}.{kind}",
        port=parts.port,
        properties=dict(text),
        server=f"postscan-{text['uuid']}.local.",
        addresses=[socket.inet_pton(family, host)],
    )
