"""What filters do that keep the contract, each in a way that some author finds natural."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from postscan.plugins.testing.waiting import waited


def delivers(job, document):
    """Deliver as a good filter does."""
    return job.deliver(document, Path(job.settings["folder"]))


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


def wait_for_the_processor_when_cancelled(seconds):
    """Return a filter that needs little time to clean up, and waits so long for the processor before it has it."""

    def do(job, token):
        try:
            deliver(job, token)
        finally:
            if token.cancelled:
                with crowded_processor():
                    before = waited()
                    while waited() < before + seconds:
                        pass

    return do


@contextlib.contextmanager
def crowded_processor():
    """Let another process take almost all of the one processor on which this process runs while the body does."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    other = os.fork()
    if other == 0:
        while True:
            pass
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    try:
        yield
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
