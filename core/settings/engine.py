"""Settings of jobs, limits and storage: one class for each table, with its keys, their bounds and defaults.

`docs/settings.md` is generated from the descriptions.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from postscan.core.model import file_names
from postscan.core.model.principal import is_sid

MIB = 1 << 20
GIB = 1 << 30

Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]


def default_data_dir() -> Path:
    """Return the default of `storage.data_dir`: `$XDG_STATE_HOME/postscan`, or `~/.local/state/postscan`."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "postscan"


def check_sid(text: str) -> None:
    """Raise `ValueError` if the text is not a SID."""
    if not is_sid(text):
        raise ValueError(f"{text!r} is not a SID; expected S-1-...")


class Table(BaseModel):
    """Base class of the tables: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StorageSettings(Table):
    """`[storage]`: where jobs and images are stored."""

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="folder of all data of postscan; default `$XDG_STATE_HOME/postscan`",
    )
    database: str = Field("", description="SQLAlchemy URL of the database; empty: SQLite in data_dir")
    busy_seconds: Seconds = Field(
        4.0,
        description="seconds that a transaction waits for its turn and for a locked database; devices get a response "
        "within 5 seconds that way",
    )
    connections: int = Field(
        8,
        ge=4,
        description="most connections to PostgreSQL; two are kept for cancels and the scheduler, and changes take half "
        "of the others",
    )
    reserve_bytes: int = Field(
        64 * MIB,
        ge=0,
        description="bytes that images leave free on the disk; folders of filters leave half of them free, "
        "so that the database can be written",
    )
    ballast_bytes: int = Field(
        16 * MIB,
        ge=0,
        description="bytes of a file that is given up when the database (SQLite) has no room, so that a cancel can be "
        "stored; it is allocated again when the disk has room",
    )

    @property
    def url(self) -> str:
        """The URL of the database in use."""
        return self.database or f"sqlite:///{self.data_dir / 'postscan.sqlite'}"

    @property
    def spool_dir(self) -> Path:
        """The folder of the images."""
        return self.data_dir / "spool"

    @property
    def run_dir(self) -> Path:
        """The folder of the private folders of filter runs."""
        return self.data_dir / "run"

    @property
    def sources_dir(self) -> Path:
        """The folder of what sources keep across runs, with one sub-folder for each inlet."""
        return self.data_dir / "sources"


class LimitSettings(Table):
    """`[limits]`: how much a device may send."""

    envelope_bytes: Bytes = Field(MIB, description="largest SOAP envelope without parts, in bytes")
    root_bytes: Bytes = Field(256 * 1024, description="largest SOAP envelope of a message with an image part, in bytes")
    image_bytes: Bytes = Field(2 * GIB, description="largest image, in bytes")
    images_per_job: int = Field(1000, gt=0, description="most images in one job")
    open_jobs: int = Field(20, gt=0, description="most jobs that one caller may have open")
    source_jobs: int = Field(
        50, gt=0, le=1000, description="most jobs that take pages of sources at the same time, of all inlets"
    )
    caller_bytes: Bytes = Field(
        20 * GIB,
        description="most bytes that are stored for one caller: images, what filters made of them, the logs of jobs, "
        "and the folders of filters that run, from 1 MiB on",
    )
    bad_tokens: int = Field(20, gt=0, description="unknown tokens that a caller may send in a minute")
    wrong_passwords: int = Field(
        10,
        gt=0,
        description="wrong passwords that a client may send to an inlet for one account in a minute; twice as many "
        "for all accounts",
    )
    all_wrong_passwords: int = Field(
        60,
        gt=0,
        description="wrong passwords that all clients together may send in a minute; beyond them only those clients "
        "are heard whose password for the account was right before",
    )
    refused_lines: int = Field(
        200,
        gt=0,
        description="most lines about refused requests in the audit trail in a minute, of which one caller has "
        "`bad_tokens`; a further line has the number of the others",
    )
    silence_seconds: Seconds = Field(
        600.0, description="seconds without a request after which a job that is not ended becomes Aborted"
    )


class RetentionSettings(Table):
    """`[retention]`: how long ended jobs are kept. Aborted jobs keep their images until discarded, unless timed out."""

    image_hours: float = Field(24.0, ge=0, description="hours that the images of a Completed or Canceled job are kept")
    image_bytes: Bytes = Field(50 * GIB, description="most bytes of such images; the oldest are removed first")
    timed_out_hours: float = Field(
        168.0,
        ge=0,
        description="hours that the images of a job are kept that timed out because its device sent nothing, or whose "
        "source failed, for `postscan jobs release`",
    )
    job_hours: float = Field(24.0, ge=0, description="hours that an ended job can be queried")
    jobs: int = Field(1000, ge=0, description="ended jobs that can be queried, whatever their age")
    request_hours: float = Field(24.0, ge=0, description="hours that a repeated request gets the same response")


class ProcessSettings(Table):
    """`[processes]`: the stored scan processes."""

    folder: Path | None = Field(
        None, description="folder of `<GUID>.xml` and `<GUID>.toml`; default `data_dir/processes`"
    )
    lenient: bool = Field(
        False, description="accept scan processes that are not stored, and run the instructions that the device sent"
    )
    server_names: tuple[str, ...] = Field((), description="names of this server that a process may contain; empty: any")


class NamingSettings(Table):
    """`[naming]`: the file names of delivered documents."""

    template: str = Field(
        file_names.TEMPLATE,
        description="name of a document without its extension: text, and the fields `{root}`, `{user}`, `{date}`, "
        "`{process}` and `{page}`, of which `{page}` is required",
    )

    @field_validator("template")
    @classmethod
    def _can_be_filled(cls, template: str) -> str:
        file_names.pieces(template)
        return template


class FilterSettings(Table):
    """`[running]`: limits of filter runs."""

    slots: int = Field(4, gt=0, le=256, description="filters that may run at the same time")
    seconds: Seconds = Field(300.0, description="longest run of a filter, in seconds")
    grace_seconds: Seconds = Field(
        5.0, description="longest time that a filter may take to stop after a cancel, in seconds"
    )
    term_seconds: Seconds = Field(2.0, description="seconds between SIGTERM and SIGKILL")
    memory_bytes: Bytes = Field(2 * GIB, description="most bytes of memory of a filter and of each tool that it runs")
    processor_seconds: Seconds | None = Field(
        None, description="most processor seconds of a filter and of each tool that it runs; default: as `seconds`"
    )
    file_bytes: Bytes = Field(4 * GIB, description="largest file that a filter may write, in bytes")
    folder_bytes: Bytes = Field(
        8 * GIB, description="most bytes that the folder of a filter may take on the disk, in bytes"
    )
    log_line_bytes: int = Field(2000, gt=0, le=2000, description="most bytes of a line that a filter logs")
    log_lines: int = Field(1000, ge=0, description="most lines that one run of a filter logs")
    open_files: int = Field(512, ge=32, description="most files that a filter may have open")
    cancel_answer_seconds: float = Field(
        1.0, ge=0, description="seconds that a cancel waits for the filters to stop before its response"
    )


class PluginSettings(Table):
    """`[plugins]`: which plugins are loaded. A table `[plugins.<name>]` has the settings of a plugin of hooks."""

    model_config = ConfigDict(frozen=True, extra="allow")

    disabled: tuple[str, ...] = Field((), description="names of plugins that are never imported")
    probe_seconds: Seconds = Field(
        10.0, description="seconds that a plugin may take to load; a server tries again later"
    )

    @model_validator(mode="after")
    def _others_are_tables(self) -> Self:
        for name, table in (self.model_extra or {}).items():
            if not isinstance(table, dict):
                reason = f"there is no setting {name!r}; expected a table [plugins.{name}]"
                raise ValueError(reason)  # noqa: TRY004  (pydantic takes this one for an error of the value)
        return self

    @property
    def tables(self) -> dict[str, dict[str, Any]]:
        """The tables of plugins of hooks by the name of the plugin, in the order of the file: these are used."""
        return dict(self.model_extra or {})


class UserSettings(Table):
    """`[users."<SID>"]`: one user."""

    name: str = Field(min_length=1, max_length=255, description="`user@domain`; the name of the user's folders")
    mail: str = Field("", max_length=255, description="mail address")
    job_mail: bool = Field(False, description="send a mail to it when a job of the user has failed or is held")
    upn: str = Field(
        "", max_length=1024, description="user principal name as in the user's certificate; case-sensitive"
    )
