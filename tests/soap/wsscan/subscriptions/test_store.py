"""Records of devices on disk: whole or as before, whatever happens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from postscan.soap.wsscan.subscriptions.record import (
    MOST_PRESSES,
    DeviceRecord,
    StoredPress,
    new_subscription,
)
from postscan.soap.wsscan.subscriptions.store import LARGEST, RecordStore


def record(endpoint: str = "urn:uuid:1", **about: object) -> DeviceRecord:
    """Return a record with a subscription."""
    return DeviceRecord(
        endpoint=endpoint,
        url="http://10.0.0.9/wsd",
        host="10.0.0.9",
        service="http://10.0.0.9/scan",
        scans=new_subscription("http://10.0.0.5:5367", (("d1", "Invoices"), ("d2", "Letters"))),
    ).model_copy(update=dict(about))


@pytest.mark.conformance("WSS-006", "WSS-014")
def test_records_are_kept_by_endpoint(tmp_path: Path) -> None:
    """One for each, whatever its address is."""
    store = RecordStore(tmp_path)
    first, second = record("urn:uuid:1"), record("urn:uuid:2")
    store.save(first)
    store.save(second)
    moved = first.model_copy(update={"host": "10.0.0.77"})
    store.save(moved)

    assert sorted(store.load(), key=lambda one: one.endpoint) == [moved, second]


def test_a_removed_record_is_gone(tmp_path: Path) -> None:
    """And another call does nothing."""
    store = RecordStore(tmp_path)
    store.save(record())
    store.remove("urn:uuid:1")
    store.remove("urn:uuid:1")

    assert store.load() == []


@pytest.mark.conformance("WSS-014")
def test_a_record_is_synced_before_it_replaces_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then its name, so that a power cut leaves the new one or the old one."""
    calls: list[str] = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: (calls.append(f"sync {Path(f'/proc/self/fd/{fd}').is_dir()}"), sync(fd))
    )
    monkeypatch.setattr(Path, "replace", lambda self, to: (calls.append("replace"), replace(self, to))[1])

    RecordStore(tmp_path).save(record())

    assert calls == ["sync False", "replace", "sync True"]


def test_a_full_disk_leaves_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing beside it."""
    store = RecordStore(tmp_path)
    store.save(record())
    before = store.load()

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.save(record(host="10.0.0.1"))

    assert store.load() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff", b'{"endpoint": 1}', b" " * (LARGEST + 1)])
def test_a_file_that_is_no_record_is_put_aside(tmp_path: Path, data: bytes) -> None:
    """The others are read."""
    store = RecordStore(tmp_path)
    store.save(record())
    (tmp_path / "0.device.json").write_bytes(data)

    assert store.load() == [record(scans=store.load()[0].scans)]
    assert (tmp_path / "0.device.broken").exists()


def test_few_presses_are_remembered() -> None:
    """The oldest are forgotten; one that changes takes the place of the last."""
    kept = record()
    for number in range(MOST_PRESSES + 10):
        kept = kept.with_press(StoredPress(scan_identifier=str(number), path="p", destination="d1"))
    begun = StoredPress(scan_identifier="20", path="p", destination="d1", state="begun")
    kept = kept.with_press(begun)

    assert len(kept.presses) == MOST_PRESSES
    assert kept.presses[-1] == begun
    assert not kept.has_press(StoredPress(scan_identifier="0", path="p", destination="d1"))
    assert not kept.has_press(StoredPress(scan_identifier="20", path="other", destination="d1"))


@pytest.mark.conformance("WSS-012")
def test_a_new_subscription_is_random() -> None:
    """Path, identifier, and the context of each destination."""
    made = [new_subscription("http://10.0.0.5:1", (("d1", "A"), ("d2", "B"))) for _ in range(50)]
    values = [one.path for one in made] + [one.identifier for one in made]
    values += [destination.context for one in made for destination in one.destinations]

    assert len(set(values)) == 200
    assert all(len(one) >= 32 for one in values)
