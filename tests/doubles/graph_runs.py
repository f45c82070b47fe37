"""Running the SharePoint filter with a tenant of its own, and the names of what it delivers there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import graph
from graph import HOST

from postscan.plugins.filters.sharepoint import Instructions, SharePoint
from postscan.plugins.testing import run_filter

USER = "anna@fabrikam.example"
NAMES = [f"Scan_{USER}_20260302-094107_{id:03d}.{suffix}" for id, suffix in ((1, "png"), (2, "tif"))]
SITE = f"https://{HOST}/sites/hr"
LIBRARY = f"{SITE}/Shared%20Documents"
FOLDER = f"Shared-Documents/{USER}"


@dataclass(frozen=True)
class Papers:
    """The certificates of a tenant: the server's, the CA behind it, and the application's with its key."""

    tls: Path
    ca: Path
    application: Path
    certificate: object


def settings(online, papers, prefix=SITE, **more):
    """Return the settings for the tenant; `more` changes the entry."""
    entry = {
        "kind": "online",
        "tenant": graph.TENANT,
        "client_id": graph.CLIENT,
        "certificate_file": str(papers.application),
        "key_file": str(papers.application),
        "ca_file": str(papers.ca),
        "authority": online.url,
        "graph": f"{online.url}/v1.0",
        "seconds": 60,
    }
    return {"sites": {prefix: entry | more}}


def run(online, papers, files, *urls, table=None, **how):
    """Run the filter for these libraries, or for the usual one, and return its result."""
    table = table or settings(online, papers)
    return run_filter(SharePoint(), files, instructions=Instructions(False, urls or (LIBRARY,)), settings=table, **how)


async def passes(*_):
    """No fault: the request before the one that is meant."""
