"""Filters that take too much: memory, disk, descriptors, and room in the log."""

import contextlib
import errno
import os
import time

from evil_filters.deed import FOR_EVER, evil, trace
from postscan.plugins import CancellationToken, FilterContext


@evil
def eat_memory(job: FilterContext, token: CancellationToken) -> None:
    """Take a MiB, and another ..."""
    eaten = []
    while True:
        eaten.append(bytearray(1 << 20))


@evil
def fill_the_disk(job: FilterContext, token: CancellationToken) -> None:
    """Write a file without end."""
    with (job.workdir / "big").open("wb") as file:
        while True:
            file.write(bytes(1 << 20))


@evil
def fill_its_folder(job: FilterContext, token: CancellationToken) -> None:
    """Write more than one folder may take, in files that are small enough each, and wait for the cancel."""
    for number in range(12):
        (job.workdir / f"part-{number}").write_bytes(bytes(1 << 20))
    token.wait(FOR_EVER)
    token.check()


@evil
def take_every_byte(job: FilterContext, token: CancellationToken) -> None:
    """Fill the disk, then take what becomes free as well; look at no token."""
    with (job.workdir / "big").open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        trace(job, "full")
        while True:
            with contextlib.suppress(OSError):
                file.write(bytes(1 << 12))
            time.sleep(0.005)


@evil
def open_files(job: FilterContext, token: CancellationToken) -> None:
    """Open a file, and another ..."""
    opened = []
    while True:
        opened.append((job.workdir / str(len(opened))).open("w"))


@evil
def print_much(job: FilterContext, token: CancellationToken) -> None:
    """Print 20 MB, with signs that could trick a terminal."""
    print("\x1b[2J the first line")
    for _ in range(20):
        print("x" * 10**6)


@evil
def print_without_end(job: FilterContext, token: CancellationToken) -> None:
    """Print for ever."""
    while True:
        print("x" * 1000)


@evil
def log_much(job: FilterContext, token: CancellationToken) -> None:
    """Log a line that is too long, and then more lines than there may be."""
    job.log("é" * 5000)
    for number in range(24):
        job.log(f"line {number:03}")


@evil
def find_no_memory(job: FilterContext, token: CancellationToken) -> None:
    """Be refused memory by the system."""
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
