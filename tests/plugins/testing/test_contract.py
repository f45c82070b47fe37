"""The contract test for filters: what it finds, what it lets pass, and that it harms nobody who runs it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from works import alive, until

from postscan.core.filters.filter import Filter
from postscan.core.filters.parameters import setting
from postscan.core.filters.results import FilterFailed, FilterResult
from postscan.core.registry import redaction
from postscan.plugins.testing import contract
from postscan.plugins.testing.contract import ContractReport, assert_filter_contract
from postscan.plugins.testing.defects import DefectKind


@dataclass(frozen=True)
class Nothing:
    """TestConfig: nothing."""


@dataclass(frozen=True)
class Secretive:
    """A setting that is secret, and a table that may hold one."""

    folder: str = ""
    phrase: str = setting("", secret=True)
    servers: dict = setting({})  # noqa: RUF009  (as authors write it)


class Does(Filter):
    """Do what a test says."""

    dialect = "urn:test:does"
    title = "Does"
    grace = 0.2
    Instructions = Nothing

    def __init__(self, what):
        self.what = what

    def run(self, job, token):
        return self.what(job, token)


@pytest.fixture
def out(tmp_path):
    """A destination."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def examined(tmp_path, out):
    """Examine a filter that does what a function says, on two files; `job.settings["folder"]` is the destination."""
    pages = [tmp_path / "one.png", tmp_path / "two.png"]
    for page in pages:
        page.write_bytes(page.name.encode() * 1000)

    def examine(what, filter=Does, settings=None, **how) -> ContractReport:
        return contract.examine(filter(what), pages, settings={"folder": str(out), **(settings or {})}, **how)

    return examine


def kinds(found: ContractReport) -> list[DefectKind]:
    """Return the kinds of the defects of a filter that could be tried."""
    assert found.untried == ""
    return [one.kind for one in found.defects]


def delivers(job, document):
    """Deliver as a good filter does."""
    return job.deliver(document, Path(job.settings["folder"]))


# --- good filters ---------------------------------------------------------------------------------------------------


def deliver(job, token):
    """The shortest good filter."""
    for document in job.documents:
        delivers(job, document)


def deliver_in_threads(job, token):
    """Several documents at once."""
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda document: delivers(job, document), job.all_documents):
            token.check()


def use_a_tool(job, token):
    """A program that writes into the private folder."""
    for document in job.documents:
        assert job.run_tool(["cp", document.path, "copy"]).code == 0
        job.deliver(document, Path(job.settings["folder"]), source=job.workdir / "copy")


def replace(job, token):
    """Make something for the filters afterwards."""
    for document in job.documents:
        with tempfile.NamedTemporaryFile(delete=False) as file:
            file.write(document.path.read_bytes()[::-1])
        job.replace(document, Path(file.name))


def publish_by_renaming(job, token):
    """Write beside, then rename, and remember what an earlier run did."""
    folder = Path(job.settings["folder"])
    for document in job.documents:
        name = f"{job.job.token}-{document.id}"
        if job.earlier.get((document.id, "here")) == name and (folder / name).exists():
            continue
        with job.publish(document, "here", name):
            shutil.copyfile(document.path, folder / f".{name}.part")
            (folder / f".{name}.part").replace(folder / name)


def log_and_import(job, token):
    """What ordinary libraries do."""
    import wave

    logging.getLogger(wave.__name__).warning("something to know")
    Path(os.devnull).write_text("nothing")
    print("and more")
    deliver(job, token)


def clean_up_after_the_cancel(job, token):
    """A private folder for each document, which goes whatever comes."""
    for document in job.documents:
        folder = job.workdir / str(document.id)
        folder.mkdir()
        try:
            shutil.copyfile(document.path, folder / "page")
            token.wait(0.001)
            job.deliver(document, Path(job.settings["folder"]), source=folder / "page")
        finally:
            shutil.rmtree(folder)


def stop_without_an_exception(job, token):
    """A look that returns in place of one that raises."""
    for document in job.all_documents:
        if token.cancelled:
            return
        with contextlib.suppress(FileExistsError):
            delivers(job, document)


@pytest.mark.parametrize(
    "good",
    [
        deliver,
        deliver_in_threads,
        use_a_tool,
        replace,
        publish_by_renaming,
        log_and_import,
        clean_up_after_the_cancel,
        stop_without_an_exception,
    ],
)
def test_a_good_filter_has_no_defects(examined, good):
    """And it was cancelled at every look, besides two whole runs and one that did the rest."""
    found = examined(good)

    assert kinds(found) == []
    assert found.cancels == found.looks > 0
    assert found.runs >= found.cancels + 2


def test_a_good_filter_passes_the_assertion(tmp_path, out):
    """Without a word."""
    page = tmp_path / "page.png"
    page.write_bytes(b"page")

    assert_filter_contract(Does(deliver), [page], settings={"folder": str(out)})


# --- each defect, in the ways that the faulty plugins do not show -----------------------------------------------------


def forget_a_temporary_file(job, token):
    """In a folder that nobody empties."""
    deliver(job, token)
    with tempfile.NamedTemporaryFile(prefix="postscan-forgotten-", dir="/tmp", delete=False):
        pass


def use_the_wrong_temporary_folder(job, token):
    """And clean it up."""
    deliver(job, token)
    with tempfile.NamedTemporaryFile(dir="/tmp"):
        pass


def write_through_a_link(job, token):
    """Out of the private folder."""
    deliver(job, token)
    (job.workdir / "link").symlink_to(Path(job.settings["folder"]) / "list.txt")
    (job.workdir / "link").write_text("a line")


def leave_a_draft(job, token):
    """Beside the output."""
    folder = Path(job.settings["folder"])
    for document in job.documents:
        with job.publish(document, "here", f"{document.id}.png"):
            shutil.copyfile(document.path, folder / f"{document.id}.part")
            shutil.copyfile(folder / f"{document.id}.part", folder / f"{document.id}.png")


def write_home(job, token):
    """By a tool, which no audit event tells of."""
    deliver(job, token)
    job.run_tool(["sh", "-c", "echo > ~/.toolrc"])


def remove_the_image(job, token):
    """Which belongs to the server."""
    deliver(job, token)
    for document in job.all_documents:
        document.path.chmod(0o600)


def change(what):
    """Return a filter that changes something before it delivers."""

    def do(job, token):
        what()
        deliver(job, token)

    return do


def fail_when_cancelled(job, token):
    """Call it a failure."""
    try:
        deliver(job, token)
    except BaseException as error:
        raise FilterFailed(detail="it was interrupted") from error


def die_when_cancelled(job, token):
    """Take the shortest way out."""
    try:
        deliver(job, token)
    except BaseException:
        os._exit(3)


def hang_when_cancelled(job, token):
    """Do not end at all."""
    try:
        deliver(job, token)
    except BaseException:
        while True:
            time.sleep(1)


def dawdle_when_cancelled(job, token):
    """End long after the grace time."""
    try:
        deliver(job, token)
    finally:
        if token.cancelled:
            time.sleep(2.5)


def ask_around_publish(job, token):
    """Ask the server itself."""
    try:
        deliver(job, token)
    finally:
        job.parent.grant(1, "here", "page.png")


def call_when_cancelled(job, token):
    """Tell somebody of the cancel, who has not been spoken to before."""
    try:
        deliver(job, token)
    finally:
        if token.cancelled:
            with socket.socket() as caller:
                caller.connect_ex(("127.0.0.1", 9))


def append_to_a_list(job, token):
    """One line for each page, and for each time."""
    for document in job.documents:
        with job.publish(document, "here", "list.txt"), (Path(job.settings["folder"]) / "list.txt").open("a") as file:
            file.write(f"{document.name}\n")


def fail_the_second_time(job, token):
    """Take its own output for somebody else's."""
    for document in job.documents:
        if job.earlier:
            raise FilterFailed(detail="the page is there already")
        delivers(job, document)


def do_no_rest(job, token):
    """Believe that one output of an earlier run is all of them."""
    if not job.earlier:
        deliver(job, token)
    token.check()


@pytest.mark.parametrize(
    ("bad", "kind", "seen"),
    [
        (forget_a_temporary_file, DefectKind.LEAVES, "/tmp/postscan-forgotten-"),
        (use_the_wrong_temporary_folder, DefectKind.OUTSIDE, "it wrote /tmp/"),
        (write_through_a_link, DefectKind.OUTSIDE, "out/list.txt"),
        (leave_a_draft, DefectKind.LEAVES, "1.part"),
        (write_home, DefectKind.OUTSIDE, "~/.toolrc"),
        (remove_the_image, DefectKind.OUTSIDE, "one.png"),
        (change(lambda: os.umask(0)), DefectKind.GLOBAL, "the umask"),
        (change(lambda: os.environ.update(ACME="1")), DefectKind.GLOBAL, "the environment (ACME)"),
        (
            change(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)),
            DefectKind.GLOBAL,
            "the signal handlers (SIGTERM)",
        ),
        (fail_when_cancelled, DefectKind.SWALLOWS, "it ended with CompletedWithErrors"),
        (die_when_cancelled, DefectKind.SWALLOWS, "its process ended by itself (exit code 3)"),
        (hang_when_cancelled, DefectKind.SWALLOWS, "it had not ended"),
        (dawdle_when_cancelled, DefectKind.SWALLOWS, "seconds after its grace period"),
        (ask_around_publish, DefectKind.AFTER, "without job.publish"),
        (call_when_cancelled, DefectKind.AFTER, "connected to 127.0.0.1, port 9"),
        (append_to_a_list, DefectKind.TWICE, "list.txt again"),
        (fail_the_second_time, DefectKind.TWICE, "the page is there already"),
        (do_no_rest, DefectKind.TWICE, "did not publish document 2"),
    ],
)
def test_a_defect_is_found_and_told_in_a_sentence(examined, bad, kind, seen):
    """That one alone, with what was seen and what to do."""
    found = examined(bad, most=3)

    for left in Path("/tmp").glob("postscan-forgotten-*"):
        left.unlink()
    assert kinds(found) == [kind]
    assert seen in found.defects[0].sentence


def test_a_tool_that_outlives_the_run_is_found_and_ended(examined, tmp_path):
    """Even if it has left session and parent."""

    def leave(job, token):
        tool = subprocess.Popen(["sleep", "600"], start_new_session=True)
        with (tmp_path / "traces").open("a") as file:
            file.write(f"{tool.pid}\n")
        deliver(job, token)

    found = examined(leave, most=1)
    left = [int(line) for line in (tmp_path / "traces").read_text().splitlines()]

    assert DefectKind.LEAVES in kinds(found)
    assert len(left) == found.runs
    until(lambda: not any(alive(one) for one in left), f"for {left} to be gone")


def test_a_filter_that_never_looks_and_never_ends_is_ended(examined):
    """Both are said: the defect, and that the rest could not be tried."""
    found = examined(lambda job, token: time.sleep(600), seconds=0.5)

    assert [one.kind for one in found.defects] == [DefectKind.NEVER_CHECKS]
    assert found.untried == "it had not ended after 0.5 seconds"


# --- secrets ----------------------------------------------------------------------------------------------------------


class KeepsASecret(Does):
    """One with a secret setting."""

    Settings = Secretive


@pytest.mark.parametrize(
    "tell",
    [
        lambda job, secret: job.log(f"as {secret}"),
        lambda job, secret: job.progress(1, 2, secret),
        lambda job, secret: FilterResult((f"it took {secret}",)),
        lambda job, secret: print(secret),
        lambda job, secret: print(secret, file=sys.stderr),
        lambda job, secret: logging.getLogger("acme").warning("login with %s", secret),
        lambda job, secret: job.run_tool(["true", secret]) and os.system(f"echo '{secret}'") and None,
    ],
)
def test_a_secret_is_found_wherever_it_comes_out(examined, tell):
    """And the sentence does not tell it once more."""

    def run(job, token):
        token.check()
        return tell(job, job.settings.phrase)

    found = examined(run, KeepsASecret, {"phrase": "forty years"})

    assert kinds(found) == [DefectKind.SECRET]
    assert "forty years" not in str(found)


def test_a_secret_in_an_error_is_found_and_blotted_out(examined):
    """The error says why the filter could not be tried, and is shown."""

    def run(job, token):
        token.check()
        raise FilterFailed(detail=f"no login with {job.settings.phrase}")

    found = examined(run, KeepsASecret, {"phrase": "forty years"})

    assert [one.kind for one in found.defects] == [DefectKind.SECRET]
    assert found.untried == "no login with ***"


def test_secrets_are_what_is_declared_and_what_sounds_like_it():
    """However deep; not a path, which only says where the secret is, and nothing so short that any text has it."""
    table = {
        "phrase": "forty years",
        "folder": "/srv/out",
        "servers": {"a": {"user": "ann@acme", "password": "swordfish", "key_file": "/etc/key.pem", "token": "x"}},
    }

    assert redaction.secrets(Secretive, table) == {"forty years", "swordfish"}
    assert redaction.secrets(None, {"list": [{"api_key": "0123456789"}]}) == {"0123456789"}


# --- what cannot be tried ---------------------------------------------------------------------------------------------


class Asks(Does):
    """One that this machine cannot run."""

    def requires(self):
        yield "a moon is missing"


def nothing_to_do(job, token):
    """As shipped filters say it."""
    return FilterResult(("no destination is named",))


@pytest.mark.parametrize(
    ("filter", "how", "reason"),
    [
        (Does(nothing_to_do), {}, "it had nothing to do: no destination is named"),
        (Does(deliver), {"settings": {"folder": "/does/not/exist"}}, "FileNotFoundError"),
        (Does(deliver), {"instructions": b"<a xmlns='urn:test:does'/>"}, "TestConfig"),
        (Asks(deliver), {}, "a moon is missing"),
        (KeepsASecret(deliver), {"settings": {"nobody": "knows"}}, "nobody"),
        (Does(lambda job, token: os.kill(os.getpid(), signal.SIGKILL)), {}, "SIGKILL"),
        (Does(lambda job, token: os.kill(os.getppid(), signal.SIGKILL)), {}, "killed its parent process"),
    ],
)
def test_a_filter_that_cannot_be_tried_is_no_defect(tmp_path, filter, how, reason):
    """It is said why; and the assertion fails with that sentence, for nothing was shown."""
    page = tmp_path / "page.png"
    page.write_bytes(b"page")
    found = contract.examine(filter, [page], **how)

    assert reason in found.untried
    with pytest.raises(AssertionError, match="could not be tested"):
        assert_filter_contract(filter, [page], **how)


# --- the caller -------------------------------------------------------------------------------------------------------


def test_the_error_has_a_line_for_each_defect(tmp_path):
    """The author reads it in the report of a test."""

    def bad(job, token):
        os.umask(0)

    bad_filter = Does(bad)
    page = tmp_path / "page.png"
    page.write_bytes(b"page")
    with pytest.raises(AssertionError) as caught:
        assert_filter_contract(bad_filter, [page])

    first, *lines = str(caught.value).splitlines()
    assert first == "Does does not keep the contract of filters:"
    assert [line.partition(":")[0] for line in lines] == ["never checks the token", "changes global state"]


def test_the_callers_process_stays_as_it_is(examined, tmp_path, monkeypatch):
    """Whatever the filter does to its own; and no file is left of the trials."""

    def spoil(job, token):
        os.environ["SPOILT"] = "1"
        os.chdir("/")
        os.umask(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        logging.root.handlers.clear()
        deliver(job, token)

    def here():
        return Path.cwd(), dict(os.environ), signal.getsignal(signal.SIGTERM), list(logging.root.handlers)

    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = here()
    found = examined(spoil, most=2)

    assert kinds(found) == [DefectKind.GLOBAL]
    assert here() == before
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_filter_that_was_given_can_be_used_afterwards(examined):
    """It is the same object as before, with its own run."""
    seen = []
    filter = Does(lambda job, token: seen.append(token.check()))
    examined(None, lambda what: filter)

    assert seen == []
    assert "run" not in vars(filter)


def test_a_filter_with_many_looks_is_cancelled_at_as_many_as_was_asked_for(examined):
    """From the first to the last, evenly."""

    def look(job, token):
        for _ in range(1000):
            token.check()

    found = examined(look, most=5)

    assert (found.looks, found.cancels) == (1000, 5)
    assert contract._spread(1000, 5) == [1, 251, 501, 750, 1000]
    assert contract._spread(3, 5) == [1, 2, 3]
    assert contract._spread(3, 1) == [1]
