"""Filters that abuse their socket to the server: what they send, only the framework should."""

import json
import os
import socket
import struct
import time

from evil_filters.deed import FOR_EVER, descriptors, evil, trace
from postscan.plugins import CancellationToken, FilterContext


def pipe() -> socket.socket:
    """Return the worker's end of its pipe to the server: a filter can find it, so it must not matter."""
    return next(
        socket.socket(fileno=os.dup(one)) for one, target in descriptors().items() if target.startswith("socket:")
    )


def say(*messages: object) -> None:
    """Say something to the server that only the framework should say."""
    for message in messages:
        pipe().sendall(json.dumps(message).encode() + b"\n")


@evil
def close_everything(job: FilterContext, token: CancellationToken) -> None:
    """Close every descriptor, and hide."""
    os.closerange(0, 512)
    time.sleep(FOR_EVER)


@evil
def hang_up(job: FilterContext, token: CancellationToken) -> None:
    """Close the socket to the server, write that into the trace, and go on."""
    for one, target in descriptors().items():
        if target.startswith("socket:"):
            os.close(one)
    trace(job, "hung-up")
    time.sleep(FOR_EVER)


@evil
def send_garbage(job: FilterContext, token: CancellationToken) -> None:
    """Write what is no message to everything that is open."""
    for one, target in descriptors().items():
        if target.startswith("socket:"):
            os.write(one, b"\xff\xfe\0garbage\n" * 100)
    time.sleep(FOR_EVER)


@evil
def send_half_a_line(job: FilterContext, token: CancellationToken) -> None:
    """Begin a message, and hang."""
    pipe().sendall(b'{"type": "prog')
    time.sleep(FOR_EVER)


@evil
def send_a_line_without_end(job: FilterContext, token: CancellationToken) -> None:
    """Never send the end of a line."""
    channel = pipe()
    while True:
        channel.sendall(b"x" * 65536)


@evil
def flood(job: FilterContext, token: CancellationToken) -> None:
    """Say that it is half done, as fast as it can."""
    channel = pipe()
    said = b'{"type":"progress","done":1,"total":2,"unit":"pages"}\n' * 1000
    while True:
        channel.sendall(said)


@evil
def ask_without_listening(job: FilterContext, token: CancellationToken) -> None:
    """Ask for leave again and again, and never read an answer."""
    channel = pipe()
    while True:
        channel.sendall(b'{"type":"grant","document":1,"destination":"d","name":"n"}\n' * 1000)


@evil
def ask_the_impossible(job: FilterContext, token: CancellationToken) -> None:
    """Name a document that no database has room for."""
    say({"type": "grant", "document": 2**80, "destination": "d", "name": "n"})
    time.sleep(FOR_EVER)


@evil
def ask_for_infinity(job: FilterContext, token: CancellationToken) -> None:
    """Name a document that is no number one can count to."""
    say({"type": "grant", "document": float("inf"), "destination": "d", "name": "n"})
    time.sleep(FOR_EVER)


@evil
def ask_with_odd_names(job: FilterContext, token: CancellationToken) -> None:
    """Use names that no database takes."""
    say({"type": "grant", "document": 1, "destination": "\ud800\0", "name": "\udfff"}, {"type": "done"})
    time.sleep(FOR_EVER)


@evil
def lie_about_the_end(job: FilterContext, token: CancellationToken) -> None:
    """Say that it failed, in a form that makes no sense."""
    say({"type": "failed", "reasons": [["x"], {"y": 1}, 7], "error": {"z": []}})
    time.sleep(FOR_EVER)


@evil
def boast_of_itself(job: FilterContext, token: CancellationToken) -> None:
    """Claim what cannot be: checks without number, a gap that is none, more done than there is to count."""
    job.progress(2**80, -(2**80), "pages")
    struct.pack_into("Qd", token._page, 16, 2**64 - 1, float("nan"))


@evil
def end_deep(job: FilterContext, token: CancellationToken) -> None:
    """Send a list of documents that is nested as deep as the parser goes."""
    pipe().sendall(b'{"type":"done","documents":[[' + b"[" * 900 + b"]" * 900 + b',"png",0]]}\n')
    time.sleep(FOR_EVER)


@evil
def end_long(job: FilterContext, token: CancellationToken) -> None:
    """Send a document whose number is a long text."""
    say({"type": "done", "documents": [["x" * 500_000, "png", 0]]})
    time.sleep(FOR_EVER)


@evil
def use_a_long_destination(job: FilterContext, token: CancellationToken) -> None:
    """Name a destination that no index has room for."""
    say({"type": "grant", "document": 1, "destination": "\u20ac" * 2048, "name": "n"})
    time.sleep(FOR_EVER)
