"""The monitoring of one process, as the commands begin it: its port, systemd, and what it needs to be ready."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from postscan.cli.monitoring.port import MonitoringPort
from postscan.cli.monitoring.service_manager import READY, STOPPING, ServiceManager

if TYPE_CHECKING:
    from postscan.core.engine import Engine

log = logging.getLogger(__name__)


@contextlib.contextmanager
def monitored(engine: Engine) -> Iterator[Callable[[], None]]:
    """Answer probes of this process while the body runs; yield what to call when it is ready.

    Raises `SettingsError` if the port cannot be used.
    """
    from postscan import migrations
    from postscan.core.service.administration.metrics import readiness

    health, manager = engine.health, ServiceManager.of_environment()
    health.add("schema", partial(readiness.schema, engine.store, migrations.newest()))
    health.on_drain(partial(manager.tell, STOPPING))
    with (
        MonitoringPort(engine.settings.monitoring, health, engine.metrics.page).open() as port,
        manager.watched(lambda: not health.stuck()),
    ):
        if port is not None:
            log.info("probes answered", extra={"address": f"{engine.settings.monitoring.host}:{port}"})
        yield partial(manager.tell, READY)
