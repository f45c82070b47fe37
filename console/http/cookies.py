"""The cookies of the console: the session, the secret of forms before there is one, and the notice of the page before.

All are HttpOnly and SameSite=Strict. Under TLS their names begin with `__Host-`, so that a browser takes them from this
host alone, over TLS alone. Cookies know no ports: programs at other ports of the host see them (T-C3).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

from postscan.core.settings import Settings

MOST_NOTICE: Final = 600  # characters
NOTICE_SECONDS: Final = 60


class Cookies:
    """Reads and sets the cookies of one console."""

    def __init__(self, settings: Settings) -> None:
        self.is_secure = settings.console_is_https
        prefix = "__Host-postscan" if self.is_secure else "postscan"
        self._session, self._form, self._notice = prefix, f"{prefix}-form", f"{prefix}-notice"
        self._key = secrets.token_bytes(32)

    def session(self, http: Request) -> str:
        """Return the secret of the session; "" if the browser sent none."""
        return http.cookies.get(self._session, "")

    def set_session(self, response: Response, secret: str) -> None:
        """Let the browser send this secret until it is closed."""
        self._set(response, self._session, secret)

    def end_session(self, response: Response) -> None:
        """Let the browser forget the session."""
        self._end(response, self._session)

    def form_secret(self, http: Request) -> str:
        """Return what the tokens of forms depend on before there is a session; "" if the browser sent none."""
        return http.cookies.get(self._form, "")

    def set_form_secret(self, response: Response, secret: str) -> None:
        """Let the browser send this secret."""
        self._set(response, self._form, secret)

    def notice(self, http: Request) -> str:
        """Return the sentence that the page before has left; "" if there is none, or if it is not of this console."""
        digest, _, text = http.cookies.get(self._notice, "").partition(".")
        return unquote(text) if hmac.compare_digest(digest.encode(), self._digest(text).encode()) else ""

    def set_notice(self, response: Response, sentence: str) -> None:
        """Leave a sentence for the next page."""
        text = quote(sentence[:MOST_NOTICE], safe="")
        self._set(response, self._notice, f"{self._digest(text)}.{text}", seconds=NOTICE_SECONDS)

    def end_notice(self, response: Response) -> None:
        """Let the browser forget the sentence, since a page has shown it."""
        self._end(response, self._notice)

    def _digest(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def _set(self, response: Response, name: str, value: str, *, seconds: int | None = None) -> None:
        response.set_cookie(
            name, value, max_age=seconds, path="/", secure=self.is_secure, httponly=True, samesite="strict"
        )

    def _end(self, response: Response, name: str) -> None:
        response.delete_cookie(name, path="/", secure=self.is_secure, httponly=True, samesite="strict")


def form_token(secret: str) -> str:
    """Return the token of forms for the secret in a cookie; it does not give the secret away (T-C1)."""
    return hashlib.sha256(f"form:{secret}".encode()).hexdigest()
