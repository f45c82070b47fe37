"""Settings of the port at which a process answers probes, and serves its metrics."""

from __future__ import annotations

from pydantic import Field

from postscan.core.settings.engine import Table


class MonitoringSettings(Table):
    """`[monitoring]`: a port for probes and metrics, of each process; who reaches it may read."""

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int | None = Field(
        None, ge=0, le=65535, description="port to listen on; 0 takes a free one; default: there is no such port"
    )
