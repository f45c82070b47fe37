"""`postscan device --wsscan`: a simulated WSD scanner with a panel, and the same as an object for tests."""

from postscan.cli.device.wsscan.scanner import WsdScanner

SimulatedScanner = WsdScanner
"""The name that both simulated scanners, WSD and eSCL, have in their package."""

__all__ = ["SimulatedScanner", "WsdScanner"]
