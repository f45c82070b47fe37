"""Everything in which one eSCL device differs from another, as switches with the values of a plain device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any


class LocationStyle(Enum):
    """How the device writes the Location of a new job."""

    ABSOLUTE = "its own URL"
    RELATIVE = "a path"
    OTHER_NAME = "a host name that only the device has"
    CUT_IPV6 = "an IPv6 literal that ends too early"
    ELSEWHERE = "another host"


class HostRule(Enum):
    """What the device requires of the Host header of POST ScanJobs."""

    ANY = "any"
    LOCALHOST = "localhost, from other machines as well"
    PORT = "a port"


@dataclass(frozen=True, slots=True)
class EsclBehaviour:
    """A device. Numbers are HTTP status codes, times are seconds, resolutions are dots per inch."""

    # --- what it calls itself
    make_and_model: str = "postscan simulated eSCL scanner"
    manufacturer: str = "postscan"
    server: str = "postscan-device"
    version: str = "2.63"

    # --- waiting
    least_page_seconds: float = 0.0  # that the scan of a page takes, whatever the caller asks for
    not_ready: tuple[int, ...] = (503,)  # instead of a page that is not scanned yet, in turn
    not_ready_times: int = 0  # before each page; 0: the answer waits for the page
    busy_from: int = 0  # resolution from which `not_ready_times` holds; 0: any
    retry_after: str = ""
    early_is_not_found: bool = False  # NextDocument too soon after a page is answered 404
    always_busy: bool = False
    warm_up: int = 0  # POST ScanJobs that are answered 503 first, with the state Testing

    # --- ends
    feeder_end: int = 404
    cancelled: int = 410
    forgets_cancelled: bool = False  # no longer lists a job that was cancelled
    delete_after_end_locks: bool = False
    delete_after_end_cancels: bool = False  # a Completed job becomes Canceled
    processing_until_delete: bool = False
    completed_without_images: bool = False

    # --- requests
    host_rule: HostRule = HostRule.ANY
    status_before_feeder: bool = False  # a feeder job needs a GET ScannerStatus before
    scan_disabled: bool = False
    to_https: bool = False  # HTTP is redirected to HTTPS
    http_hangs: bool = False  # NextDocument never answers over HTTP

    # --- answers
    location: LocationStyle = LocationStyle.ABSOLUTE
    breaks_created: bool = False  # closes the connection before the body of 201
    urn_jobs: bool = False  # job URIs end with urn:uuid:...
    newest_first: bool = True
    content_location: bool = False
    chunked: bool = False
    gzip: bool = False
    empty_state: str = "ScannerAdfEmpty"
    largest_true_resolution: int = 0  # more is offered (600) than the device has
    guessed_height: bool = False  # JPEG of the feeder with DNL
    image_info_of_other_job: bool = False

    # --- violations (misbehaviours.py)
    html: bool = False
    redirects_elsewhere: bool = False
    wrong_media_type: bool = False
    entity_bomb: bool = False
    huge_capabilities: bool = False
    compressed_bomb: bool = False
    half_page: bool = False  # the connection is closed in the middle of the page
    short_image: bool = False  # half of the image as a whole answer
    stalls: bool = False  # half of a page, and silence
    hangs: bool = False  # NextDocument is never answered
    late: bool = False
    slow: bool = False
    repeats_last_page: bool = False
    page_of_other_job: bool = False
    endless_pages: bool = False
    endless_page: bool = False
    vanishes: bool = False
    deaf: bool = False  # DELETE is never answered

    def with_changes(self, changes: dict[str, Any]) -> EsclBehaviour:
        """Return this device with some switches set."""
        return replace(self, **changes)
