"""What a status says: section 4 of escl.md, and ESCL-030."""

from __future__ import annotations

import pytest
from escl_device import PWG, SCAN

from postscan.plugins.sources.escl.messages import status

HP = f"""<?xml version="1.0" encoding="UTF-8"?>
<scan:ScannerStatus xmlns:scan="{SCAN}" xmlns:pwg="{PWG}">
 <pwg:Version>2.63</pwg:Version><pwg:State>Processing</pwg:State><scan:AdfState>ScannerAdfLoaded</scan:AdfState>
 <scan:Jobs>
  <scan:JobInfo><pwg:JobUri>/eSCL/ScanJobs/b2</pwg:JobUri><pwg:JobUuid>b2</pwg:JobUuid><scan:Age>2</scan:Age>
   <pwg:ImagesCompleted>1</pwg:ImagesCompleted><pwg:JobState>Processing</pwg:JobState>
   <pwg:JobStateReasons><pwg:JobStateReason>JobScanning</pwg:JobStateReason></pwg:JobStateReasons></scan:JobInfo>
  <scan:JobInfo><pwg:JobUri>http://hp-name/eSCL/ScanJobs/a1/</pwg:JobUri><scan:Age>90</scan:Age>
   <pwg:JobState>Canceled</pwg:JobState>
   <pwg:JobStateReasons><pwg:JobStateReason>JobCanceledByUser</pwg:JobStateReason></pwg:JobStateReasons></scan:JobInfo>
 </scan:Jobs>
</scan:ScannerStatus>""".encode()


@pytest.mark.conformance("ESCL-030")
def test_a_job_is_found_by_its_uri() -> None:
    """In any form: a path, an absolute URI, with a slash behind it."""
    found = status.read(HP)
    first, second = found.job("/eSCL/ScanJobs/b2"), found.job("/eSCL/ScanJobs/a1")

    assert first is not None
    assert (first.state, first.images, first.is_cancelled) == ("Processing", 1, False)
    assert second is not None
    assert second.is_cancelled
    assert found.job("/eSCL/ScanJobs/c3") is None


@pytest.mark.parametrize("state", ["Stopped", "Down"])
def test_a_device_that_is_stopped_says_why_if_its_feeder_does(state: str) -> None:
    """The feeder names the cause."""
    plain = status.DeviceStatus(state)
    jammed = status.DeviceStatus(state, "ScannerAdfJam")

    assert state.lower() in plain.obstacle
    assert "jammed" in jammed.obstacle


def test_a_job_is_cancelled_by_its_reason_as_well_as_by_its_state() -> None:
    """A device that lists it as Completed and JobCanceledByUser has not sent all pages."""
    found = status.DeviceJobInfo("/1", "Completed", ("JobCanceledByUser",))

    assert found.is_cancelled
    assert not found.is_completed


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("/eSCL/ScanJobs/1", "/eSCL/ScanJobs/1"),
        ("http://10.0.0.9/eSCL/ScanJobs/1/", "/eSCL/ScanJobs/1"),
        ("http://[fe80::1/eSCL/ScanJobs/1", "/eSCL/ScanJobs/1"),
        ("https://[::1]:443/1?x=y#z", "/1"),
        ("//evil/1", "/1"),
        ("1", "1"),
        ("http://host", ""),
        ("http://[::1", ""),
        ("", ""),
        ("//[", ""),
    ],
)
def test_the_path_of_a_uri_is_what_is_behind_its_host(uri: str, path: str) -> None:
    """Also of one whose IPv6 address was cut (ESCL-023)."""
    assert status.path_of(uri) == path
