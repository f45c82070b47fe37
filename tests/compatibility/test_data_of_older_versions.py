"""Data folders of older versions: this version reads every job, finishes the open ones, and repeats stored answers.

`tests/fixtures/v0_1/README.md` says what the folder of 0.1.0 holds and how it was made.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from acceptance.scanning import Scanner, good, instructions, refusal
from acceptance.seeking import device_url, probe, sequenced, text
from acceptance.server import SHARE, Server, digest
from device import SOAP_TYPE, Device
from listeners import Listener, summary
from lxml import etree
from works import until

from postscan.cli import main

V0_1 = Path(__file__).parent.parent / "fixtures" / "v0_1"
ARCHIVE = "5B0F3C1A-6E42-4D57-9A1E-0C7D8E2F4A61"
ENDED = ("Completed", "Canceled", "Aborted")
MULTIPART = 'multipart/related; boundary="b41f7c0e2a"; type="application/xop+xml"; start="<root@device>"'

Record = dict[str, Any]


def kept(name: str) -> list[Record]:
    """Return what 0.1.0 printed for its own data folder: one record a line."""
    return [json.loads(line) for line in (V0_1 / "expected" / f"{name}.jsonl").read_text().splitlines()]


JOBS = {record["name"]: record for record in kept("jobs")}
SUBSCRIPTIONS = {record["name"]: record for record in kept("subscriptions")}
TOKENS = {name: record["token"] for name, record in JOBS.items()}


@dataclass
class Older:
    """A copy of the data folder, and a server of this version for it.

    `subscribers` and `hook` are the HTTP servers that events and the webhook filter go to.
    """

    server: Server
    subscribers: Listener
    hook: Listener

    def postscan(self, *arguments: str) -> str:
        """Run a command of this version and return what it prints."""
        command = ["postscan", "--config", str(self.server.home / "postscan.toml"), *arguments]
        with (
            patch.object(sys, "argv", command),
            contextlib.redirect_stdout(io.StringIO()) as printed,
            pytest.raises(SystemExit) as ended,
        ):
            main()
        assert not ended.value.code, (command, printed.getvalue())
        return printed.getvalue()

    def show(self, token: str) -> Record:
        """Return all that `jobs show` prints of a job."""
        record: Record = json.loads(self.postscan("jobs", "show", token, "--json"))
        return record

    def tokens(self) -> list[str]:
        """Return the tokens of all jobs."""
        return [one["token"] for one in json.loads(self.postscan("jobs", "list", "--all", "--json"))]

    def ended(self, token: str) -> Record:
        """Wait until a job has ended and return its record."""
        until(lambda: self.show(token)["state"] in ENDED, f"for {token} to end")
        return self.show(token)

    def delivered(self, record: Record) -> list[str]:
        """Return the SHA-256 of every file on the share that belongs to a job, in the order of the names."""
        return [digest(file) for file in on_share(self.server.share, record)]

    def events(self, path: str) -> list[bytes]:
        """Return the messages that a subscriber at this path was sent."""
        sent = zip(list(self.subscribers.heads), list(self.subscribers.heard), strict=False)
        return [body for head, body in sent if head["path"] == path]


def on_share(share: Path, record: Record) -> list[Path]:
    """Return the files on a share that belong to a job; the names begin with its DocumentRootName."""
    return sorted(share.rglob(f"{record['document_root']}_*"))


def images(record: Record) -> list[str]:
    """Return the SHA-256 of each image of a job."""
    return [document["sha256"] for document in record["documents"]]


def narrowed(found: Any, old: Any) -> Any:
    """Return *found* without the keys that *old* lacks: a later version may print more."""
    if isinstance(found, dict) and isinstance(old, dict):
        return {name: narrowed(found[name], old[name]) for name in old if name in found}
    if isinstance(found, list) and isinstance(old, list) and len(found) == len(old):
        return [narrowed(*both) for both in zip(found, old, strict=True)]
    return found


def redirected(database: Path, origin: str) -> None:
    """Let the subscribers of the copy be at *origin*. The tables are those of 0.1.0: nothing has opened them yet."""
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        for column in ("notify_url", "end_url"):
            db.execute(
                f"update subscription set {column} = replace({column}, 'http://127.0.0.1:5357', ?)",
                (origin,),
            )


@pytest.fixture(scope="module")
def unopened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Older]:
    """A copy that no command has opened yet."""
    home = tmp_path_factory.mktemp("older")
    with Listener() as subscribers, Listener(200) as hook:
        settings = {
            "identity": {"administrators": ["S-1-5-21-1-2-3-500"]},
            'users."S-1-5-21-1-2-3-1001"': {"name": "anna@fabrikam.example", "mail": "anna@fabrikam.example"},
            'users."S-1-5-21-1-2-3-1002"': {"name": "boris@fabrikam.example"},
            "filters.webhook.targets.books": {"url": hook.url, "images": True},
        }
        server = Server(home, settings)
        shutil.copytree(V0_1 / "data", home / "data")
        shutil.copytree(V0_1 / "share", server.share, dirs_exist_ok=True)
        redirected(home / "data" / "postscan.sqlite", subscribers.origin)
        try:
            yield Older(server, subscribers, hook)
        finally:
            server.close()


@dataclass
class Read:
    """What the commands of this version print for the data folder before a server of this version has run."""

    jobs: dict[str, Record]
    tokens: list[str]
    found: list[Record]
    counted: dict[str, int]
    audit: list[Record]
    subscriptions: list[Record]


@pytest.fixture(scope="module")
def read(unopened: Older) -> Read:
    """All that can be read without a server."""
    return Read(
        jobs={name: unopened.show(token) for name, token in TOKENS.items()},
        tokens=unopened.tokens(),
        found=json.loads(unopened.postscan("jobs", "list", "--from", "2000-01-01", "--limit", "500", "--json")),
        counted=json.loads(unopened.postscan("jobs", "counts", "--json"))["states"],
        audit=json.loads(unopened.postscan("audit", "--limit", "100000", "--json")),
        subscriptions=json.loads(unopened.postscan("subscriptions", "list", "--json")),
    )


@pytest.fixture(scope="module")
def older(unopened: Older, read: Read) -> Iterator[Older]:
    """A server of this version on the copy, after everything was read."""
    assert read
    unopened.server.start()
    yield unopened
    assert unopened.server.tracebacks() == []


# --- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_read_as_the_older_version_read_it(read: Read, name: str) -> None:
    """Token, state, reasons, owner, user, filters, receipts, documents, deliveries and events."""
    old = {key: value for key, value in JOBS[name].items() if key != "name"}

    assert narrowed(read.jobs[name], old) == old


def test_the_list_has_every_job_and_no_other(read: Read) -> None:
    """Open ones and those that have ended."""
    assert sorted(read.tokens) == sorted(TOKENS.values())


def test_a_search_finds_every_job_and_no_other(read: Read) -> None:
    """As the older version has it, newest first; the numbers of jobs by state are those of the same jobs."""
    found = {one["token"]: one for one in read.found}
    states = [job["state"] for job in JOBS.values()]

    assert sorted(one["token"] for one in read.found) == sorted(TOKENS.values())
    assert [one["created"] for one in read.found] == sorted((job["created"] for job in JOBS.values()), reverse=True)
    assert {name: found[token]["state"] for name, token in TOKENS.items()} == {
        name: job["state"] for name, job in JOBS.items()
    }
    assert {name: found[token]["images_received"] for name, token in TOKENS.items()} == {
        name: job["images_received"] for name, job in JOBS.items()
    }
    assert read.counted == {state: states.count(state) for state in states}


def test_the_audit_trail_is_read_line_by_line(read: Read) -> None:
    """Reading adds no line."""
    assert narrowed(read.audit, kept("audit")) == kept("audit")


def test_the_subscriptions_are_still_in_force(read: Read, unopened: Older) -> None:
    """Service, owner, addresses, actions and number of waiting events; the one that was ended is not listed.

    Their clock has stood still since the older version wrote it down.
    """
    found = {one["id"]: one for one in read.subscriptions}
    assert found.keys() == {one["id"] for one in SUBSCRIPTIONS.values()}
    for old in SUBSCRIPTIONS.values():
        now = found[old["id"]]
        wanted = {key: value for key, value in old.items() if key not in ("name", "seconds_left")}
        for address in ("notify_to", "end_to"):
            wanted[address] = wanted[address].replace("http://127.0.0.1:5357", unopened.subscribers.origin)

        assert narrowed(now, wanted) == wanted
        assert old["seconds_left"] - 300 < now["seconds_left"] <= old["seconds_left"]


# --- going on ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pending", "pending_of_a_user", "started"])
def test_a_job_that_waited_is_processed(older: Older, name: str) -> None:
    """Also one that the older version had claimed and not begun: every image arrives on the share, byte for byte."""
    end = older.ended(TOKENS[name])

    assert (end["state"], end["reasons"]) == ("Completed", ["PostScanJobCompletedSuccessfully"])
    assert images(end) == images(JOBS[name])
    assert older.delivered(end) == images(JOBS[name])


def test_a_filter_that_was_running_runs_again_and_those_before_it_do_not(older: Older) -> None:
    """The filters behind it get the documents that the older version's filter has made."""
    old = JOBS["processing_changed"]
    made = on_share(V0_1 / "share", old)
    end = older.ended(old["token"])

    assert (end["state"], [one["attempt"] for one in end["filters"]]) == ("Completed", [1, 1, 2, 1])
    assert hashlib.sha256(made[0].read_bytes()[::-1]).hexdigest() == images(old)[0]
    assert sorted(older.delivered(end)) == sorted([*map(digest, made)] * 2)


def test_documents_that_were_delivered_are_not_delivered_again(older: Older) -> None:
    """The older version was killed between the deliveries of one filter."""
    old = JOBS["processing_half_delivered"]
    assert 0 < len(on_share(V0_1 / "share", old)) < len(images(old))
    end = older.ended(old["token"])

    assert end["state"] == "Completed"
    assert older.delivered(end) == images(old)
    assert [one["published"] for one in end["deliveries"]] == [True] * len(images(old))


def test_an_output_that_was_granted_and_not_published_is_repeated_under_its_name(older: Older) -> None:
    """The host of the webhook knows the message by its Idempotency-Key."""
    (granted,) = JOBS["processing_granted"]["deliveries"]
    end = older.ended(TOKENS["processing_granted"])

    assert not granted["published"]
    assert end["state"] == "Completed"
    assert [head["idempotency-key"] for head in older.hook.heads] == [granted["name"]]
    assert older.delivered(end) == images(end)


def test_a_stored_cancel_still_ends_the_job(older: Older) -> None:
    """It was Terminating: no filter runs any more, and what was delivered stays."""
    old = JOBS["terminating"]
    end = older.ended(old["token"])

    assert (end["state"], end["reasons"]) == ("Canceled", ["PostScanJobCanceled"])
    assert [one["state"] for one in end["filters"]] == ["CompletedSuccessfully", "Canceled", "Canceled"]
    assert older.delivered(end) == [*map(digest, on_share(V0_1 / "share", old))] == images(old)


def test_a_held_job_is_held_until_it_is_released(older: Older) -> None:
    """The server does not take it by itself."""
    token = TOKENS["held"]
    before = older.show(token)["state"]
    older.postscan("jobs", "release", token)
    end = older.ended(token)

    assert (before, end["state"]) == ("Pending-Held", "Completed")
    assert older.delivered(end) == images(JOBS["held"])


def test_the_images_of_a_job_that_timed_out_are_released_as_a_new_job(older: Older) -> None:
    """The owner stays the same."""
    old = JOBS["timed_out"]
    end = older.ended(older.postscan("jobs", "release", old["token"]).strip())

    assert (end["state"], end["owner"], images(end)) == ("Completed", old["owner"], images(old))
    assert older.delivered(end) == images(old)


def test_a_device_goes_on_with_its_job(older: Older) -> None:
    """Two images are there; it sends the third and ends the job."""
    scanner, old = Scanner(older.server), JOBS["creating"]
    (third,) = scanner.send(old["token"], 3)
    good(scanner.device.end(old["token"]))
    end = older.ended(old["token"])

    assert end["state"] == "Completed"
    assert older.delivered(end) == [*images(old), hashlib.sha256(third).hexdigest()]


def test_a_job_of_a_user_with_a_certificate_is_not_that_of_the_address(older: Older) -> None:
    """Owners keep their proof."""
    scanner, token = Scanner(older.server), TOKENS["creating_of_a_user"]

    assert refusal(scanner.device.elements(token)).subcode == "dsp:ClientErrorJobTokenNotFound"
    assert older.show(token)["state"] == "Creating"


def test_an_image_that_was_on_its_way_is_gone_and_may_be_sent_again(older: Older) -> None:
    """Also gone are the private folders of filter runs; a file that no job knows is kept aside."""
    data, token = older.server.settings.storage.data_dir, TOKENS["creating_empty"]
    scanner = Scanner(older.server)
    left = sorted(file.name for file in (V0_1 / "data" / "spool" / token).iterdir())
    sent = scanner.send(token, 1)
    good(scanner.device.end(token))

    assert re.fullmatch(r"1-[0-9a-f]{8}\.part", "".join(left))
    assert older.delivered(older.ended(token)) == [hashlib.sha256(sent[0]).hexdigest()]
    assert not list((data / "spool").rglob("*.part"))
    assert not {one.name for one in (V0_1 / "data" / "run").iterdir()} & {one.name for one in (data / "run").iterdir()}
    aside = [file.relative_to(V0_1 / "data") for file in (V0_1 / "data" / "spool" / "lost+found").rglob("1-*")]
    assert [(data / one).read_bytes() for one in aside] == [(V0_1 / "data" / one).read_bytes() for one in aside] != []


@pytest.mark.parametrize("name", [name for name, job in JOBS.items() if job["state"] in ENDED and name != "timed_out"])
def test_a_job_that_had_ended_stays_as_it_was(older: Older, name: str) -> None:
    """The server changes neither its record nor its images."""
    old = {key: value for key, value in JOBS[name].items() if key != "name"}
    there = sorted(images(old)) if old["images_kept"] else []

    assert narrowed(older.show(old["token"]), old) == old
    assert older.server.images(old["token"]) == there


# --- repeating ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["create", "send", "end", "cancel"])
def test_a_repeated_request_gets_the_stored_answer(older: Older, operation: str) -> None:
    """The same bytes, sent to this version: no fault, the same token, and no second effect."""
    body = (V0_1 / "requests" / f"{operation}.body").read_bytes()
    device = Device(older.server.url)
    before = len(older.tokens()), older.show(TOKENS["creating"])["images_received"]
    answer = good(device.post(body, MULTIPART if operation == "send" else SOAP_TYPE))

    assert answer.find("JobToken") == (TOKENS["creating"] if operation == "create" else None)
    assert (len(older.tokens()), older.show(TOKENS["creating"])["images_received"]) == before


# --- telling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "job"),
    [("device", "started"), ("user", "pending_of_a_user"), ("administrator", "started")],
)
def test_a_subscriber_is_sent_the_events_of_its_jobs(older: Older, path: str, job: str) -> None:
    """Those that the older version had not delivered, and the new ones; with the reference parameters."""

    def sent() -> list[bytes]:
        return [body for body in older.events(f"/events/{path}") if TOKENS[job].encode() in body]

    until(lambda: any("Completed" in summary(body) for body in sent()), f"for {path} to be told")
    states = [summary(body)[1] for body in sent()]

    assert (states[0], states[-1]) == ("Started", "Completed")
    assert all(b"urn:uuid:1c4b7a90-6c02-4cf5-9c0d-7e8f90a1b213" in body for body in sent())


def test_the_end_of_a_subscription_is_told_to_its_subscriber(older: Older) -> None:
    """An administrator ended it when no server was running."""
    until(lambda: older.events("/events/ended/end"), "for the end of the subscription")
    (message,) = older.events("/events/ended/end")

    assert etree.QName(etree.fromstring(message)[1][0]).localname == "SubscriptionEnd"


# --- the server itself -------------------------------------------------------------------------------------------


def test_a_stored_scan_process_is_used(older: Older) -> None:
    """With the users and the instructions that it was stored with."""
    scanner = Scanner(older.server)
    asked = instructions(f"share {SHARE}", root="Archive")
    token = good(scanner.device.create(ARCHIVE, asked)).find("JobToken")
    assert token
    (page,) = scanner.send(token)
    good(scanner.device.end(token))
    end = older.ended(token)
    stranger = Device(older.server.url, user="S-1-5-21-1-2-3-4444")

    assert (end["state"], end["process"]) == ("Completed", {"id": ARCHIVE, "name": "Archive"})
    assert older.delivered(end) == [hashlib.sha256(page).hexdigest()]
    assert refusal(stranger.create(ARCHIVE, asked)).detail == ("PSP_Identifier", ARCHIVE)


def test_the_server_keeps_its_name_and_counts_its_runs_on(older: Older) -> None:
    """The older version once ran with a clock that was set to 2099, so the number of the run is not the time."""
    name, last = ((V0_1 / "data" / file).read_text().strip() for file in ("endpoint-id", "discovery-instance"))
    answer = Device(device_url(older.server)).post(probe()).body

    assert text(answer, "wsa:Address") == name
    assert sequenced(answer)[0] == int(last) + 1
