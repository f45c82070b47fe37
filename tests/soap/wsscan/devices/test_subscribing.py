"""The life of subscriptions at a scanner: once, renewed in time, taken up after a restart, ended at the stop."""

from __future__ import annotations

import itertools
import socket
import time
from pathlib import Path

import panel_inlets
import pytest
from panel_inlets import RENEW, SUBSCRIBE, UNSUBSCRIBE, counted
from works import until

from postscan.cli.device.wsscan.scanner import WsdScanner

LABELS = ("Invoices", "Letters", "Contracts")


@pytest.mark.conformance("WSS-010", "WSS-013")
def test_all_destinations_are_offered_by_one_subscription(tmp_path: Path) -> None:
    """One per destination fills the panel, and hangs some devices."""
    with WsdScanner() as scanner, panel_inlets.running(tmp_path, scanner, destinations=LABELS) as inlet:
        inlet.wait_ready()

        assert scanner.destinations == list(LABELS)
        assert counted(scanner, SUBSCRIBE) == 1
        assert scanner.bodies(SUBSCRIBE)[0].count(b"<wscn:ScanDestinations>") == 1
        (record,) = inlet.records
        assert record.scans is not None
        tokens = {one.token for one in record.scans.destinations}
        assert tokens == {one.token for one in scanner.subscriptions[0].destinations}


@pytest.mark.conformance("WSS-012")
def test_each_subscription_has_a_path_an_identifier_and_contexts_of_its_own(tmp_path: Path) -> None:
    """They select the user of a job, so they cannot be guessed."""
    seen = []
    with WsdScanner() as scanner:
        for _ in range(2):
            with panel_inlets.running(tmp_path, scanner) as inlet:
                inlet.wait_ready()
                (subscription,) = scanner.subscriptions
                seen.append(subscription)

    first, second = seen
    assert first.notify_to.address != second.notify_to.address
    assert first.destinations[0].context != second.destinations[0].context
    assert len(first.destinations[0].context) == 36
    identifiers = {one.notify_to.parameters[0].text for one in seen}
    assert len(identifiers) == 2


@pytest.mark.conformance("WSS-015", "WSS-020")
def test_a_subscription_is_renewed_before_half_of_its_time_is_over(tmp_path: Path) -> None:
    """At the manager's address with its reference parameters, which the simulated scanner demands."""
    with WsdScanner(longest_grant=4) as scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        until(lambda: counted(scanner, RENEW) >= 3)

        assert counted(scanner, SUBSCRIBE) == 1
        times = [one.at for one in scanner.requests if one.what.endswith((SUBSCRIBE, RENEW))]
        assert all(later - earlier < 2.0 for earlier, later in itertools.pairwise(times))
        assert min(panel_inlets.gaps(scanner)) >= 1.0


@pytest.mark.conformance("WSS-018")
def test_all_subscriptions_are_ended_at_the_stop(tmp_path: Path) -> None:
    """Within two seconds; a process that vanished left a Samsung deaf."""
    with WsdScanner() as scanner:
        with panel_inlets.running(tmp_path, scanner, job_events=True) as inlet:
            inlet.wait_ready()
            until(lambda: len(scanner.subscriptions) == 2)
            began = time.monotonic()
            inlet.server.stop()
            until(lambda: not scanner.subscriptions)
            took = time.monotonic() - began

        assert took < 2.0
        assert inlet.records[0].scans is None
        assert inlet.records[0].jobs is None


@pytest.mark.conformance("WSS-018")
def test_scanners_are_left_side_by_side(tmp_path: Path) -> None:
    """One that does not answer delays the other one by nothing, and the stop by two seconds at most."""
    with WsdScanner() as first, WsdScanner(misbehaviours=["never-answer=Unsubscribe"]) as second:
        with (
            panel_inlets.running(tmp_path / "a", first) as one,
            panel_inlets.running(tmp_path / "b", second) as other,
        ):
            one.wait_ready()
            other.wait_ready()
            began = time.monotonic()
            one.server.stop()
            other.server.stop()
            other.server.wait_for(lambda: other.server.end)
            took = time.monotonic() - began

        assert took < 2.5
        assert not first.subscriptions
        assert other.records[0].scans is not None, "it is renewed at the next start"


@pytest.mark.conformance("WSS-016")
def test_changed_destinations_end_the_old_subscription_first(tmp_path: Path) -> None:
    """After a process that could not end it."""
    with WsdScanner() as scanner:
        panel_inlets.killed(tmp_path, scanner)
        with panel_inlets.running(tmp_path, scanner, destinations=("Letters",)) as inlet:
            inlet.wait_ready()
            until(lambda: scanner.destinations == ["Letters"])

        actions = [one.what.rpartition("/")[2] for one in scanner.requests]
        assert actions.count(SUBSCRIBE) == 2
        assert UNSUBSCRIBE in actions[actions.index(SUBSCRIBE) : len(actions) - actions[::-1].index(SUBSCRIBE)]


@pytest.mark.conformance("WSS-014", "WSS-016", "WSS-019")
def test_a_restart_after_kill_9_renews_and_subscribes_to_nothing(tmp_path: Path) -> None:
    """The subscription was stored, and its events arrive at the same URL."""
    with WsdScanner() as scanner:
        panel_inlets.killed(tmp_path, scanner)
        with panel_inlets.running(tmp_path, scanner) as inlet:
            inlet.wait_ready()
            until(lambda: counted(scanner, RENEW) == 1)

            assert len(scanner.subscriptions) == 1
            assert counted(scanner, SUBSCRIBE) == 1
            scanner.press("Invoices")
            assert len(inlet.server.wait_for_jobs(1)[0].pages) > 0


@pytest.mark.conformance("WSS-019")
def test_a_restart_of_both_ends_with_one_subscription(tmp_path: Path) -> None:
    """The scanner has forgotten the one before; the source finds that out by Renew."""
    with WsdScanner() as scanner:
        panel_inlets.killed(tmp_path, scanner)
        scanner.reboot()
        with panel_inlets.running(tmp_path, scanner) as inlet:
            until(lambda: counted(scanner, SUBSCRIBE) == 2)
            until(lambda: len(scanner.subscriptions) == 1)
            inlet.wait_ready()

            scanner.press("Invoices")
            inlet.server.wait_for_jobs(1)
        assert counted(scanner, SUBSCRIBE) == 2


@pytest.mark.conformance("WSS-017")
def test_a_scanner_that_refuses_to_renew_is_subscribed_to_again(tmp_path: Path) -> None:
    """The one before is ended first: the scanner may still have it."""
    scanner = WsdScanner(longest_grant=4, misbehaviours=["no-renew"])
    with scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        until(lambda: counted(scanner, SUBSCRIBE) >= 2)

        until(lambda: len(scanner.subscriptions) == 1)
        assert counted(scanner, UNSUBSCRIBE) >= 1


@pytest.mark.conformance("WSS-017")
def test_the_end_of_a_subscription_leads_to_another_one(tmp_path: Path) -> None:
    """SubscriptionEnd comes to EndTo; pauses between two of them grow."""
    with WsdScanner() as scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        for number in (2, 3, 4):
            scanner.end_subscriptions()
            until(lambda number=number: counted(scanner, SUBSCRIBE) == number and scanner.subscriptions)

        times = [one.at for one in scanner.requests if one.what.endswith(SUBSCRIBE)]
        pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert pauses[0] >= 0.9
        assert pauses[1] >= 1.9
        assert pauses[2] >= 3.9


@pytest.mark.conformance("WSS-017")
def test_an_invalid_token_fails_the_press_and_leads_to_another_subscription(tmp_path: Path) -> None:
    """The next press is brought."""
    scanner = WsdScanner(misbehaviours=["wrong-token"])
    with scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        press = scanner.press("Invoices")
        until(lambda: counted(scanner, SUBSCRIBE) == 2 and len(scanner.subscriptions) == 1)
        inlet.server.wait_for_jobs(1, "Canceled")
        scanner.cancel()
        until(lambda: press.ended.is_set())

        assert counted(scanner, UNSUBSCRIBE) == 1
        inlet.server.wait_for(lambda: "a press failed" in inlet.server.health[-1][1])
        scanner.press("Invoices")
        inlet.server.wait_for_jobs(1)
        inlet.wait_state("ready")


@pytest.mark.conformance("WSS-013")
def test_a_destination_without_a_token_is_reported_and_not_used(tmp_path: Path) -> None:
    """The others are."""
    scanner = WsdScanner(misbehaviours=["no-token-for-destination=Letters"])
    with scanner, panel_inlets.running(tmp_path, scanner, destinations=LABELS) as inlet:
        text = inlet.wait_state("degraded", "no token")
        assert "'Letters'" in text
        assert "'Invoices'" not in text

        scanner.press("Letters")
        until(lambda: inlet.logged("press ignored: its destination is not one of the subscription"))
        scanner.reboot()  # the press that waits is forgotten
        assert inlet.server.jobs == []


@pytest.mark.conformance("WSS-017")
def test_a_scanner_that_is_off_is_asked_again_after_growing_pauses(tmp_path: Path) -> None:
    """And served when it is back."""
    with WsdScanner(longest_grant=4) as scanner, panel_inlets.running(tmp_path, scanner) as inlet:
        inlet.wait_ready()
        scanner.power_off()
        inlet.wait_state("away")
        scanner.power_on()
        inlet.wait_state("ready")

        until(lambda: len(scanner.subscriptions) == 1)


def test_more_destinations_than_a_panel_may_show_are_warned_of(tmp_path: Path) -> None:
    """All of them are offered, in the order of the settings."""
    labels = tuple(f"Folder {number}" for number in range(16))
    with WsdScanner() as scanner, panel_inlets.running(tmp_path, scanner, destinations=labels) as inlet:
        assert "16 destinations" in inlet.wait_state("degraded", "panel")

        assert scanner.destinations == list(labels)


def test_a_stored_port_that_is_taken_leads_to_another_subscription(tmp_path: Path) -> None:
    """The old one is ended: its events would arrive elsewhere."""
    with WsdScanner() as scanner:
        panel_inlets.killed(tmp_path, scanner)
        port = int(scanner.subscriptions[0].notify_to.address.split(":")[2].split("/")[0])
        with socket.create_server(("127.0.0.1", port)), panel_inlets.running(tmp_path, scanner) as inlet:
            until(lambda: counted(scanner, SUBSCRIBE) == 2)
            until(lambda: len(scanner.subscriptions) == 1)
            inlet.wait_ready()

            scanner.press("Invoices")
            inlet.server.wait_for_jobs(1)


def test_a_scanner_of_former_settings_is_left(tmp_path: Path) -> None:
    """Its panel no longer shows our destinations."""
    with WsdScanner() as former, WsdScanner() as scanner:
        panel_inlets.killed(tmp_path, former)
        with panel_inlets.running(tmp_path, scanner) as inlet:
            inlet.wait_ready()
            until(lambda: not former.subscriptions)
            until(lambda: len(inlet.records) == 1)
