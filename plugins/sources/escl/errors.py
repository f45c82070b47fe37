"""What a scanner, or the way to it, can do instead of a scan; each text is a sentence that people may read."""

from __future__ import annotations


class ScannerError(Exception):
    """Base of the errors of a device: it is reported in the detail of the job, in the health and in the log."""


class ScannerAway(ScannerError):
    """Nothing answers, or the connection broke."""


class DeviceRefused(ScannerError):
    """The device answered with something else than was asked for, or does not scan as it was asked."""


class DeviceBusy(ScannerError):
    """The device was asked as often as is allowed, and said each time that it is not ready."""


class FeederFault(ScannerError):
    """Paper is jammed, a door is open, or the feeder is empty."""


class PageLost(ScannerError):
    """A page broke off before its end: there is no way to fetch it again."""


class ScanBrokenOff(ScannerError):
    """`DeviceScan.stop` was called: nothing more is asked of the device for this scan."""


class CancelledAtDevice(ScannerError):
    """The scan was cancelled at the device."""
