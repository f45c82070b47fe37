"""All settings: one TOML file, read when a command starts, and immutable after that; a server may read it again.

Every key has a default that works without a file. The tables are in `postscan.core.settings.engine`,
`postscan.core.settings.network`, `postscan.core.settings.cluster`, `postscan.core.settings.console`,
`postscan.core.settings.sources`, `postscan.core.settings.accounts`, `postscan.core.settings.directory`,
`postscan.core.settings.spool`, `postscan.core.settings.job_mail` and `postscan.core.settings.monitoring`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from postscan.core.errors import SettingsError
from postscan.core.settings import accounts as account_settings
from postscan.core.settings import sources as source_settings
from postscan.core.settings.accounts import AccountSettings
from postscan.core.settings.cluster import ClusterSettings
from postscan.core.settings.console import ConsoleSettings
from postscan.core.settings.directory import DirectorySettings
from postscan.core.settings.engine import (
    FilterSettings,
    LimitSettings,
    NamingSettings,
    PluginSettings,
    ProcessSettings,
    RetentionSettings,
    StorageSettings,
    Table,
    UserSettings,
    check_sid,
)
from postscan.core.settings.job_mail import JobMailSettings, is_address
from postscan.core.settings.monitoring import MonitoringSettings
from postscan.core.settings.network import (
    DeviceSettings,
    DiscoverySettings,
    EventSettings,
    IdentitySettings,
    ServerSettings,
    TlsSettings,
    is_loopback,
)
from postscan.core.settings.sources import DestinationSettings, SourceSettings
from postscan.core.settings.spool import SpoolSettings


class Settings(Table):
    """All settings."""

    server: ServerSettings = Field(default_factory=ServerSettings)
    device: DeviceSettings = Field(default_factory=DeviceSettings)
    discovery: DiscoverySettings = Field(default_factory=DiscoverySettings)
    events: EventSettings = Field(default_factory=EventSettings)
    tls: TlsSettings = Field(default_factory=TlsSettings)
    identity: IdentitySettings = Field(default_factory=IdentitySettings)
    console: ConsoleSettings = Field(default_factory=ConsoleSettings)
    monitoring: MonitoringSettings = Field(default_factory=MonitoringSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    spool: SpoolSettings = Field(default_factory=SpoolSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    processes: ProcessSettings = Field(default_factory=ProcessSettings)
    naming: NamingSettings = Field(default_factory=NamingSettings)
    running: FilterSettings = Field(default_factory=FilterSettings)
    plugins: PluginSettings = Field(default_factory=PluginSettings)
    directory: DirectorySettings = Field(default_factory=DirectorySettings)
    job_mail: JobMailSettings = Field(default_factory=JobMailSettings)
    filters: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="one table for each plugin, by its name: see the plugin's own documentation"
    )
    destinations: dict[str, DestinationSettings] = Field(
        default_factory=dict, description="what people choose at devices, by a name of your own"
    )
    sources: dict[str, SourceSettings] = Field(default_factory=dict, description="inlets, by a name of your own")
    accounts: dict[str, AccountSettings] = Field(
        default_factory=dict, description="names with passwords, for sources, by the name that is sent"
    )
    users: dict[str, UserSettings] = Field(default_factory=dict, description="users by SID")
    allow_unknown_users: bool = Field(True, description="accept a SID that `users` does not list; its name is the SID")
    log: Literal["text", "json"] = Field("text", description="form of the log")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="lowest level of the lines of the log; `debug` also has what plugins print"
    )

    @field_validator("accounts")
    @classmethod
    def _names(cls, accounts: dict[str, AccountSettings]) -> dict[str, AccountSettings]:
        return account_settings.by_canonical_name(accounts)

    @field_validator("users")
    @classmethod
    def _sids(cls, users: dict[str, UserSettings]) -> dict[str, UserSettings]:
        for sid in users:
            check_sid(sid)
        for sid, user in users.items():
            if user.job_mail and not is_address(user.mail):
                raise ValueError(f"{sid}: job_mail needs a plain address in mail; got {user.mail!r}")
        named = [user.upn for user in users.values() if user.upn]
        for upn in named:
            if named.count(upn) > 1:
                raise ValueError(f"two users have the upn {upn!r}; expected one")
        return users

    @model_validator(mode="after")
    def _plain_http_is_local(self) -> Settings:
        host = self.server.host
        if not (self.tls.on or self.server.allow_plain_http or is_loopback(host)):
            raise ValueError(
                f"server.host {host!r} is not a loopback address: set tls.certificate to serve TLS on it, "
                "or server.allow_plain_http = true to serve without it"
            )
        return self

    @model_validator(mode="after")
    def _console_is_guarded(self) -> Settings:
        self.console.check(is_tls=self.tls.on)
        return self

    @model_validator(mode="after")
    def _found_by_the_name_in_the_certificate(self) -> Settings:
        if self.discovery.enabled and self.tls.on and not self.server.public_url:
            raise ValueError("server.public_url is missing: discovery under TLS announces the name in the certificate")
        return self

    @model_validator(mode="after")
    def _members_fit(self) -> Settings:
        self.cluster.check(self.storage.url, self.running.grace_seconds + self.running.term_seconds)
        return self

    @model_validator(mode="after")
    def _sources_fit(self) -> Settings:
        known = None if self.allow_unknown_users or self.plugins.tables else self.users  # a directory may have others
        source_settings.check(self.destinations, self.sources, known)
        return self

    @property
    def shares_spool(self) -> bool:
        """Whether several processes may use the spool at the same time."""
        return self.cluster.members == "several"

    @property
    def arrival_dir(self) -> Path:
        """The folder of this machine, or of a file server, on whose disk images arrive."""
        if self.spool.is_object_store:
            return self.storage.run_dir
        return Path(self.spool.store) if self.spool.store else self.storage.spool_dir

    @property
    def console_uses_tls(self) -> bool:
        """Whether the console serves TLS itself: not on a loopback address, where its certificate would fit no name."""
        return self.tls.on and not is_loopback(self.console.host)

    @property
    def console_is_https(self) -> bool:
        """Whether browsers reach the console by https, its own or that of a proxy."""
        return self.console_uses_tls or self.console.public_url.startswith("https:")

    @property
    def console_url(self) -> str:
        """The URL of the console for browsers; where port 0 takes a free one, that of a running console differs."""
        return self.console.public_url or _url_of_console(self.console)

    @property
    def is_discoverable(self) -> bool:
        """Whether devices find the server by UDP; default: if it listens beyond loopback, under TLS with a URL."""
        if self.discovery.enabled is not None:
            return self.discovery.enabled
        return not is_loopback(self.server.host) and bool(self.server.public_url or not self.tls.on)

    @property
    def processes_dir(self) -> Path:
        """The folder of the scan processes."""
        return self.processes.folder or self.storage.data_dir / "processes"


def load(path: Path | None = None) -> Settings:
    """Return the settings of the file at *path*, or the defaults if it is None.

    Raises `SettingsError` with the file, the key, and what was expected. Relative paths start at the file's folder.
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
        raise SettingsError("\n".join(f"{path}: {_message(one)}" for one in error.errors())) from None
    return _rooted(settings, path.resolve().parent)


def _url_of_console(console: ConsoleSettings) -> str:
    host = f"[{console.host}]" if ":" in console.host else console.host
    return f"http://{host}:{console.port}"


def _rooted(settings: Settings, home: Path) -> Settings:
    storage = settings.storage.model_copy(update={"data_dir": home / settings.storage.data_dir})
    processes = settings.processes
    if processes.folder is not None:
        processes = processes.model_copy(update={"folder": home / processes.folder})
    files = {key: home / file for key, file in settings.tls if isinstance(file, Path)}
    tls = settings.tls.model_copy(update=files)
    files = {key: home / file for key, file in settings.job_mail if isinstance(file, Path)}
    mail = settings.job_mail.model_copy(update=files)
    return settings.model_copy(update={"storage": storage, "processes": processes, "tls": tls, "job_mail": mail})


_PASSWORDS: Final = (("accounts",), ("job_mail",))  # tables whose values may be passwords


def _message(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "(file)"
    if error["type"] == "extra_forbidden":
        return f"{key}: there is no such setting"
    reason = error["msg"].removeprefix("Value error, ")
    if isinstance(error["input"], dict) or error["loc"][:1] in _PASSWORDS:
        return f"{key}: {reason}"
    return f"{key}: {reason} (got {error['input']!r})"
