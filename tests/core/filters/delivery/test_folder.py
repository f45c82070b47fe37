"""Putting a file into a folder: whole or not at all, under a name that was free."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import itertools
import os
import stat
from pathlib import Path

import pytest
from destinations import open_folder, small_disk, without_privileges

from postscan.core.filters.delivery import atomic_file
from postscan.core.filters.delivery import folder as delivery_folder
from postscan.core.filters.filter import Filter
from postscan.core.model.states import FilterState
from postscan.plugins.testing.runner import run_filter

CONTENT = b"\x89PNG a page" * 1000
NAME = "Scan_anna@fabrikam.example_20260302-094107_001.png"


class Deliver(Filter):
    """Deliver every document into one folder."""

    dialect = "urn:test:deliver"
    title = "Deliver"

    def __init__(self, folder, parent=None, **how):
        self.folder, self.how, self.paths = folder, how, []
        self.parent = parent

    def run(self, job, token):
        if self.parent:
            job = dataclasses.replace(job, parent=self.parent(job.parent))
        for document in job.documents:
            self.paths.append(job.deliver(document, self.folder, **self.how))


@pytest.fixture
def page(tmp_path):
    """A page in the spool."""
    path = tmp_path / "page.png"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def share(tmp_path):
    """An empty destination."""
    folder = tmp_path / "share"
    folder.mkdir()
    return folder


def names(folder):
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_unchanged_under_its_name(page, share):
    """The path that comes back is the file's (PSP-026)."""
    deliver = Deliver(share)
    run_filter(deliver, [page])

    assert deliver.paths == [share / NAME]
    assert (share / NAME).read_bytes() == CONTENT


def test_the_server_knows_the_destination_and_the_name(page, share):
    """They make the receipt."""
    result = run_filter(Deliver(share, destination="there"), [page])

    assert result.published == [(1, "there", NAME)]


def test_a_delivered_file_is_for_its_owner_and_group_alone(page, share):
    """Nobody else may read a scanned page (T-F4)."""
    run_filter(Deliver(share), [page])

    assert stat.S_IMODE((share / NAME).stat().st_mode) & 0o027 == 0


def test_a_foreign_file_is_never_overwritten(page, share):
    """The next free name is taken: -2, -3 ... (T-F5, DSP-082, I21)."""
    (share / NAME).write_bytes(b"somebody else's")
    (share / NAME.replace(".png", "-2.png")).mkdir()
    run_filter(Deliver(share), [page])

    assert (share / NAME).read_bytes() == b"somebody else's"
    assert (share / NAME.replace(".png", "-3.png")).read_bytes() == CONTENT
    assert len(names(share)) == 3


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_a_name_that_is_taken_at_the_last_moment_is_not_overwritten(page, share, monkeypatch, links):
    """A rival may come between the look and the link; exclusive creation decides (T-F5)."""

    class Rival:
        """Takes each of the first two names just before the server grants it."""

        def __init__(self, parent):
            self.parent, self.withdrawals = parent, []

        def grant(self, document, destination, name):
            if len(names_of_rivals()) < 2:
                (share / name).write_bytes(b"rival")
            return self.parent.grant(document, destination, name)

        def withdrawn(self, document, destination, name):
            self.withdrawals.append(name)
            self.parent.withdrawn(document, destination, name)

        def __getattr__(self, name):
            return getattr(self.parent, name)

    def names_of_rivals():
        return [path for path in share.iterdir() if path.suffix == ".png"]

    if not links:
        without_nameless_files(monkeypatch)
        monkeypatch.setattr(os, "link", no_hard_links)
    result = run_filter(Deliver(share, Rival), [page])
    third = NAME.replace(".png", "-3.png")

    assert result.published == [(1, str(share), third)]
    assert (share / third).read_bytes() == CONTENT
    assert (share / NAME).read_bytes() == b"rival"
    assert len(names(share)) == 3


def no_hard_links(*args, **options):
    """Do what a file system without hard links does."""
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def without_nameless_files(monkeypatch):
    """Do as on a file system that has none, such as a mounted share."""
    monkeypatch.setattr(atomic_file, "_nameless", lambda where: None)


def test_a_file_system_without_hard_links_will_do(page, share, monkeypatch):
    """Renaming without replacing is as good, and leaves nothing beside."""
    without_nameless_files(monkeypatch)
    monkeypatch.setattr(os, "link", no_hard_links)
    run_filter(Deliver(share), [page])

    assert names(share) == [NAME]
    assert (share / NAME).read_bytes() == CONTENT


def test_a_run_again_does_not_deliver_twice(page, share):
    """What an earlier run delivered is recognised (ruling 6, I20)."""
    first = run_filter(Deliver(share), [page])
    deliver = Deliver(share)
    second = run_filter(deliver, [page], earlier=first.published)

    assert names(share) == [NAME]
    assert deliver.paths == [share / NAME]
    assert second.published == []


@pytest.mark.parametrize(("whose", "step"), [(delivery_folder, "_copy"), (atomic_file.AtomicFile, "link_as")])
def test_a_killed_run_leaves_nothing_beside_its_place(page, share, whose, step):
    """F-R16: a file has no name before it is whole, and only the one it should have from then on."""
    die_after(whose, step, lambda: run_filter(Deliver(share), [page]))

    assert names(share) == ([NAME] if step == "link_as" else [])


@pytest.mark.parametrize(("whose", "step"), [(delivery_folder, "_copy"), (atomic_file.NamedAtomicFile, "link_as")])
def test_a_run_again_removes_what_a_killed_run_left(page, share, monkeypatch, whose, step):
    """F-R1, F-R16: bytes beside their place, or the second name of a delivered file, are gone after the next run."""
    without_nameless_files(monkeypatch)
    earlier = [(1, str(share), NAME)]
    die_after(whose, step, lambda: run_filter(Deliver(share), [page]))
    left = names(share)
    run_filter(Deliver(share), [page], earlier=earlier)

    assert [name for name in left if name != NAME] == [name for name in left if name.endswith(".part")] != []
    assert names(share) == [NAME]


def die_after(whose, step, work):
    """Do *work* in a process that dies as soon as this function of the code under test returns."""
    process = os.fork()
    if process == 0:
        really = getattr(whose, step)
        setattr(whose, step, lambda *given: (really(*given), os._exit(0)))
        work()
        os._exit(1)
    assert os.waitpid(process, 0)[1] == 0


def test_a_grant_that_led_to_nothing_is_made_good(page, share):
    """A crash between the grant and the link: the record is there, the file is not."""
    result = run_filter(Deliver(share), [page], earlier=[(1, str(share), NAME)])

    assert result.published == [(1, str(share), NAME)]
    assert (share / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("plant", ["other bytes", "link", "folder", "pipe"])
def test_an_earlier_name_with_something_else_behind_it_is_not_ours(page, share, plant):
    """Hash and kind decide; neither a planted link nor a pipe is opened (ruling 6, T-F4)."""
    target = share / NAME
    match plant:
        case "other bytes":
            target.write_bytes(b"other")
        case "link":
            target.symlink_to(page)
        case "folder":
            target.mkdir()
        case "pipe":
            os.mkfifo(target)
    result = run_filter(Deliver(share), [page], earlier=[(1, str(share), NAME)])

    assert result.published == [(1, str(share), NAME.replace(".png", "-2.png"))]


def test_two_jobs_with_equal_pages_do_not_share_a_file(page, share):
    """Without a record of its own a run takes no file for its own, however equal it is (ruling 6)."""
    run_filter(Deliver(share), [page])
    run_filter(Deliver(share), [page])

    assert len(names(share)) == 2


@pytest.mark.parametrize("target", ["nowhere", "page.png"])
def test_a_planted_symbolic_link_is_neither_followed_nor_replaced(page, share, target):
    """Dangling or not, it is a name that somebody else has (T-F4)."""
    (share / NAME).symlink_to(page.parent / target)
    run_filter(Deliver(share), [page])

    assert (share / NAME).is_symlink()
    assert not (page.parent / "nowhere").exists()
    assert (share / NAME.replace(".png", "-2.png")).read_bytes() == CONTENT


def test_the_last_folder_below_is_made_if_it_is_missing(page, share):
    """For its owner and group alone (PSP-016)."""
    (share / "invoices").mkdir()
    run_filter(Deliver(share, below=("invoices", "anna@x")), [page])

    assert names(share / "invoices" / "anna@x") == [NAME]
    assert stat.S_IMODE((share / "invoices" / "anna@x").stat().st_mode) & 0o027 == 0


def test_a_folder_on_the_way_is_not_made(page, share):
    """A slip in a scan process must not make folders."""
    with pytest.raises(FileNotFoundError):
        run_filter(Deliver(share, below=("invoicse", "anna@x")), [page])

    assert names(share) == []


@pytest.mark.parametrize("below", [("planted",), ("planted", "anna@x")])
@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_symbolic_link_on_the_way_is_refused(page, share, tmp_path, below, kind):
    """Whoever may write into a share cannot lead a file out of it; the sentence says what is in the way (T-F4)."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if kind == "link":
        (share / "planted").symlink_to(elsewhere)
    else:
        (share / "planted").write_bytes(b"")

    with pytest.raises(NotADirectoryError, match=r"expected a folder.*share/planted"):
        run_filter(Deliver(share, below=below), [page])
    assert names(elsewhere) == []


def test_a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere(page, share, tmp_path):
    """The file goes where the folder was when the delivery began (T-F4)."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (share / "anna").mkdir()

    class Swap:
        """Swaps the folder just before the server grants the name."""

        def __init__(self, parent):
            self.parent = parent

        def grant(self, document, destination, name):
            (share / "anna").rename(share / "away")
            (share / "anna").symlink_to(elsewhere)
            return self.parent.grant(document, destination, name)

        def __getattr__(self, name):
            return getattr(self.parent, name)

    run_filter(Deliver(share, Swap, below=("anna",)), [page])

    assert names(elsewhere) == []
    assert names(share / "away") == [NAME]


@pytest.mark.parametrize("bad", ["..", ".", "", "a/b", "/etc", "a\0b"])
def test_what_is_no_single_component_is_refused(page, share, bad):
    """A filter cannot deliver elsewhere by accident, neither by name nor by folder (T-F1)."""
    if bad:
        with pytest.raises(ValueError, match="expected one path component"):
            run_filter(Deliver(share, name=bad), [page])
    with pytest.raises(ValueError, match="expected one path component"):
        run_filter(Deliver(share, below=(bad,)), [page])

    assert names(share) == []


def test_a_cancel_at_any_check_leaves_nothing_half(tmp_path, share):
    """Either the whole file is there, or nothing: no part of it, and no file beside it (promise 6, I19)."""
    big = tmp_path / "big.png"
    big.write_bytes(bytes(3 * delivery_folder.CHUNK + 5))
    ends = []
    for number in itertools.count(1):
        folder = share / str(number)
        folder.mkdir()
        result = run_filter(Deliver(folder), [big], cancel_at=number)
        ends.append((result.outcome, [path.stat().st_size for path in folder.iterdir()]))
        if result.outcome is not FilterState.CANCELED:
            break

    assert (FilterState.CANCELED, []) in ends
    assert all(sizes in ([], [big.stat().st_size]) for _, sizes in ends)
    assert len(ends) > 5
    assert ends[-1] == (FilterState.SUCCEEDED, [big.stat().st_size])


def test_a_full_disk_leaves_nothing_behind(tmp_path, page):
    """What was written goes away again, so that the disk is as it was (F-R11)."""
    big = tmp_path / "big.png"
    big.write_bytes(bytes(1 << 20))
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, 256 * 1024):
        with pytest.raises(OSError) as caught:
            run_filter(Deliver(disk), [big])

        assert caught.value.errno == errno.ENOSPC
        assert names(disk) == []


def test_a_folder_that_may_not_be_written_stays_as_it_is():
    """The refusal of the file system comes out."""
    with open_folder() as place:
        (place / "page.png").write_bytes(CONTENT)
        share = place / "share"
        share.mkdir(mode=0o755)
        share.chmod(0o555)
        with without_privileges(), contextlib.chdir("/"), pytest.raises(PermissionError):
            run_filter(Deliver(share), [place / "page.png"])

        assert names(share) == []


def test_no_descriptor_stays_open(page, share):
    """A worker that delivers thousands of pages does not run out of them (I32)."""
    gc.collect()  # what other tests left
    before = len(list(Path("/proc/self/fd").iterdir()))
    run_filter(Deliver(share, below=("a",)), [page] * 20)
    with pytest.raises(FileNotFoundError):
        run_filter(Deliver(share, below=("b", "c")), [page])

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_relative_folder_is_one_too(page, share, monkeypatch):
    """Where a path counts from is the caller's affair."""
    monkeypatch.chdir(share.parent)
    run_filter(Deliver(Path("share")), [page])

    assert names(share) == [NAME]
