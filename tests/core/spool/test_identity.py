"""Spool and database belong together: a server with another one of the two does not start."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import databases
import pytest
from conftest import ANNA, AnyProcess
from works import Works

from postscan.core.engine import Engine
from postscan.core.errors import SettingsError
from postscan.core.model.states import JobState
from postscan.core.settings import Settings
from postscan.core.spool import identity
from postscan.core.spool.identity import SpoolIdentity
from postscan.core.store.cluster import installation
from postscan.core.store.store import Store

Make = Callable[[str, str], Engine]


@pytest.fixture
def engine(settings: Settings, tmp_path: Path) -> Iterator[Make]:
    """Make an engine on the data folder and the SQLite file of these names."""
    made = []

    def make(folder: str = "data", database: str = "one") -> Engine:
        url = databases.migrated(f"sqlite:///{tmp_path}/{database}.sqlite")
        storage = settings.storage.model_copy(update={"data_dir": tmp_path / folder, "database": url})
        made.append(Engine(settings.model_copy(update={"storage": storage}), AnyProcess()))
        return made[-1]

    yield make
    for one in made:
        one.close()


def started(engine: Engine) -> SpoolIdentity:
    """Do what a start does with the identifiers; return them."""
    with engine._admitted("serve"):
        pass
    return found(engine)


def found(engine: Engine) -> SpoolIdentity:
    """Return the identifiers as they are stored."""
    return identity.read(engine.store, engine.spool)


def stored(engine: Engine) -> str:
    """Return the identifier in the file."""
    return (engine.settings.storage.spool_dir / "spool-id").read_text()


def refused(engine: Engine) -> str:
    """Try to start, and return why that is refused."""
    with pytest.raises(SettingsError) as caught, engine._admitted("serve"):
        pass
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("; see: postscan spool adopt --check")
    return str(caught.value)


def test_the_first_start_gives_both_an_identifier_that_stays(engine: Make) -> None:
    """Those of an older version have none, and are adopted as they are."""
    works = Works(engine("data", "one"), ANNA)
    token = works.start("copy")
    first = started(works.core)
    again = started(engine("data", "one"))

    assert (first.fits, again) == (True, first)
    assert stored(works.core) == first.identifier
    assert {file.key for file in works.core.spool.files()} == {works.job(token).documents[0].blob}


def test_a_spool_that_was_emptied_is_refused_and_its_jobs_are_not_aborted(engine: Make) -> None:
    """F-R28: its file system is not mounted, perhaps; the line names both."""
    core = engine("data", "one")
    token = Works(core, ANNA).start("copy")
    spool, row = core.settings.storage.spool_dir, started(core).row
    spool.rename(spool.with_name("elsewhere"))
    spool.mkdir()

    line = refused(core)

    assert row is not None
    assert f"{spool} has no identifier, and the database sqlite://" in line
    assert f"has spool {row.identifier} ({spool} on " in line
    assert core.store.load(token).state is JobState.PENDING
    spool.rmdir()
    spool.with_name("elsewhere").rename(spool)
    assert started(core).fits


def test_a_second_data_folder_on_the_same_database_is_refused(engine: Make) -> None:
    """F-R24: it would abort all jobs of the first one, whether that runs or not."""
    first = engine("data", "one")
    token = Works(first, ANNA).start("copy")
    started(first)
    second = engine("other", "one")

    line = refused(second)

    assert str(second.settings.storage.spool_dir) in line
    assert str(first.settings.storage.spool_dir) in line
    assert first.store.load(token).state is JobState.PENDING
    assert not (second.settings.storage.spool_dir / "spool-id").exists()


@pytest.mark.parametrize("used", [False, True], ids=["new", "of another spool"])
def test_a_spool_is_refused_by_another_database(engine: Make, used: bool) -> None:
    """F-R28: all its files would be put aside."""
    first = engine("data", "one")
    Works(first, ANNA).start("copy")
    started(first)
    if used:
        started(engine("other", "two"))

    line = refused(engine("data", "two"))

    assert f"is spool {stored(first)}, and the database sqlite://" in line
    assert ("has spool " in line) == used
    assert ("has no spool yet" in line) == (not used)
    assert len(list(first.spool.files())) == 1


def test_a_data_folder_may_move(engine: Make, tmp_path: Path) -> None:
    """With its spool; the database learns where it is now."""
    first = engine("data", "one")
    before = started(first)
    first.settings.storage.data_dir.rename(tmp_path / "moved")
    after = started(engine("moved", "one"))

    assert after.row is not None
    assert before.row is not None
    assert after.identifier == before.identifier
    assert after.row.place == before.row.place.replace("/data/", "/moved/")


def test_a_copy_of_both_starts(engine: Make, tmp_path: Path) -> None:
    """A backup that is restored, elsewhere or here."""
    first = engine("data", "one")
    before = started(first)
    first.close()
    shutil.copytree(tmp_path / "data", tmp_path / "restored")
    shutil.copyfile(tmp_path / "one.sqlite", tmp_path / "two.sqlite")

    assert started(engine("restored", "two")).identifier == before.identifier


def test_data_of_an_older_version_are_not_adopted_by_a_spool_that_has_none_of_their_files(engine: Make) -> None:
    """F-R28: one file of an open job is enough to tell that it is the right one."""
    core = engine("data", "one")
    works = Works(core, ANNA)
    tokens = [works.start("copy") for _ in range(2)]
    files = [core.spool.path(works.job(token).documents[0]) for token in tokens]
    for file in files:
        file.rename(file.with_suffix(".elsewhere"))

    line = refused(core)
    files[0].with_suffix(".elsewhere").rename(files[0])

    assert f"{core.settings.storage.spool_dir} has no file of the 2 open jobs in sqlite://" in line
    assert started(core).fits


def test_an_adopted_spool_is_that_of_no_other_database(engine: Make) -> None:
    """Both get a new identifier, so that what belonged to one of them before is refused from then on."""
    first, second = engine("data", "one"), engine("other", "two")
    before = {started(first).identifier, started(second).identifier}
    new = engine("data", "two")
    new.adopt_spool()

    assert found(new).fits
    assert found(new).identifier not in before
    assert started(new).fits
    refused(first)
    refused(second)


def test_a_spool_is_not_adopted_beside_a_server(engine: Make) -> None:
    """The server of the data folder, or that of the database."""
    with engine("data", "one")._admitted("serve"):
        for other in (engine("data", "two"), engine("other", "one")):
            with pytest.raises(SettingsError, match="another postscan server"):
                other.adopt_spool()


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("adopted", [False, True], ids=["first start", "adopted"])
@pytest.mark.parametrize("step", ["before the row", "before the name", "behind the name"])
def test_a_crash_leaves_both_as_they_were_or_as_they_become(
    engine: Make, monkeypatch: pytest.MonkeyPatch, step: str, adopted: bool
) -> None:
    """F-R1: the next start needs no help."""
    core = engine("data", "one")
    Works(core, ANNA).start("copy")
    before = started(core) if adopted else None
    with monkeypatch.context() as killing, pytest.raises(Killed):
        kill(killing, step)
        if adopted:
            core.adopt_spool()
        else:
            started(core)

    after = started(engine("data", "one"))

    assert after.fits
    assert not (core.settings.storage.spool_dir / "spool-id.part").exists() or step == "before the row"
    assert (after == before) == (adopted and step == "before the row")
    assert len(list(core.spool.files())) == 1


def kill(killing: pytest.MonkeyPatch, step: str) -> None:
    """Let the process end at this step."""
    place, name = (installation, "write_spool") if "row" in step else (Path, "rename")
    real = getattr(place, name)

    def killed(*arguments: object) -> None:
        if step.startswith("behind"):
            real(*arguments)
        raise Killed

    killing.setattr(place, name, killed)


def test_the_identifier_of_a_server_is_that_of_its_database(core: Engine) -> None:
    """Through the door of the engine: a running one has stored it."""
    with core.running():
        with core.store.reading() as db:
            row = installation.read_spool(db)

        assert row is not None
        assert stored(core) == row.identifier


def test_no_row_is_written_while_nothing_changes(engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start writes to the database only what is new."""
    started(engine("data", "one"))
    again = engine("data", "one")
    monkeypatch.setattr(Store, "writing", None)

    identity.bind(again.store, again.spool)

    assert found(again).fits
