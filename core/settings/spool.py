"""Settings of the place where images lie."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from postscan.core.settings.engine import Seconds, Table
from postscan.core.settings.network import is_loopback

SCHEMES: Final = ("s3", "az", "gs")


class SpoolSettings(Table):
    """`[spool]`: where the bytes of images lie."""

    store: str = Field(
        "",
        description="empty: the folder `spool` in data_dir; an absolute path: that folder, which several machines may "
        "use; `s3://bucket/prefix`, `az://container/prefix` or `gs://bucket/prefix`: an object store, which needs "
        "`postscan[s3]`",
    )
    endpoint: str = Field(
        "", description="URL of an object store that is not the cloud's own; `http://` only with allow_http"
    )
    region: str = Field("", description="region of the bucket; empty: `us-east-1`, or that of the environment")
    access_key: str = Field(
        "", max_length=256, repr=False, description="name of the key of the object store; empty: from the environment"
    )
    secret_key: str = Field("", max_length=1024, repr=False, description="the key; empty: from the environment")
    ca_certificate: Path | None = Field(
        None, description="PEM file of the authority of the endpoint's certificate; default: the system's authorities"
    )
    allow_http: bool = Field(
        False, description="allow an endpoint without TLS that is not on this machine: pages cross the network readable"
    )
    request_seconds: Seconds = Field(
        30.0,
        le=600,
        description="seconds that a request with 1 to 16 MiB of an image may take; any other request may take 2.5",
    )

    @field_validator("store")
    @classmethod
    def _is_a_place(cls, store: str) -> str:
        parts = urlsplit(store)
        if not store or store.startswith("/"):
            return store
        if parts.scheme not in SCHEMES or not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(f"{store!r} is no place: expected an absolute path, s3://bucket/prefix, az:// or gs://")
        if any(part in ("", ".", "..") for part in parts.path.strip("/").split("/") if parts.path.strip("/")):
            raise ValueError(f"{store!r}: expected a prefix without empty parts and dots")
        return store.rstrip("/")

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        if endpoint and (parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc):
            raise ValueError("expected https:// and a name, without credentials")
        return endpoint.rstrip("/")

    @model_validator(mode="after")
    def _fits(self) -> SpoolSettings:
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError("access_key and secret_key: expected both or none")
        if not self.is_object_store and (self.endpoint or self.access_key):
            raise ValueError("endpoint, access_key and secret_key are of an object store; expected store = 's3://...'")
        parts = urlsplit(self.endpoint)
        if parts.scheme == "http" and not self.allow_http and not is_loopback(parts.hostname or ""):
            raise ValueError(f"endpoint {self.endpoint!r} has no TLS: expected https://, or allow_http = true")
        return self

    @property
    def is_object_store(self) -> bool:
        """Whether the images lie in an object store."""
        return "://" in self.store
