"""Quirks of known models: each row of escl.md section 7, as switches of `EsclBehaviour`.

A row that says what a client does (as "must not get a DELETE") is played by a device that fails without it; where the
reaction of the real device is not documented, the title of the row gives the one chosen here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from postscan.cli.device.escl.behaviour.behaviour import HostRule, LocationStyle


@dataclass(frozen=True, slots=True)
class EsclQuirk:
    """A row: its name, the model as capabilities give it, what differs, and the switches."""

    name: str
    model: str
    title: str
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def switches(self) -> dict[str, Any]:
        """All switches, those of the model included."""
        return {"make_and_model": self.model, "manufacturer": self.model.split()[0], **self.changes}


_ROWS: Final = (
    EsclQuirk(
        "brother",
        "Brother MFC-L2750DW series",
        "NextDocument sooner than half of the last page's time (at most 1 s) after a page: 404 though pages remain",
        {"early_is_not_found": True, "least_page_seconds": 0.3},
    ),
    EsclQuirk(
        "xerox-b205",
        "B205",
        "404 and 410 for a page that is not ready; IPv6 Location cut; a DELETE after a normal end: no new job until a "
        "restart",
        {
            "manufacturer": "Xerox",
            "not_ready": (404, 410),
            "not_ready_times": 2,
            "location": LocationStyle.CUT_IPV6,
            "delete_after_end_locks": True,
        },
    ),
    EsclQuirk(
        "xerox-3345",
        "WorkCentre 3345",
        "reports a jam for an empty feeder; 410 for a page that is not ready",
        {
            "manufacturer": "Xerox",
            "not_ready": (410,),
            "not_ready_times": 2,
            "empty_state": "ScannerAdfJam",
            "status_before_feeder": True,
        },
    ),
    EsclQuirk(
        "hp-compact-server",
        "HP Color LaserJet FlowMFP M578",
        "POST ScanJobs needs Host: localhost, from other machines as well; else 403",
        {"server": "HP_Compact_Server", "host_rule": HostRule.LOCALHOST},
    ),
    EsclQuirk(
        "hp-m630",
        "HP LaserJet MFP M630",
        "the same; and it warms up: 503 to the first two POST ScanJobs, with the state Testing",
        {"host_rule": HostRule.LOCALHOST, "warm_up": 2},
    ),
    EsclQuirk(
        "epson",
        "EPSON XP-7100 Series",
        "POST ScanJobs needs a Host with the port, port 80 included; else 400",
        {"host_rule": HostRule.PORT},
    ),
    EsclQuirk(
        "hp-m28w",
        "HP LaserJet MFP M28w",
        "20 answers 503 before each page at 600 dots per inch and more",
        {"not_ready_times": 20, "busy_from": 600, "largest_true_resolution": 600},
    ),
    EsclQuirk(
        "canon-ir2625",
        "Canon iR2625/2630",
        "offers 600 dots per inch, and sends images of 300",
        {"largest_true_resolution": 300},
    ),
    EsclQuirk(
        "canon-mf410",
        "MF410 Series",
        "a feeder job without a GET ScannerStatus right before it: 409",
        {"manufacturer": "Canon", "status_before_feeder": True},
    ),
    EsclQuirk("hp-officejet-6600", "HP Officejet 6600", "eSCL 1.0, a different protocol", {"version": "1.0"}),
    EsclQuirk(
        "hp-adf-dnl",
        "HP PageWide Pro 477dw MFP",
        "the height in the head of a feeder's JPEG is a guess; DNL behind the image has the true one; chunked",
        {"guessed_height": True, "chunked": True},
    ),
    EsclQuirk(
        "hp-smart-tank-570",
        "HP Smart Tank 570 series",
        "ScanImageInfo names another job",
        {"image_info_of_other_job": True},
    ),
    EsclQuirk("hp-html", "HP OfficeJet Pro 9012e", "an HTML page where XML is expected", {"html": True}),
    EsclQuirk(
        "hp-https",
        "HP OfficeJet Pro 8720",
        "HTTP is redirected to HTTPS with a self-signed certificate",
        {"to_https": True},
    ),
    EsclQuirk(
        "ricoh-c261",
        "RICOH SP C261SFNw",
        "NextDocument is never answered over HTTP; over HTTPS it is",
        {"http_hangs": True},
    ),
    EsclQuirk(
        "kyocera-m2030",
        "Kyocera ECOSYS M2030dn",
        "the job is Processing until its client deletes it; job URIs with urn:uuid:",
        {"processing_until_delete": True, "urn_jobs": True},
    ),
    EsclQuirk(
        "kyocera-m6526",
        "Kyocera ECOSYS M6526cdn",
        "closes the connection before the body of 201 (escl.md section 6)",
        {"breaks_created": True, "urn_jobs": True},
    ),
    EsclQuirk(
        "hp-deskjet-3520",
        "HP Deskjet 3520 series",
        "Location has a host name that only the device has (escl.md section 6)",
        {"location": LocationStyle.OTHER_NAME},
    ),
    EsclQuirk(
        "naps2",
        "NAPS2-simulated scanner",
        "503 with Retry-After before each page, and Content-Location with the number of the page",
        {"content_location": True, "retry_after": "1", "not_ready_times": 1, "newest_first": False},
    ),
    EsclQuirk(
        "naps2-no-images",
        "NAPS2-simulated scanner",
        "a job Completed with no image",
        {"completed_without_images": True},
    ),
    EsclQuirk(
        "airsane",
        "SANE test scanner",
        "409 at the end of the feeder; 404 after a cancel; relative Location; a DELETE makes a Completed job Canceled; "
        "oldest job first",
        {
            "server": "AirSane",
            "feeder_end": 409,
            "cancelled": 404,
            "location": LocationStyle.RELATIVE,
            "delete_after_end_cancels": True,
            "newest_first": False,
        },
    ),
    EsclQuirk(
        "hp-scan-disabled",
        "HP LaserJet Pro MFP M428dw",
        "scanning from a computer is not allowed in the device's web page: 403 to POST ScanJobs",
        {"scan_disabled": True},
    ),
)

QUIRKS: Final = {row.name: row for row in _ROWS}
"""By name, as `--quirk` takes it."""
