"""A source from outside, as an author writes it: each file of a folder is a job; its settings say how it behaves."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from postscan.plugins import Busy, Ended, Refused, Source, Taken, hookimpl, setting


@dataclass(frozen=True)
class BasketSettings:
    """The table of an inlet."""

    folder: str
    every: float = setting(default=0.05, help="seconds between two looks")
    behaviour: str = setting(default="", help="raise, return, exit, deaf or undeclared, from the first look on")
    proof: str = setting(default="local", help="the proof that it claims")

    def __post_init__(self):
        """Refuse what cannot be."""
        if self.every <= 0:
            raise ValueError(f"every is {self.every}; expected seconds")


class Basket(Source):
    """Take each file of the folder whose name ends in .png."""

    title = "Basket"
    proofs = ("local",)
    grace = 2.0
    Settings = BasketSettings

    def run(self, inlet, token):
        """Look until the stop; write the process and what was taken into the trace."""
        folder = Path(inlet.settings.folder)
        (folder / "process").write_text(f"{os.getpid()} {os.getpgid(0)} {os.getsid(0)}")
        inlet.health("ready", "watching")
        behaviour = inlet.settings.behaviour
        if behaviour == "raise":
            raise RuntimeError("the basket has a hole")
        if behaviour == "return":
            return
        if behaviour == "exit":
            os._exit(3)
        if behaviour == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(1)
        while not token.wait(inlet.settings.every):
            for path in sorted(folder.glob("*.png")):
                self.bring(inlet, path)

    def bring(self, inlet, path):
        """Make a job of one file, and remove it only when that is stored."""
        found = path.stat()
        key = f"{found.st_dev}:{found.st_ino}:{found.st_mtime_ns}:{found.st_size}"
        try:
            with (
                inlet.job(key, inlet.destinations[0], inlet.settings.proof, str(path.parent), path.name) as job,
                job.page() as page,
                path.open("rb") as file,
            ):
                while data := file.read(1 << 16):
                    page.write(data)
        except Busy:
            return
        except (Taken, Ended):
            pass
        except Refused as error:
            inlet.log("file refused", "warning", file=path.name, reason=error)
        path.unlink()

    def pull(self, inlet, destination):
        """Put a picture into the basket, as a scanner would."""
        inlet.log("pulled", destination=destination)

    def diagnose(self, inlet):
        """Say whether the folder is there."""
        if not Path(inlet.settings.folder).is_dir():
            yield f"There is no folder {inlet.settings.folder}."


@hookimpl
def postscan_sources():
    """Bring the source."""
    return [Basket()]
