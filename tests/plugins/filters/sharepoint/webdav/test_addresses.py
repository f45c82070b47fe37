"""Where documents go: only the settings decide which servers are called, whatever redirects or variables say."""

from __future__ import annotations

import pytest
import webdav
from certificates import Authority
from free_ports import free_port
from webdav_runs import run, settings, stored

from postscan.core.model.states import FilterState


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://sharepoint.example/docs",
        r"\\sharepoint\docs",
        "/docs",
        "",
        "https://",
        "https://svc:pw@sharepoint.example/docs",
        "https://sharepoint.example/docs/../admin",
        "https://sharepoint.example/docs/%2e%2e/admin",
        "https://sharepoint.example/docs/a%2fb",
        "https://sharepoint.example/docs/a%5cb",
        "https://sharepoint.example/docs?cmd=x",
        "https://sharepoint.example/docs#x",
        "https://sharepoint.example/do\ncs",
        "https://sharepoint.example/%ff",
        "https://sharepoint.example:99999/docs",
        "https://share point.example/docs",
    ],
)
def test_what_is_no_address_of_a_library_is_refused(dav, pages, url):
    """InvalidArgs, the other libraries are served, and nobody is called (PSP-029, PSP-030, T-F6)."""
    result = run(dav, pages[:1], url, dav.library)

    assert result.reasons == ("InvalidArgs",)
    assert "not the address of a library" in result.detail
    assert len(dav.files()) == 1


def test_an_address_that_the_settings_do_not_name_is_never_called(dav, pages, tmp_path):
    """D17 and I30: not the same host on another port, nor a path beside the configured one."""
    with webdav.serve(tmp_path / "other") as other:
        table = {"sites": {f"{dav.url}/docs/hr": settings(dav)["sites"][dav.url]}}
        urls = (other.library, dav.library, f"{dav.library}/hrx", f"{dav.library}/HR")
        result = run(dav, pages, *urls, table=table)

        assert (dav.requests, other.requests) == ([], [])
    assert result.reasons == ("UnknownError",)
    assert result.detail == "; ".join(f"{url}: no site covers it; add it to filters.sharepoint.sites" for url in urls)


def test_the_longest_prefix_wins(dav, pages):
    """An entry for one library goes before the one for its host."""
    sites = settings(dav)["sites"]
    wrong = settings(dav, password="wrong")["sites"][dav.url]
    (dav.root / "docs" / "hr").mkdir()
    table = {"sites": {dav.url: wrong, f"{dav.url}/docs": sites[dav.url]}}

    assert run(dav, pages[:1], f"{dav.library}/hr", table=table).outcome is FilterState.SUCCEEDED


@pytest.mark.parametrize("method", ["PROPFIND", "PUT", "MOVE"])
def test_a_redirect_is_not_followed(dav, pages, tmp_path, method):
    """The other host hears nothing, neither of the file nor of the password (T-F6, I30)."""
    with webdav.serve(tmp_path / "other") as other:
        dav.faults[method].append(webdav.answers("307 Temporary Redirect", ("Location", f"{other.library}/x")))
        result = run(dav, pages[:1])

        assert other.requests == []
    assert result.reasons == ("UnknownError",)
    assert f"answered {method} with 307, a redirect, which is not followed" in result.detail
    assert stored(dav) == {}


def test_no_variable_of_the_environment_sends_it_elsewhere(dav, pages, monkeypatch):
    """A proxy of the environment is not for us (I30)."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    assert run(dav, pages[:1]).outcome is FilterState.SUCCEEDED


def test_over_tls_the_server_must_be_the_one_that_the_settings_trust(tmp_path, pages):
    """Else it hears nothing at all, so that no password goes to it (T-F6)."""
    ca, stranger = Authority("Test CA"), Authority("Stranger")
    with webdav.serve(tmp_path / "dav", ca.server().write(tmp_path, "tls")) as dav:
        refused = run(dav, pages[:1], table=settings(dav, ca_file=str(stranger.write(tmp_path, "stranger"))))
        heard = list(dav.requests)
        taken = run(dav, pages[:1], table=settings(dav, ca_file=str(ca.write(tmp_path, "ca"))))

    assert taken.outcome is FilterState.SUCCEEDED
    assert (refused.reasons, heard) == (("UnknownError",), [])
    assert "is not accepted" in refused.detail
    assert refused.log == []  # nor is it asked again
