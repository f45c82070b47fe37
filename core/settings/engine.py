"""What can be set: one class for each table of the file, with every key, its bounds and its default.

`docs/settings.md` is generated from the descriptions.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
)

from postscan.core.model import file_names
from postscan.core.model.principal import is_sid

MIB = 1 << 20
GIB = 1 << 30

Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]


def default_data_dir() -> Path:
    """Return where postscan keeps its data when nobody says: `$XDG_STATE_HOME/postscan`, usually below the home."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "postscan"


def check_sid(text: str) -> None:
    """Raise `ValueError` if the text is not a SID."""
    if not is_sid(text):
        raise ValueError(f"{text!r} is not a SID; expected S-1-...")


class Table(BaseModel):
    """What all tables have in common: they are frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StorageSettings(Table):
    """`[storage]`: where jobs and images are kept."""

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="folder for everything that postscan keeps; default `$XDG_STATE_HOME/postscan`",
    )
    database: str = Field("", description="SQLAlchemy URL of the database; empty: SQLite in data_dir")
    busy_seconds: Seconds = Field(5.0, description="seconds to wait for a locked database")
    reserve_bytes: int = Field(
        64 * MIB,
        ge=0,
        description="room that images leave free on the disk, so that the database can always be written",
    )

    @property
    def url(self) -> str:
        """The database that is really used."""
        return self.database or f"sqlite:///{self.data_dir / 'postscan.sqlite'}"

    @property
    def spool_dir(self) -> Path:
        """Where the images lie."""
        return self.data_dir / "spool"

    @property
    def run_dir(self) -> Path:
        """Where filter runs have their private folders."""
        return self.data_dir / "run"


class LimitSettings(Table):
    """`[limits]`: how much a device may send."""

    envelope_bytes: Bytes = Field(MIB, description="largest SOAP part")
    image_bytes: Bytes = Field(2 * GIB, description="largest image")
    images_per_job: int = Field(1000, gt=0, description="most images in one job")
    open_jobs: int = Field(20, gt=0, description="most jobs that one caller may have open")
    caller_bytes: Bytes = Field(20 * GIB, description="most bytes of images that are kept for one caller")
    bad_tokens: int = Field(20, gt=0, description="unknown tokens that a caller may name in a minute")
    silence_seconds: Seconds = Field(600.0, description="silence after which a job without its end is given up")


class RetentionSettings(Table):
    """`[retention]`: how long what has ended is kept. Failed and held jobs are kept until somebody decides."""

    image_hours: float = Field(24.0, ge=0, description="hours that the images of a completed or canceled job are kept")
    image_bytes: Bytes = Field(50 * GIB, description="bytes of such images that are kept at most; the oldest go first")
    job_hours: float = Field(24.0, ge=0, description="hours that an ended job can be asked for")
    jobs: int = Field(1000, ge=0, description="ended jobs that can be asked for, however old they are")
    request_hours: float = Field(24.0, ge=0, description="hours that an identical request gets the same answer")


class ProcessSettings(Table):
    """`[processes]`: the stored scan processes."""

    folder: Path | None = Field(
        None, description="folder of `<GUID>.xml` and `<GUID>.toml`; default `data_dir/processes`"
    )
    lenient: bool = Field(False, description="run what the device sent, even if no stored process says so")
    server_names: tuple[str, ...] = Field((), description="names of this server that a process may carry; empty: any")


class NamingSettings(Table):
    """`[naming]`: what the documents are called where filters deliver them."""

    template: str = Field(
        file_names.TEMPLATE,
        description="name of a document without its extension: text, and the fields `{root}`, `{user}`, `{date}`, "
        "`{process}` and `{page}`, of which `{page}` must be there",
    )

    @field_validator("template")
    @classmethod
    def _can_be_filled(cls, template: str) -> str:
        file_names.pieces(template)
        return template


class FilterSettings(Table):
    """`[running]`: how filters run."""

    slots: int = Field(4, gt=0, le=256, description="filters that may run at the same time")
    seconds: Seconds = Field(300.0, description="longest run of a filter")
    grace_seconds: Seconds = Field(5.0, description="longest time a filter may take to stop after a cancel")
    term_seconds: Seconds = Field(2.0, description="time between SIGTERM and SIGKILL")
    memory_bytes: Bytes = Field(2 * GIB, description="most memory of a filter and of each tool that it runs")
    processor_seconds: Seconds | None = Field(
        None, description="most processor time of a filter and of each tool that it runs; default: as `seconds`"
    )
    file_bytes: Bytes = Field(4 * GIB, description="largest file that a filter may write")
    open_files: int = Field(512, ge=32, description="most files that a filter may have open")
    cancel_answer_seconds: float = Field(
        1.0, ge=0, description="longest time a cancel waits for the filters to stop before it answers"
    )


class PluginSettings(Table):
    """`[plugins]`: which plugins are used."""

    disabled: tuple[str, ...] = Field((), description="names of plugins that are never imported")
    probe_seconds: Seconds = Field(10.0, description="longest time a plugin may take to load")


class UserSettings(Table):
    """`[users."<SID>"]`: what is known of a user."""

    name: str = Field(min_length=1, max_length=255, description="`user@domain`; folders are named after it")
    mail: str = Field("", max_length=255, description="mail address")
    upn: str = Field(
        "", max_length=1024, description="user principal name as the user's certificate spells it; upper case matters"
    )
