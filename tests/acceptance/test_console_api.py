"""A program at the console of a real server: it cancels a job whose filter runs, and reads that in the metrics."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx2
from acceptance.server import running
from api_client import ADMIN
from served_metrics import series, value
from works import PATIENCE, until

from postscan.console.http.process import read_address
from postscan.core.model.principal import Role


def test_a_program_cancels_a_running_job_and_the_metrics_have_it(tmp_path: Path) -> None:
    """Three processes: the program, the console, which stores the cancel, and the server, which stops the filter."""
    tables = {"console": {"enabled": True, "port": 0}, "processes": {"lenient": True}}
    with running(tmp_path, tables) as server:
        works = server.works
        until(lambda: read_address(server.settings.storage.run_dir), "for the console")
        until_tomorrow = works.core.clock.now() + timedelta(days=1)
        secret = works.core.tokens.add("scripts", Role.OPERATOR, until_tomorrow, ADMIN)
        job = works.start("sleep 600")
        works.await_trace(job, "sleep")
        with httpx2.Client(
            base_url=read_address(server.settings.storage.run_dir),
            headers={"authorization": f"Bearer {secret}"},
            timeout=PATIENCE,
        ) as program:
            answer = program.post(f"/api/v1/jobs/{job}/cancel")
            ended = works.ended(job)
            stopped = {"filter": "acme", "outcome": "stopped"}
            until(
                lambda: value(series(program.get("/metrics").text), "postscan_filter_runs_total", **stopped),
                "for the metrics to have the end of the filter",
            )
            found = series(program.get("/metrics").text)

    assert answer.status_code == 200
    assert answer.json()["state"] in ("Terminating", "Canceled")
    assert ended.state == "Canceled"
    assert value(found, "postscan_cancels_total") == 1
    assert value(found, "postscan_filter_runs_total", **stopped) == 1
    assert value(found, "postscan_server_up") == 1
    assert (value(found, "postscan_connections_limit") or 0) > 0
