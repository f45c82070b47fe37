"""One request while it is served: its path, who sent it, its body."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from postscan.plugins.sources.web.access import Caller
from postscan.plugins.sources.web.body import RequestBody
from postscan.plugins.sources.web.paths import WebPath


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request whose sender is known."""

    request: Request
    path: WebPath
    caller: Caller
    body: RequestBody

    @property
    def sender(self) -> str:
        """The name under which files and locks of the sender are kept."""
        return self.caller.key

    def field(self, name: str) -> str | None:
        """Return a field of the head, or None."""
        return self.request.headers.get(name)
