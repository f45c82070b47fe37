"""The jobs of which it is not known whether they are stored: a bounded number of them is remembered."""

from __future__ import annotations

from postscan.core.model.job import JobToken
from postscan.core.service.unconfirmed_jobs import MOST, UnconfirmedJobs


def test_a_job_is_remembered_until_it_is_removed() -> None:
    """Also if it is removed twice: two connections may come with its key."""
    jobs = UnconfirmedJobs()
    jobs.add(JobToken("one"))
    jobs.add(JobToken("two"))
    jobs.remove(JobToken("one"))
    jobs.remove(JobToken("one"))

    assert JobToken("one") not in jobs
    assert JobToken("two") in jobs


def test_the_oldest_of_too_many_is_forgotten() -> None:
    """T-S4: a source that asks again and again while the database fails takes no memory for it."""
    jobs = UnconfirmedJobs()
    for number in range(MOST + 1):
        jobs.add(JobToken(f"{number}"))

    assert JobToken("0") not in jobs
    assert all(JobToken(f"{number}") in jobs for number in range(1, MOST + 1))
