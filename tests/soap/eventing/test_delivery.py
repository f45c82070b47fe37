"""Delivery of one subscriber's notifications: repetition after failures, slow sinks beside others, the address."""

from __future__ import annotations

import itertools
import ssl
from pathlib import Path
from typing import Any

import certificates
import pytest
from conftest import ANNA, BORIS
from cryptography import x509
from free_ports import free_port
from listeners import Listener, Telling
from subscribed import CANCELED, CREATED, create, live_and_end, subscribe, with_events
from works import until

from postscan.core.engine import Engine
from postscan.core.errors import SettingsError
from postscan.core.model.subscription import Sink
from postscan.core.settings import Settings
from postscan.soap.eventing import delivery

DEADLINE = 2.0
"""Seconds for sinks that hang; on a busy machine one that answers may take longer."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Few tries, room for many subscriptions, and patience: a message whose answer is late is sent again."""
    return with_events(settings, tries=3, most_per_caller=100, deadline_seconds=60)


# --- who does not listen ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", [500, 404, 307, "close", "hang"])
def test_a_message_that_was_not_taken_is_sent_again_the_same(core: Engine, manner: Any) -> None:
    """F-R18, I27, T-A6: in its place, before any later one; a redirection is not followed (T-A2)."""
    manners = itertools.chain([202, manner, manner], itertools.repeat(202))
    with Listener(lambda: next(manners)) as listener:
        subscribe(core, listener)
        hasty = with_events(core.settings, deadline_seconds=DEADLINE, tries=1000)
        with Telling(core, hasty if manner == "hang" else core.settings):
            live_and_end(core)
            until(lambda: CANCELED[1] in listener.told)

    if manner != "hang":
        assert listener.told == [CREATED, *[CANCELED[0]] * 3, CANCELED[1]]
    assert len(listener.heard) >= 5
    assert [name for name, _ in itertools.groupby(listener.told)] == [CREATED, *CANCELED]
    assert len(set(listener.heard)) == 3
    assert {head["path"] for head in listener.heads} == {"/events/3?of=anna"}


@pytest.mark.parametrize("manner", [200, 202, 204, "endless"])
def test_any_status_of_success_will_do(core: Engine, manner: Any) -> None:
    """dpws.md section 8.3, T-A6: also if the answer behind it never ends."""
    with Listener(manner) as listener:
        subscribe(core, listener)
        with Telling(core):
            live_and_end(core)
            until(lambda: len(listener.heard) >= 3)

    assert listener.told == [CREATED, *CANCELED]


def test_a_success_wipes_the_slate_clean(core: Engine) -> None:
    """Only failures in a row count: two of three, again and again, end nothing."""
    manners = itertools.cycle([500, 500, 202])
    with Listener(lambda: next(manners)) as listener:
        subscribe(core, listener)
        with Telling(core):
            live_and_end(core)
            until(lambda: len(listener.heard) >= 9)

    assert [name for name, _ in itertools.groupby(listener.told)] == [CREATED, *CANCELED]
    assert len(core.subscriptions.live()) == 1


def test_pauses_grow_to_a_minute() -> None:
    """F-R18: a sink that is down is not asked all the time."""
    assert [delivery.backoff(n) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


class Reluctant(Listener):
    """A sink that refuses each message once, and holds on to it when it comes again."""

    def manner_of(self, body: bytes) -> Any:
        """Return a status, or "hang"."""
        return 500 if self.heard.count(body) == 1 else "hang"


def test_those_who_hang_do_not_hold_up_the_others(
    core: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-A6, F-R18, T-Q1: three times as many as there is room for, who fail once and then hold on to what they get."""
    monkeypatch.setattr(delivery, "IN_FLIGHT", 8)
    monkeypatch.setattr(delivery, "RETRIES_IN_FLIGHT", 4)
    with Reluctant() as hanging:
        for _ in range(12):
            subscribe(core, hanging)
        subscribe(core, listener)
        with Telling(core, with_events(core.settings, deadline_seconds=300)):
            create(core)
            until(lambda: len(hanging.heard) == 14)
            for _ in range(5):
                live_and_end(core)
            until(lambda: len(listener.heard) >= 16)

    assert listener.told == [CREATED, *[CREATED, *CANCELED] * 5]
    assert len(hanging.heard) == 14


def test_eighty_slow_sinks_of_one_address_do_not_hold_up_a_bystander(core: Engine, listener: Listener) -> None:
    """T-A6, F-R18: they take half of the places, whoever subscribed them; the others are left for other addresses."""
    with Listener("hang", address="127.0.0.2") as slow:
        for number in range(80):
            owner = ANNA if number % 2 else BORIS
            subscribe(core, slow, owner, notify_to=Sink(slow.url, "127.0.0.2"))
        subscribe(core, listener, BORIS)
        with Telling(core, with_events(core.settings, deadline_seconds=300)):
            create(core, ANNA)
            create(core, BORIS)
            until(lambda: len(slow.heard) == delivery.IN_FLIGHT // 2)
            live_and_end(core, BORIS)
            until(lambda: len(listener.heard) == 4)

    assert listener.told == [CREATED, CREATED, *CANCELED]
    assert len(slow.heard) == delivery.IN_FLIGHT // 2


# --- where it goes ---------------------------------------------------------------------------------------------------


def test_it_goes_to_the_address_that_was_pinned_whatever_the_name_is(core: Engine, listener: Listener) -> None:
    """T-A2: the name, which stands for nothing at all by now, is told as Host and asked of nobody."""
    subscribe(core, listener, notify_to=Sink(f"http://gone.invalid:{listener.port}/e", "127.0.0.1"))
    with Telling(core):
        create(core)
        until(lambda: listener.heard)

    assert listener.heads[0]["host"] == f"gone.invalid:{listener.port}"


def test_no_proxy_is_asked(core: Engine, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """D17: whatever the environment says."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    subscribe(core, listener)
    with Telling(core):
        create(core)
        until(lambda: listener.heard)

    assert listener.told == [CREATED]


def believing(settings: Settings, client_ca: Path) -> Settings:
    """Return the settings with CAs of their own."""
    return settings.model_copy(update={"tls": settings.tls.model_copy(update={"client_ca": client_ca})})


@pytest.fixture
def authority() -> certificates.Authority:
    """A CA that the server believes."""
    return certificates.Authority()


def speaking_tls(authority: certificates.Authority, folder: Path, name: str) -> ssl.SSLContext:
    """Return how a sink speaks TLS that has a certificate for this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown = authority.issue("sink", usage=[certificates.SERVER], names=[x509.DNSName(name)])
    context.load_cert_chain(shown.write(folder, "sink"))
    return context


@pytest.mark.parametrize(
    ("certified", "host", "reached"),
    [
        ("mfp-17.fabrikam.example", "mfp-17.fabrikam.example", True),
        ("mfp-18.fabrikam.example", "mfp-17.fabrikam.example", False),
        ("mfp-17.fabrikam.example", "127.0.0.1", False),
    ],
)
def test_a_sink_with_tls_has_to_be_who_its_address_says(
    core: Engine, authority: certificates.Authority, tmp_path: Path, certified: str, host: str, reached: bool
) -> None:
    """dpws.md section 8.3: by a certificate of the CAs of the settings, for the name and not for the address."""
    with Listener(tls=speaking_tls(authority, tmp_path, certified)) as listener:
        subscribe(core, listener, notify_to=Sink(f"https://{host}:{listener.port}/e", "127.0.0.1"))
        with Telling(core, believing(core.settings, authority.write(tmp_path, "ca"))):
            create(core)
            until(lambda: listener.heard or not core.subscriptions.live())

    assert bool(listener.heard) is reached


def test_a_sink_of_unknown_authority_is_not_reached(
    core: Engine, authority: certificates.Authority, tmp_path: Path
) -> None:
    """Without CAs in the settings, those of the machine count."""
    with Listener(tls=speaking_tls(authority, tmp_path, "localhost")) as listener:
        subscribe(core, listener, notify_to=Sink(f"https://localhost:{listener.port}/e", "127.0.0.1"))
        with Telling(core):
            create(core)
            until(lambda: not core.subscriptions.live())

    assert listener.heard == []


def test_a_file_of_authorities_that_is_not_there_is_an_error_of_the_settings(core: Engine, tmp_path: Path) -> None:
    """It names the key, and the file."""
    with pytest.raises(SettingsError, match=r"tls\.client_ca: .*missing\.pem"):
        Telling(core, believing(core.settings, tmp_path / "missing.pem"))
