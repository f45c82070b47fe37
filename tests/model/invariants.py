"""The invariants, one function each, checked after every step and after every start of a server.

A function looks at one `Moment` and tells what is wrong with it. What needs a request's whole life is checked by
`model.trial`: I3, I13, I25, I26 and the answers of I11 and I12 (each answer must have been right at a moment of that
life, and each change must be the one that the model allows), I5, I8's "every job ends" and I23 (`Trial.settle`), I31
as far as the core has a part in it (each error is one of `postscan.core.errors`), I30 and I32 (`Trial.close`).

Not at this level:

* I19, I20 and I21 are about bytes at a destination. Here a destination is a set of names; the filters that write to
  real folders are tested in `tests/plugins/filters/fileshare/test_folder.py` and
  `tests/core/filters/delivery/test_folder.py`.
* The envelope half of I31 is about SOAP: `tests/soap`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from model.sight import Seen, Sight
from model.workers import OUTCOMES
from model.world import CANCELED, DONE, EDGES, FILTER_EDGES, FILTER_ENDED, TIMED_OUT, Filter

CRASHES: Final = 3


@dataclass(slots=True)
class Past:
    """What was promised so far: acknowledged images and cancels; and what took effect: Ends, cancels, second lives."""

    sent: dict[tuple[str, int], bytes] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    cancel_stored: set[str] = field(default_factory=set)
    cancel_answered: set[str] = field(default_factory=set)
    released: set[str] = field(default_factory=set)

    def forget(self, token: str) -> None:
        """Let go of a job that retention has dropped."""
        self.sent = {key: content for key, content in self.sent.items() if key[0] != token}
        for kept in (self.ended, self.cancel_stored, self.cancel_answered, self.released):
            kept.discard(token)


@dataclass(frozen=True, slots=True)
class Moment:
    """One step: who took it (`request`, `job`, `scheduler`, `sweeper`, `start`), of which job, and what was seen.

    `said` is the last word of the job's filter; `busy` are the jobs with a filter at work, `sending` those that an
    image is on its way to.
    """

    who: str
    token: str
    before: Sight
    after: Sight
    past: Past
    said: str = ""
    busy: frozenset[str] = frozenset()
    sending: frozenset[str] = frozenset()

    def both(self) -> Iterator[tuple[str, Seen, Seen]]:
        """Every job that was there before, as it was and as it is."""
        for token, after in self.after.jobs.items():
            if token in self.before.jobs:
                yield token, self.before.jobs[token], after

    def filters(self) -> Iterator[tuple[str, Seen, int, Filter, Filter]]:
        """Every filter that changed: its job as it was, its position, and the filter before and after."""
        for token, before, after in self.both():
            for position, (was, is_) in enumerate(zip(before.job.filters, after.job.filters, strict=True)):
                if was != is_:
                    yield token, before, position, was, is_


def i1_an_acknowledged_image_is_in_the_spool(moment: Moment) -> Iterator[str]:
    for (token, document), content in moment.past.sent.items():
        job = moment.after.jobs[token].job
        if job.ended and (TIMED_OUT not in job.reasons or token in moment.past.released):
            continue
        if dict(job.images).get(document) != content:
            yield f"image {document} of {token} is not the acknowledged one"
        blob = moment.after.jobs[token].blobs.get(document)
        if blob not in moment.after.files:
            yield f"image {document} of {token} has no file"
        twins = [name for name in moment.after.files if name.startswith(f"{token}/{document}-")]
        if token not in moment.sending and len(twins) != 1:
            yield f"image {document} of {token} has {len(twins)} files"


def i1_a_file_has_the_hash_of_its_row(moment: Moment) -> Iterator[str]:
    for token, seen in moment.after.jobs.items():
        hashes = {row[0]: row[1] for row in seen.rest if isinstance(row, tuple) and isinstance(row[0], int)}
        for document, blob in seen.blobs.items():
            if blob in moment.after.files and moment.after.files[blob] != hashes[document]:
                yield f"the file of image {document} of {token} has other bytes than its row says"


def i2_images_are_counted_once_and_never_lost(moment: Moment) -> Iterator[str]:
    for token, before, after in moment.both():
        if not set(before.job.images) <= set(after.job.images):
            yield f"{token} lost an image"
    for token, seen in moment.after.jobs.items():
        told = sorted(one.fields["document_id"] for one in seen.events if one.kind == "ImageReceived")
        if told != [document for document, _ in seen.job.images]:
            yield f"{token} has images {seen.job.images} and told of {told}"


def i4_a_started_server_finds_files_and_rows_that_match(moment: Moment) -> Iterator[str]:
    if moment.who != "start":
        return
    known = {blob for seen in moment.after.jobs.values() for blob in seen.blobs.values()}
    for name in moment.after.files:
        if name not in known:
            yield f"the file {name} has no row"
    for token, seen in moment.after.jobs.items():
        if not seen.job.ended and not set(seen.blobs.values()) <= set(moment.after.files):
            yield f"an image of {token} has no file"


def i5_what_is_accounted_is_what_the_rows_say(moment: Moment) -> Iterator[str]:
    if moment.after.usage != moment.after.counted:
        yield f"{set(moment.after.usage)} is accounted, and the rows say {set(moment.after.counted)}"


def i6_states_move_along_the_edges(moment: Moment) -> Iterator[str]:
    for token, before, after in moment.both():
        edge = (before.job.state, after.job.state)
        if edge[0] != edge[1] and edge not in EDGES:
            yield f"{token} moved {edge[0]} -> {edge[1]}"
    for token, _before, position, was, is_ in moment.filters():
        if (was.state, is_.state) not in FILTER_EDGES or is_.attempt - was.attempt != (is_.state == "Processing"):
            yield f"filter {position} of {token} moved {was} -> {is_}"


def i6_what_is_told_is_the_path_that_was_taken(moment: Moment) -> Iterator[str]:
    for token, seen in moment.after.jobs.items():
        path = [one.fields["state"] for one in seen.events if one.kind == "JobStateChanged"]
        if path[0] != "Creating" or path[-1] != seen.job.state or not set(itertools.pairwise(path)) <= EDGES:
            yield f"{token} is {seen.job.state} and told of {path}"


_EDGES_OF = {"scheduler": ("Pending", "Started"), "sweeper": ("Creating", "Aborted")}


def i6_each_actor_does_its_own_work(moment: Moment) -> Iterator[str]:
    moved = [(token, before.job, after.job) for token, before, after in moment.both() if before.job != after.job]
    if (len(moved) > 1 and moment.who != "sweeper") or (moment.who == "start" and moved):
        yield f"{moment.who} changed {[token for token, *_ in moved]} in one step"
    for token, before, after in moved:
        edge = (before.state, after.state)
        if moment.who == "job" and (token != moment.token or edge[0] not in ("Started", "Processing", "Terminating")):
            yield f"the pipeline of {moment.token} moved {token} {edge}"
        if moment.who in _EDGES_OF and edge != _EDGES_OF[moment.who]:
            yield f"the {moment.who} moved {token} {edge}"


def i7_an_ended_job_never_changes(moment: Moment) -> Iterator[str]:
    for token, before, after in moment.both():
        if before.job.ended and replace(before, kept=after.kept) != after:
            yield f"{token} had ended and changed"


def i8_i28_a_job_ends_once_and_says_so_last(moment: Moment) -> Iterator[str]:
    for token, seen in moment.after.jobs.items():
        ends = [one for one in seen.events if one.kind == "JobEnded"]
        if len(ends) != seen.job.ended or (ends and seen.events[-1] is not ends[0]):
            yield f"{token} is {seen.job.state} and told {len(ends)} ends"
        if ends and (ends[0].fields["state"], tuple(ends[0].fields["reasons"])) != (seen.job.state, seen.job.reasons):
            yield f"{token} told another end than it had"


def i9_no_job_ends_before_it_began(moment: Moment) -> Iterator[str]:
    for token, seen in moment.after.jobs.items():
        if (seen.completed is not None) != seen.job.ended or (seen.completed and seen.completed < seen.created):
            yield f"{token} was created {seen.created} and completed {seen.completed}"


def i10_reasons_fit_the_state(moment: Moment) -> Iterator[str]:
    for token, seen in moment.after.jobs.items():
        job = seen.job
        states = {one.state for one in job.filters}
        worst = next((one for one in ("CompletedWithErrors", "CompletedWithWarnings") if one in states), None)
        allowed = {
            "Canceled": {CANCELED},
            "Terminating": {CANCELED},
            "Completed": {DONE[worst or "CompletedSuccessfully"]},
            "Aborted": {TIMED_OUT, "PostScanJobProcessingFailed", "NoValidPostScanInstructionsFound"},
        }.get(job.state, set())
        if (set(job.reasons) - allowed) or (bool(allowed) and len(job.reasons) != 1):
            yield f"{token} is {job.state} because {job.reasons}"
        if TIMED_OUT in job.reasons and token in moment.past.ended:
            yield f"{token} timed out after its End"
        if job.ended and any(one.state not in FILTER_ENDED for one in job.filters):
            yield f"{token} has ended, its filters have not"


def i11_an_answered_cancel_stays(moment: Moment) -> Iterator[str]:
    for token in moment.past.cancel_answered:
        if moment.after.jobs[token].job.state not in ("Terminating", "Canceled"):
            yield f"{token} is {moment.after.jobs[token].job.state} after an acknowledged cancel"


def i12_nothing_is_canceled_unasked(moment: Moment) -> Iterator[str]:
    for token, seen in moment.after.jobs.items():
        if seen.job.state in ("Terminating", "Canceled") and token not in moment.past.cancel_stored:
            yield f"{token} is {seen.job.state} and nobody who may had cancelled it"


def i14_nothing_begins_after_the_cancel(moment: Moment) -> Iterator[str]:
    for token, before, position, was, is_ in moment.filters():
        if is_.attempt > was.attempt and before.job.state == "Terminating":
            yield f"filter {position} of {token} started after the cancel"
    for token, _position, _document, name, published in moment.after.granted - moment.before.granted:
        state = moment.before.jobs[token].job.state
        if not published and state != "Processing":
            yield f"{name} of {token} was granted while {state}"


def i14_nothing_lives_after_the_end(moment: Moment) -> Iterator[str]:
    for token in moment.busy:
        if moment.after.jobs[token].job.ended:
            yield f"a filter of {token} is at work after its end"
    granted = {row[:4] for row in moment.after.granted}
    for (token, *place), _hash in moment.after.shown - moment.before.shown:
        if (token, *place) not in granted:
            yield f"{place} of {token} became visible without leave"
        if moment.before.jobs[token].job.ended:
            yield f"{place} of {token} became visible after its end"


def i15_a_request_takes_nothing_back(moment: Moment) -> Iterator[str]:
    if moment.before.shown - moment.after.shown:
        yield "an output is gone"
    if moment.who == "request" and moment.before.granted != moment.after.granted:
        yield "a request changed the list of outputs"


def i16_owners_stay(moment: Moment) -> Iterator[str]:
    for token, before, after in moment.both():
        if before.job.owner != after.job.owner or before.created != after.created:
            yield f"{token} has another owner or beginning"


def i17_filters_wait_for_the_end_and_for_each_other(moment: Moment) -> Iterator[str]:
    for token, seen in moment.after.jobs.items():
        begun = [one for one in seen.job.filters if one.attempt]
        if begun and (seen.job.state in ("Creating", "Pending", "Pending-Held") or token not in moment.past.ended):
            yield f"{token} is {seen.job.state} and a filter has started"
        if sum(one.state == "Processing" for one in seen.job.filters) > 1:
            yield f"two filters of {token} run at once"
    for token, before, position, was, is_ in moment.filters():
        earlier = before.job.filters[:position]
        if is_.attempt > was.attempt and any(one.state not in FILTER_ENDED for one in earlier):
            yield f"filter {position} of {token} started before an earlier one had ended"


def i18_an_error_stops_the_rest(moment: Moment) -> Iterator[str]:
    for token, before, position, was, is_ in moment.filters():
        failed = any(one.state == "CompletedWithErrors" for one in before.job.filters)
        if is_.attempt > was.attempt and failed and not before.job.go_on:
            yield f"filter {position} of {token} started after an error"


def i22_a_result_is_stored_once(moment: Moment) -> Iterator[str]:
    for token, seen in moment.after.jobs.items():
        ends = [
            one.fields["position"]
            for one in seen.events
            if one.kind == "FilterStateChanged" and one.fields["state"] in FILTER_ENDED
        ]
        if len(ends) != len(set(ends)):
            yield f"{token} has two results of one filter"


def i22_a_result_is_the_one_that_was_reported(moment: Moment) -> Iterator[str]:
    for token, before, position, was, is_ in moment.filters():
        if moment.who != "job" or was.state != "Processing" or is_.state not in FILTER_ENDED or not moment.said:
            continue
        cancelled = before.job.state == "Terminating"
        expected = {OUTCOMES.get(moment.said, "Canceled" if cancelled else "CompletedWithErrors")}
        if moment.said == "die" and cancelled:
            expected.add("CompletedWithErrors")
        if is_.state not in expected:
            yield f"filter {position} of {token} said {moment.said!r} and is {is_.state}"


def i24_crashes_are_limited(moment: Moment) -> Iterator[str]:
    for token, seen in moment.after.jobs.items():
        if any(one.crashes + (one.state == "Processing") > CRASHES for one in seen.job.filters):
            yield f"a filter of {token} was started too often"


Check = Callable[[Moment], Iterator[str]]

CHECKS: Final = MappingProxyType(
    {name: function for name, function in globals().items() if name.startswith("i") and name[1].isdigit()}
)


def violations(moment: Moment) -> list[str]:
    """Return what is wrong, each with the name of its invariant."""
    return [f"{name}: {wrong}" for name, check in CHECKS.items() for wrong in check(moment)]
