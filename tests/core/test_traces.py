"""Spans of OpenTelemetry: what is made when its API is installed, and that nothing is done when it is not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient
from works import Works, until

from postscan.core import traces
from postscan.core.engine import Engine
from postscan.soap.http.app import MEDIA_TYPE, create_app


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans that have ended."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces, "_tracer", lambda: provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    """Return the spans of this name."""
    return [one for one in spans.get_finished_spans() if one.name == name]


def test_a_job_has_spans_for_its_claim_its_filters_and_what_they_deliver(
    works: Works, spans: InMemorySpanExporter
) -> None:
    """The delivery is inside of the run, from its grant to its publication."""
    token = works.start("copy")
    works.ended(token)
    until(lambda: named(spans, "filter run"), "for the run to leave")
    (claim,), (run,), (delivery,) = (named(spans, name) for name in ("claim", "filter run", "delivery"))

    assert claim.attributes == {"postscan.job": token}
    assert run.attributes == {
        "postscan.job": token,
        "postscan.filter": "acme",
        "postscan.attempt": 1,
        "postscan.outcome": "completed",
    }
    assert delivery.attributes == {"postscan.job": token, "postscan.published": True}
    assert run.start_time < delivery.start_time < delivery.end_time < run.end_time


def test_a_request_has_a_span_with_its_operation_and_its_fault(core: Engine, spans: InMemorySpanExporter) -> None:
    """Its body was no envelope, so no operation is known."""
    client = TestClient(create_app(core.service, core.settings))
    client.post(core.settings.server.path, content=b"<x/>", headers={"content-type": MEDIA_TYPE})
    (request,) = named(spans, "request")

    assert request.attributes is not None
    assert request.attributes["postscan.service"] == "processing"
    assert request.attributes["postscan.operation"] == ""
    assert request.attributes["postscan.fault"] != "none"


def test_without_the_api_nothing_is_made_and_it_is_looked_for_once() -> None:
    """In a process of its own, in which the package cannot be imported."""
    script = """
import sys
sys.modules["opentelemetry"] = None
from postscan.core import traces
with traces.span("request", service="x") as note:
    note(fault="none")
with traces.span("request") as other:
    pass
traces.record("claim", traces.now(), job="x")
print(traces.now(), note is other is traces.ignore, traces._tracer.cache_info().misses)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ended.stdout == "0 True 1\n"


def test_a_command_imports_none_of_it() -> None:
    """It is imported with the first span, which is a server's."""
    script = "import sys, postscan.core.engine, postscan.soap.server; print('opentelemetry' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert ended.stdout == "False\n"
