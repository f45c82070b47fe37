"""The settings of the source."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from postscan.core.filters import parameters
from postscan.soap.wsscan import WsScanSource, postscan_sources
from postscan.soap.wsscan.settings import WsScanSettings

UUID = "urn:uuid:6f5902ac-237f-4ce5-9f4f-2c6f0c0e5d10"


@pytest.mark.parametrize(
    ("device", "kind", "address"),
    [
        ("", "any", ""),
        (UUID, "endpoint", ""),
        (UUID.upper(), "endpoint", ""),
        ("http://10.0.0.9:8018/wsd", "url", "10.0.0.9"),
        ("http://[fe80::1]/wsd", "url", "fe80::1"),
        ("10.0.0.9", "host", "10.0.0.9"),
        ("fe80::1", "host", "fe80::1"),
        ("scanner-2.fabrikam.example", "host", "scanner-2.fabrikam.example"),
    ],
)
def test_a_scanner_is_named_in_four_ways(device: str, kind: str, address: str) -> None:
    """By its URL, its host, its endpoint, or not at all."""
    settings = WsScanSettings(device=device)

    assert settings.kind == kind
    assert settings.address == address


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "https://10.0.0.9/wsd"},
        {"device": "http:///wsd"},
        {"device": "http://user@10.0.0.9/"},
        {"device": "http://10.0.0.9:0/"},
        {"device": "http://10.0.0.9:99999/"},
        {"device": "urn:uuid:1"},
        {"device": "urn:other"},
        {"device": "a b"},
        {"device": "-x"},
        {"host": "scanner.example"},
        {"port": -1},
        {"port": 65536},
        {"discovery_port": 0},
        {"event_answer": "other"},
        {"subscription_seconds": 1.0},
        {"subscription_seconds": float("inf")},
        {"subscription_seconds": float("nan")},
        {"most_devices": 0},
        {"most_devices": 1000},
        {"quirks": ["unknown"]},
    ],
)
def test_a_setting_that_cannot_be_used_is_named(wrong: dict[str, Any]) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        WsScanSettings(**wrong)


def test_every_setting_says_what_it_is() -> None:
    """For `postscan plugin info`, and the page of the sources."""
    declared = parameters.settings(WsScanSettings)

    assert all(one.help for one in declared)
    assert [one.name for one in declared] == [field.name for field in dataclasses.fields(WsScanSettings)]


def test_the_entry_point_brings_one_source() -> None:
    """It proves devices, and nothing else."""
    (source,) = postscan_sources()

    assert isinstance(source, WsScanSource)
    assert source.proofs == ("device",)
