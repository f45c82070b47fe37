"""Running the SharePoint filter with a WebDAV server of its own, and the names of what it delivers there."""

from __future__ import annotations

import time

import webdav

from postscan.plugins.filters.sharepoint import Instructions, SharePoint
from postscan.plugins.testing import run_filter

USER = "anna@fabrikam.example"
NAMES = [f"Scan_{USER}_20260302-094107_{id:03d}.{suffix}" for id, suffix in ((1, "png"), (2, "tif"))]
FOLDER = f"docs/{USER}"


def settings(dav, **more):
    """Return the settings for a server; `more` changes its entry."""
    entry = {"kind": "webdav", "user": webdav.USER, "password": webdav.PASSWORD, "seconds": 60, **more}
    return {"sites": {dav.url: entry}}


def run(dav, files, *urls, table=None, my_site=False, **how):
    """Run the filter for these libraries, or for the server's own, and return its result."""
    instructions = Instructions(my_site, urls or (dav.library,))
    return run_filter(SharePoint(), files, instructions=instructions, settings=table or settings(dav), **how)


def stored(dav):
    """Return the files below the server's root, once it has noticed which uploads were broken off."""
    end = time.monotonic() + 60
    while any(name.endswith(".part") for name in dav.files()) and time.monotonic() < end:
        time.sleep(0.02)
    return dav.files()
