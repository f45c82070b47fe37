"""Whom the filter for SharePoint Online believes, where it sends anything, and what it keeps secret."""

from __future__ import annotations

import itertools
import logging

import certificates
import graph
import pytest
from graph_runs import run, settings

from postscan.core.model.states import FilterState


def test_an_upload_to_another_host_is_refused(online, papers, pages, tmp_path):
    """Graph names the address of an upload; it must be the site's own, or Graph's (D17, T-F6)."""
    with graph.serve(papers.tls, papers.certificate) as other:
        online.upload_url = other.url
        result = run(online, papers, pages)

        assert other.requests == []
    assert result.reasons == ("UnknownError",)
    assert f"a call would have gone to {other.url}; the settings name only" in result.detail


@pytest.mark.parametrize("kind", ["discovery", "token", "site", "session", "chunk"])
def test_a_redirect_is_not_followed(online, papers, pages, kind):
    """Neither the key's signature nor the token goes anywhere else (I30)."""
    with graph.serve(papers.tls, papers.certificate) as other:
        online.faults[kind].append(graph.answers(307, location=f"{other.url}/v1.0/x"))
        result = run(online, papers, pages)

        assert other.requests == []
    assert result.outcome is FilterState.ERRORS
    assert online.files() == {}


def test_no_variable_of_the_environment_changes_whom_it_believes(online, papers, pages, monkeypatch, tmp_path):
    """Nor where it goes: `requests`, which msal would use by itself, lets both win."""
    stranger = certificates.Authority("Stranger").write(tmp_path, "stranger")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(papers.ca))
    monkeypatch.setenv("SSL_CERT_FILE", str(papers.ca))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    refused = run(online, papers, pages, table=settings(online, papers, ca_file=str(stranger)))
    heard = list(online.requests)
    taken = run(online, papers, pages)

    assert (refused.reasons, heard) == (("UnknownError",), [])
    assert "is not accepted" in refused.detail
    assert taken.outcome is FilterState.SUCCEEDED


def test_no_secret_is_in_any_sentence(online, papers, pages, caplog):
    """Neither the token, nor the address of an upload, nor what was signed; and not in a log either."""
    caplog.set_level(logging.INFO)
    results = [run(online, papers, pages)]
    for kind, status in itertools.product(("token", "site", "session", "chunk", "state"), (400, 404, 503)):
        online.faults["chunk"] += [graph.answers(503)] if kind == "state" else []
        online.faults[kind] += [graph.answers(status, f"x {online.secret}")] * 9
        results.append(run(online, papers, pages[:1], table=settings(online, papers, seconds=0.1)))
        online.faults.clear()
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    said = f"{results!r}{ours!r}"

    assert results[0].outcome is FilterState.SUCCEEDED
    assert {result.outcome for result in results[1:]} >= {FilterState.ERRORS}
    for secret in (online.secret, "tempauth", "Bearer", "client_assertion"):
        assert secret not in said
