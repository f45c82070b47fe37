"""`/metrics`: who may read it, what it costs, and that its page in the docs, its dashboard and its alerts are true."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from api_client import ApiClient
from certificates import Authority
from conftest import ANNA
from console_browser import Browser
from documents import ROOT, page
from served_metrics import families, series, value
from starlette.types import ASGIApp
from works import Works

from postscan.console.http.app import create_app
from postscan.console.metrics import SECONDS, ConsoleMetrics
from postscan.core.engine import Engine
from postscan.core.errors import StoreBusy
from postscan.core.model.principal import Role
from postscan.core.service.administration.metrics import metrics_socket
from postscan.core.service.administration.metrics.condition import ConnectionUse
from postscan.soap.request_counts import RequestCounts

FILES = ROOT / "docs" / "metrics"
ALERTS = (FILES / "alerts.yaml").read_text()
DASHBOARD = json.loads((FILES / "grafana.json").read_text())
NAME = re.compile(r"\bpostscan_[a-z_]+")


def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return type and labels of each metric in the table of docs/metrics.md."""
    rows = re.findall(r"^\| `(postscan_\w+)` \| (\w+) \|([^|]*)\|", page("docs/metrics.md"), re.MULTILINE)
    return {name: (type, tuple(re.findall(r"`(\w+)`", labels))) for name, type, labels in rows}


def scrape(app: ASGIApp, core: Engine, role: Role | None = Role.VIEWER, address: str = "127.0.0.1") -> Any:
    """Return the response to a program with a token of this role, or without one, at an address."""
    client = ApiClient(app, core, role)
    browser = Browser(app, core, address)
    fields = {"authorization": f"Bearer {client.token}"} if role else {}
    return browser.get("/metrics", **fields)


def page_of(core: Engine) -> str:
    """Return the page of a console beside a server, of what is true now."""
    core.metrics.update()
    with metrics_socket.served(core.settings.storage.data_dir, core.metrics.page):
        return ConsoleMetrics(core).page().decode()


@pytest.fixture
def secured(core: Engine, tmp_path: Path) -> Engine:
    """The engine with a certificate in its settings."""
    path = Authority().server().write(tmp_path, "server")
    tls = core.settings.tls.model_copy(update={"certificate": path})
    core.settings = core.settings.model_copy(update={"tls": tls})
    return core


# --- what it says ----------------------------------------------------------------------------------------------------


def test_the_page_in_the_docs_has_what_is_served(secured: Engine, works: Works) -> None:
    """Each metric with its type and its labels, and none that nothing writes."""
    secured.metrics.watch_connections(lambda: ConnectionUse(1, 2))
    works.ended(works.start("copy"))
    with pytest.raises(LookupError):
        secured.service.job("none-such", ANNA)
    secured.metrics.add(RequestCounts())
    served = families(page_of(secured))
    table = documented()

    assert {name: type for name, (type, _) in served.items()} == {name: type for name, (type, _) in table.items()}
    no_series = {"postscan_inlet_up"}  # these settings have no source
    wrong = {
        name: (labels, table[name][1])
        for name, (_, labels) in served.items()
        if labels != tuple(sorted(table[name][1])) and name not in no_series
    }
    assert wrong == {}


def test_figures_of_server_database_and_console_are_in_one_page(works: Works) -> None:
    works.ended(works.start("copy"))
    found = series(page_of(works.core))

    assert value(found, "postscan_jobs_created_total") == 1
    assert value(found, "postscan_jobs_stored", state="Completed") == 1
    assert value(found, "postscan_server_up") == 1
    assert value(found, "postscan_subscriptions", service="processing") == 0


def test_the_part_of_a_server_that_was_killed_is_not_served(core: Engine) -> None:
    """The figures in it would look like those of now."""
    before = series(page_of(core))
    after = series(ConsoleMetrics(core).page().decode())

    assert value(before, "postscan_slots_used") == 0
    assert value(after, "postscan_slots_used") is None
    assert value(after, "postscan_server_up") == 0


def test_the_end_of_the_certificate_is_told(secured: Engine) -> None:
    end = value(series(ConsoleMetrics(secured).page().decode()), "postscan_certificate_end_seconds")

    assert end is not None
    assert end > datetime.now(UTC).timestamp()


def test_the_database_is_read_once_a_minute(core: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks and how often; and not asked again at once when it has not answered."""
    now, reads = [0.0], []
    counts = core.listing.counts

    def counted(by: Any) -> Any:
        reads.append(by)
        if len(reads) == 2:
            raise StoreBusy("no answer")
        return counts(by)

    monkeypatch.setattr(core.listing, "counts", counted)
    metrics = ConsoleMetrics(core, lambda: now[0])
    pages = []
    for seconds in (0.0, SECONDS - 1, SECONDS, SECONDS + 1, 2 * SECONDS + 2):
        now[0] = seconds
        pages.append(b"postscan_jobs_stored" in metrics.page())

    assert len(reads) == 3
    assert pages == [True, True, False, False, True]


def test_requests_of_the_console_are_counted_by_the_class_of_their_status(console_app: ASGIApp, core: Engine) -> None:
    """Each row of the route table; a client cannot make a series."""
    for role in (None, Role.OWNER, Role.VIEWER):
        scrape(console_app, core, role)
    found = series(scrape(console_app, core).text)

    assert value(found, "postscan_console_requests_total", status="2xx") == 1
    assert value(found, "postscan_console_requests_total", status="4xx") == 2
    assert value(found, "postscan_console_request_duration_seconds_count") == 3


# --- who may read it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "status"),
    [(None, 401), (Role.OWNER, 403), (Role.VIEWER, 200), (Role.OPERATOR, 200), (Role.ADMINISTRATOR, 200)],
)
def test_metrics_are_for_those_who_see_all_jobs(
    console_app: ASGIApp, core: Engine, role: Role | None, status: int
) -> None:
    response = scrape(console_app, core, role)

    assert response.status_code == status
    kind = "text/plain; version=0.0.4; charset=utf-8" if status == 200 else "application/problem+json"
    assert response.headers["content-type"] == kind


@pytest.mark.parametrize(
    ("address", "status"), [("10.0.9.7", 200), ("10.0.8.7", 401), ("127.0.0.1", 401), ("::ffff:10.0.9.7", 200)]
)
def test_named_networks_need_no_token(core: Engine, address: str, status: int) -> None:
    """For this page alone."""
    options = core.settings.console.model_copy(update={"metrics_from": ("10.0.9.0/24",)})
    core.settings = core.settings.model_copy(update={"console": options})
    app = create_app(core)

    assert scrape(app, core, None, address).status_code == status
    assert Browser(app, core, address).get("/api/v1/jobs").status_code == 401


# --- the files beside it ---------------------------------------------------------------------------------------------


def names(text: str) -> Iterator[str]:
    """Yield the metrics that an expression names, without the ends that the series of a histogram have."""
    for name in NAME.findall(text):
        yield re.sub(r"_(bucket|sum|count)$", "", name)


def expressions() -> list[str]:
    """Return the queries of the dashboard."""
    variables = [one["definition"] for one in DASHBOARD["templating"]["list"] if "definition" in one]
    return variables + [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_each_metric_of_the_dashboard_is_served() -> None:
    used = {name for text in expressions() for name in names(text)}

    assert used <= documented().keys()
    assert len(used) > 20


def test_each_metric_of_the_alerts_is_served_with_the_labels_that_they_select() -> None:
    expressions = re.findall(r"expr: (?:>-\n)?(.*?)\n        (?:for|labels)", ALERTS, re.DOTALL)
    used = {name for text in expressions for name in names(text)}

    assert used <= documented().keys()
    for name, selector in re.findall(r"(postscan_\w+)\{([^}]*)\}", "\n".join(expressions)):
        assert set(re.findall(r"(\w+)=", selector)) <= set(documented()[name][1])


def test_each_panel_has_a_place_of_its_own() -> None:
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]

    assert len(set(places)) == len(places)
    assert all(x < 24 for x, _ in places)


@pytest.mark.services
def test_promtool_takes_the_rules_and_the_page(works: Works, tmp_path: Path) -> None:
    """The tool of Prometheus: the rules, their expressions, and the metrics as it lints them."""
    promtool = shutil.which("promtool")
    assert promtool is not None, "promtool is missing: apt-get install prometheus"
    works.ended(works.start("copy"))
    works.core.metrics.add(RequestCounts())
    text = page_of(works.core)
    rules = subprocess.run(
        [promtool, "check", "rules", FILES / "alerts.yaml"], capture_output=True, text=True, check=False
    )
    lint = subprocess.run([promtool, "check", "metrics"], input=text.encode(), capture_output=True, check=False)

    assert rules.returncode == 0, rules.stderr
    assert lint.returncode == 0, lint.stderr
