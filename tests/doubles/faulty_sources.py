"""Sources with one defect each: changes of those that keep the contract."""

from __future__ import annotations

import time
from pathlib import Path
from typing import BinaryIO

from good_sources import Basket, Desk

from postscan.plugins import (
    Busy,
    CancellationToken,
    Ended,
    PageWriter,
    Refused,
    SourceContext,
    SourceJob,
    Taken,
)


class OtherContract(Basket):
    """Is written for another version of the contract."""

    api = 2


class WithoutToken(Basket):
    """Cannot be told to stop."""

    def run(self, inlet: SourceContext) -> None:  # type: ignore[override]
        """Run without end."""


class DiesOfARefusal(Basket):
    """Does not think of `Refused`."""

    def take(self, inlet: SourceContext, path: Path) -> None:
        """Make a job of one file."""
        try:
            with self.job(inlet, path) as job, job.page() as page:
                page.write(path.read_bytes())
        except Busy:
            return
        except (Taken, Ended):
            pass
        path.unlink()


class RefusedIsGone(Basket):
    """Removes what the server refuses."""

    def refused(self, path: Path) -> None:
        """Remove the file."""
        path.unlink()


class NeverStops(Basket):
    """Sleeps as long as it likes."""

    grace = 0.1

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Look without end."""
        while True:
            time.sleep(inlet.settings.every)
            for path in sorted(Path(inlet.settings.folder).glob("*.png")):
                self.take(inlet, path)


class ClaimsMore(Basket):
    """Claims a proof that it has not declared."""

    def job(self, inlet: SourceContext, path: Path) -> SourceJob:
        """Return the job of one file."""
        found = path.stat()
        return inlet.job(f"{found.st_ino}:{found.st_mtime_ns}", "Scans", "certificate", "anna", path.name)


class RemovesAtOnce(Basket):
    """Removes the file while its job is open."""

    def take(self, inlet: SourceContext, path: Path) -> None:
        """Make a job of one file."""
        try:
            with self.job(inlet, path) as job:
                with job.page() as page:
                    page.write(path.read_bytes())
                path.unlink()
        except (Busy, Taken, Ended, Refused):
            return


class TakesTheEndOfTheConnection(Desk):
    """Takes the end of a connection for the end of a page."""

    def read(self, lines: BinaryIO, job: SourceJob, page: PageWriter) -> None:
        """Read whatever comes."""
        lines.readline()
        page.write(lines.read().removesuffix(b"END\n"))


class KeyOfTheClock(Desk):
    """Takes the time for the name of an origin."""

    def job(self, inlet: SourceContext, name: str) -> SourceJob:
        """Return the job of one origin."""
        return inlet.job(f"{name}-{time.time_ns()}", "Scans", "device", "127.0.0.1", name)


class BusyIsFine(Desk):
    """Tells the origin "stored" when there is no room."""

    def answer(self, inlet: SourceContext, lines: BinaryIO) -> str:
        """Take one origin; return what it hears."""
        try:
            self.take(inlet, lines)
        except Busy:
            return "stored" if not inlet.token.cancelled else "again"
        except Ended:
            return "again"
        except Taken:
            return "stored"
        except Refused:
            return "refused"
        return "stored"


class GoesOnAfterACancel(Desk):
    """Takes a cancel for an accident, and brings the page in another job."""

    def take(self, inlet: SourceContext, lines: BinaryIO) -> None:
        """Make a job of one origin, or two."""
        name = lines.readline().decode().removeprefix("ID ").strip()
        pages: list[bytes] = []
        try:
            with self.job(inlet, name) as job, job.page(whole=True) as page:
                page.write(self.collect(lines, pages))
        except Ended:
            with self.job(inlet, f"{name}-again") as job, job.page(whole=True) as page:
                page.write(self.collect(lines, pages))

    def collect(self, lines: BinaryIO, pages: list[bytes]) -> bytes:
        """Return the page, from the client the first time."""
        if not pages:
            size = int(lines.readline().removeprefix(b"DATA ") or 0)
            data = lines.read(size)
            if lines.readline() != b"END\n":
                raise ConnectionError("the origin broke off")
            pages.append(data)
        return pages[0]


class NotesItsSecret(Basket):
    """Writes its password into a note about a job."""

    def take(self, inlet: SourceContext, path: Path) -> None:
        """Make a job of one file."""
        try:
            with self.job(inlet, path) as job:
                job.note(f"fetched with {inlet.settings.phrase}")
                with job.page() as page:
                    page.write(path.read_bytes())
        except (Busy, Ended):
            return
        except Refused:
            self.refused(path)
            return
        except Taken:
            pass
        path.unlink()


class TellsItsSecret(Basket):
    """Writes its password into the log."""

    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Look until the stop."""
        inlet.log("logged in", "debug", url=f"http://anna:{inlet.settings.phrase}@scanner.example/")
        super().run(inlet, token)
