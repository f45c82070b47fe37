"""`postscan subscriptions` on a real database: who hears of what, and an administrator who ends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import ANNA
from typer.testing import Result
from works import SID, instructions

from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.subscription import EventService, Sink, Subscription

ADMIN = Principal("user:S-1-5-21-1-2-3-500", Proof.CERTIFICATE, admin=True)
URL = "http://192.0.2.7:5357/events"
Postscan = Callable[..., Result]


def subscribe(core: Engine, by: Principal = ANNA, **more: Any) -> Subscription:
    """Subscribe somebody for an hour."""
    wanted: dict[str, Any] = {
        "port": EventService.PROCESSING,
        "notify_to": Sink(URL, "192.0.2.7"),
        "end_to": Sink(URL + "/end", "192.0.2.7"),
        "actions": (),
        "seconds": 3600.0,
    }
    return core.subscriptions.add(owner=by, manager_of=str, absolute=False, **wanted | more)


def a_job(core: Engine, by: Principal = ANNA) -> str:
    """Make a job, which is one event."""
    return core.service.create(by, SID, "7B0E", instructions("copy"))


def cells(result: Result) -> list[list[str]]:
    """Return the rows of a table, without its head."""
    return [line.split() for line in result.stdout.splitlines()[2:] if line.strip()]


def test_the_subscriptions_of_everybody_are_listed(postscan: Postscan, core: Engine) -> None:
    """An administrator sees at which service, whose, where to, for how long yet, and how much waits."""
    mine, theirs = subscribe(core), subscribe(core, ADMIN, port=EventService.CONFIGURATION, seconds=7200.0)
    a_job(core)
    listed = {row[0]: row for row in cells(postscan("subscriptions", "list"))}

    assert set(listed) == {mine.id, theirs.id}
    assert listed[mine.id][1:5] == ["processing", ANNA.name, "address", URL]
    assert listed[theirs.id][1:5] == ["configuration", ADMIN.name, "certificate", URL]
    assert (listed[mine.id][5] <= "1:00:00", listed[theirs.id][5] > "1:50:00") == (True, True)
    assert [row[6] for row in listed.values()] == ["1", "1"]


def test_what_waits_is_what_is_its_own_and_was_not_delivered(postscan: Postscan, core: Engine) -> None:
    """Jobs of others do not count, nor does what was told before."""
    told, behind = subscribe(core), subscribe(core)
    a_job(core)
    core.service.cancel(a_job(core, Principal("device:192.0.2.8", Proof.ADDRESS)), ADMIN)
    core.subscriptions.advance({told.id: 1_000})
    records = {one["id"]: one for one in json.loads(postscan("subscriptions", "list", "--json").stdout)}

    assert (records[told.id]["waiting"], records[behind.id]["waiting"]) == (0, 1)


def test_the_json_has_the_same_facts(postscan: Postscan, core: Engine) -> None:
    """For programs: stable names, plain values."""
    made = subscribe(core, actions=("urn:example:news",), end_to=None)
    (record,) = json.loads(postscan("subscriptions", "list", "--json").stdout)

    assert 3500 < record.pop("seconds_left") <= 3600
    assert record == {
        "id": made.id,
        "service": "processing",
        "owner": {"name": ANNA.name, "proof": "address"},
        "notify_to": URL,
        "end_to": None,
        "actions": ["urn:example:news"],
        "waiting": 0,
    }


def test_text_of_a_subscriber_cannot_steer_the_terminal(postscan: Postscan, core: Engine) -> None:
    """Neither where its events go, nor its name."""
    subscribe(core, Principal("device:\x1b[31m", Proof.ADDRESS), notify_to=Sink(URL + "/\x9b2J", "192.0.2.7"))
    shown = postscan("subscriptions", "list").stdout

    assert [character for character in shown if character in "\x1b\x9b"] == []
    assert "device:\\x1b[31m" in shown
    assert URL + "/\\x9b2J" in shown


def test_nobody_is_listed_who_has_not_subscribed(postscan: Postscan) -> None:
    """On a new database as well."""
    assert postscan("subscriptions", "list").stdout == "no subscriptions\n"
    assert json.loads(postscan("subscriptions", "list", "--json").stdout) == []


@pytest.mark.parametrize("spelled", ["{}", "urn:uuid:{}"])
def test_an_administrator_ends_a_subscription(postscan: Postscan, core: Engine, spelled: str) -> None:
    """It is gone from the list, it waits for the next server, and the audit trail has who did it."""
    made, kept = subscribe(core), subscribe(core)
    result = postscan("subscriptions", "end", spelled.format(made.id.upper()))

    assert (result.exit_code, result.stdout) == (
        0,
        "ended; the next server that starts sends SubscriptionEnd to the subscriber\n",
    )
    assert [row[0] for row in cells(postscan("subscriptions", "list"))] == [kept.id]
    assert [one.id for one in core.subscriptions.live() if one.cancelled] == [made.id]
    (line,) = json.loads(postscan("audit", made.id, "--json").stdout)
    assert (line["verb"], line["proof"], line["outcome"]) == ("unsubscribe", "local", "done")
    assert (ANNA.name in line["detail"], URL in line["detail"]) == (True, True)


def test_it_says_who_tells_the_subscriber(postscan: Postscan, core: Engine) -> None:
    """The server if one is running; nobody if there is no EndTo."""
    asked, quiet = subscribe(core), subscribe(core, end_to=None)
    with core.running():
        first = postscan("subscriptions", "end", asked.id)
    second = postscan("subscriptions", "end", quiet.id)

    assert first.stdout == "ended; the server sends SubscriptionEnd to the subscriber\n"
    assert second.stdout == "ended; it has no EndTo address, so no SubscriptionEnd is sent\n"


@pytest.mark.parametrize("id", ["0f4e8a36-5b1c-4d2e-9f70-a1b2c3d4e5f6", "nobody's", "", "x\x1b[31m", "\udcff"])
def test_an_unknown_subscription_cannot_be_ended(postscan: Postscan, id: str) -> None:
    """Exit code 1, and one line that says where to look."""
    result = postscan("subscriptions", "end", id)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"postscan: there is no subscription {id!r}; see: postscan subscriptions list"
    ]


def test_a_subscription_is_ended_once(postscan: Postscan, core: Engine) -> None:
    """The second time there is none."""
    made = subscribe(core)
    postscan("subscriptions", "end", made.id)

    assert postscan("subscriptions", "end", made.id).exit_code == 1
    assert len(core.store.audit(made.id)) == 1
