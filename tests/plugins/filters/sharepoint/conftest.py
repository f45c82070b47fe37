"""A tenant of SharePoint Online: a small Entra ID and a small Graph on loopback, over TLS."""

from __future__ import annotations

import os

import certificates
import graph
import pytest
from graph import UNIT
from graph_runs import Papers


@pytest.fixture(scope="session")
def papers(tmp_path_factory):
    """All of them, made once: an RSA key takes its time."""
    folder = tmp_path_factory.mktemp("papers")
    authority = certificates.Authority()
    application, certificate = graph.application(folder)
    return Papers(authority.server().write(folder, "tls"), authority.write(folder, "ca"), application, certificate)


@pytest.fixture
def online(papers):
    """A tenant with one site, and two empty libraries in it."""
    with graph.serve(papers.tls, papers.certificate) as running:
        yield running


@pytest.fixture
def pages(tmp_path):
    """Two pages: one that takes several pieces, and one that fits into one."""
    paths = [tmp_path / "page.png", tmp_path / "page.tif"]
    for path, size in zip(paths, (2 * UNIT + 5000, 5000), strict=True):
        path.write_bytes(os.urandom(size))
    return paths
