"""The values that the parts of the source share: a scanner as found, and a press at its panel. No I/O.

Source: ws-scan.md sections 3, 5 and 11.
"""

from __future__ import annotations

from dataclasses import dataclass

from postscan.plugins import Destination


@dataclass(frozen=True)
class Scanner:
    """A device as found by discovery or by its configured address.

    `uuid` is its endpoint address, `urn:uuid:...`: the key of everything that is stored. `host` is the address that its
    answers come from, a numeric address or the configured name; every request goes there (WSS-071). `service` is the
    URL of the scan service; its host is replaced by `host`. `name` is for people. `quirks` are names of the rows of
    `postscan.soap.wsscan.ticket`.
    """

    uuid: str
    host: str
    service: str
    name: str = ""
    quirks: frozenset[str] = frozenset()

    @property
    def subject(self) -> str:
        """Who is proven: the UUID and the address, as recorded with the job (WSS-070)."""
        return f"{self.uuid} at {self.host}"


@dataclass(frozen=True)
class Press:
    """One press of the button, or one pull of an administrator.

    With a pull, `scan_identifier` and `token` are empty. `token` is the DestinationToken of the subscription, and
    `input_source` a keyword of WS-Scan (Platen, ADF, ADFDuplex, Film), "" if the event named none.
    """

    destination: Destination
    scan_identifier: str = ""
    token: str = ""
    input_source: str = ""

    @property
    def pulled(self) -> bool:
        """Whether an administrator asked for the scan, and no panel."""
        return not self.scan_identifier
