"""JobPlaces of jobs that take pages: of each inlet, and of all."""

from __future__ import annotations

from postscan.core.sources.places import JobPlaces


def test_an_inlet_has_so_many_places() -> None:
    """And another one has its own."""
    places = JobPlaces(10)

    assert [places.take("mail", 2) for _ in range(3)] == [True, True, False]
    assert places.take("ftp", 2)
    places.give_back("mail")
    assert places.take("mail", 2)


def test_all_inlets_together_have_so_many() -> None:
    """Many inlets with few jobs each would take as much as one with many."""
    places = JobPlaces(3)

    assert [places.take(f"inlet-{number}", 2) for number in range(4)] == [True, True, True, False]
    places.give_back("inlet-0")
    assert places.take("inlet-3", 2)
    assert [places.taken(f"inlet-{number}") for number in range(4)] == [0, 1, 1, 1]
