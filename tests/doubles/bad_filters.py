"""What filters do that break the contract, each in one way that no faulty plugin shows."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

from good_filters import deliver, delivers

from postscan.core.filters.results import FilterFailed


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


def compute_when_cancelled(job, token):
    """Use the processor long after the grace time."""
    try:
        deliver(job, token)
    finally:
        if token.cancelled:
            begun = time.process_time()
            while time.process_time() < begun + 2.5:
                pass


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
