"""All settings: one TOML file, read once at the door, frozen from then on.

Every key has a default that works without any file. `docs/settings.md` is generated from the descriptions below.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from postscan.core.errors import SettingsError

MIB = 1 << 20
GIB = 1 << 30

Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]


def default_data_dir() -> Path:
    """Return where postscan keeps its data when nobody says: `$XDG_STATE_HOME/postscan`, usually below the home."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "postscan"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ServerSettings(_Table):
    """`[server]`: where devices reach us."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(5362, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    path: str = Field("/ScanServer/processing", pattern=r"^/[\w/.~-]*$", description="path of the processing service")
    allow_plain_http: bool = Field(
        False, description="serve plain HTTP on other addresses than loopback, without any proof of who calls"
    )
    always_500: bool = Field(False, description="answer every fault with HTTP 500, for clients that read no other")
    head_seconds: Seconds = Field(10.0, description="seconds that a client may take to send the head of a request")
    idle_seconds: Seconds = Field(
        15.0, description="seconds that a connection may stay silent within a body or between requests"
    )
    drain_seconds: Seconds = Field(30.0, description="seconds that running filters get when the server stops")

    @model_validator(mode="after")
    def _plain_http_stays_home(self) -> ServerSettings:
        if not self.allow_plain_http and not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host!r} is not a loopback address, and there is no TLS yet: "
                "set allow_plain_http = true to serve plain HTTP on it"
            )
        return self


class StorageSettings(_Table):
    """`[storage]`: where jobs and images are kept."""

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="folder for everything that postscan keeps; default `$XDG_STATE_HOME/postscan`",
    )
    database: str = Field("", description="SQLAlchemy URL of the database; empty: SQLite in data_dir")
    busy_seconds: Seconds = Field(5.0, description="seconds to wait for a locked database")

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


class LimitSettings(_Table):
    """`[limits]`: how much a device may send."""

    envelope_bytes: Bytes = Field(MIB, description="largest SOAP part")
    image_bytes: Bytes = Field(2 * GIB, description="largest image")
    images_per_job: int = Field(1000, gt=0, description="most images in one job")
    open_jobs: int = Field(20, gt=0, description="most jobs that one caller may have open")
    silence_seconds: Seconds = Field(600.0, description="silence after which a job without its end is given up")


class ProcessSettings(_Table):
    """`[processes]`: the stored scan processes."""

    folder: Path | None = Field(
        None, description="folder of `<GUID>.xml` and `<GUID>.toml`; default `data_dir/processes`"
    )
    lenient: bool = Field(False, description="run what the device sent, even if no stored process says so")
    server_names: tuple[str, ...] = Field((), description="names of this server that a process may carry; empty: any")


class FilterSettings(_Table):
    """`[running]`: how filters run."""

    slots: int = Field(4, gt=0, le=256, description="filters that may run at the same time")
    seconds: Seconds = Field(300.0, description="longest run of a filter")
    grace_seconds: Seconds = Field(5.0, description="longest time a filter may take to stop after a cancel")
    term_seconds: Seconds = Field(2.0, description="time between SIGTERM and SIGKILL")
    cancel_answer_seconds: float = Field(
        1.0, ge=0, description="longest time a cancel waits for the filters to stop before it answers"
    )


class PluginSettings(_Table):
    """`[plugins]`: which plugins are used."""

    disabled: tuple[str, ...] = Field((), description="names of plugins that are never imported")
    probe_seconds: Seconds = Field(10.0, description="longest time a plugin may take to load")


class UserSettings(_Table):
    """`[users."<SID>"]`: what is known of a user."""

    name: str = Field(min_length=1, max_length=255, description="`user@domain`; folders are named after it")
    mail: str = Field("", max_length=255, description="mail address")


class Settings(_Table):
    """Everything that can be set."""

    server: ServerSettings = Field(default_factory=ServerSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    processes: ProcessSettings = Field(default_factory=ProcessSettings)
    running: FilterSettings = Field(default_factory=FilterSettings)
    plugins: PluginSettings = Field(default_factory=PluginSettings)
    filters: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="one table for each plugin, by its name: see the plugin's own documentation"
    )
    users: dict[str, UserSettings] = Field(default_factory=dict, description="users by SID")
    allow_unknown_users: bool = Field(True, description="accept a SID that `users` does not list; its name is the SID")
    log: Literal["text", "json"] = Field("text", description="form of the log")

    @field_validator("users")
    @classmethod
    def _sids(cls, users: dict[str, UserSettings]) -> dict[str, UserSettings]:
        for sid in users:
            if not sid.startswith("S-1-"):
                raise ValueError(f"{sid!r} is not a SID; expected S-1-...")
        return users

    @property
    def processes_dir(self) -> Path:
        """Where the scan processes lie."""
        return self.processes.folder or self.storage.data_dir / "processes"


def load(path: Path | None = None) -> Settings:
    """Read the settings from *path*, or take the defaults if there is none.

    Raises `SettingsError` with the file, the key, and what was expected. Relative paths count from the file's folder.
    """
    if path is None:
        return Settings()
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}") from error
    try:
        settings = Settings.model_validate(table)
    except ValidationError as error:
        raise SettingsError("\n".join(f"{path}: {_sentence(one)}" for one in error.errors())) from None
    return _rooted(settings, path.resolve().parent)


def _rooted(settings: Settings, home: Path) -> Settings:
    storage = settings.storage.model_copy(update={"data_dir": home / settings.storage.data_dir})
    processes = settings.processes
    if processes.folder is not None:
        processes = processes.model_copy(update={"folder": home / processes.folder})
    return settings.model_copy(update={"storage": storage, "processes": processes})


def _sentence(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "(file)"
    if error["type"] == "extra_forbidden":
        return f"{key}: there is no such setting"
    reason = error["msg"].removeprefix("Value error, ")
    return f"{key}: {reason} (got {error['input']!r})" if not isinstance(error["input"], dict) else f"{key}: {reason}"
