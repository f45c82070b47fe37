"""A provider of OpenID Connect: where it sends browsers, and what it says about who has signed in.

The authorization code flow with PKCE (OpenID Connect Core 1.0, 3.1; RFC 7636). Only the ID token is read, and
its signature is verified by the keys of the provider. The provider is asked at most a few times for a login, under
deadlines, and what it answers is bounded.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import httpx2

from postscan.console.errors import PageError
from postscan.core.settings.oidc import OidcSettings, is_safe_url

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

SECONDS: Final = 5.0
"""How long each request to the provider may take."""
MOST_BYTES: Final = 256 * 1024
KEPT_SECONDS: Final = 3600.0
"""How long the addresses and the keys of the provider are kept."""
AGAIN_SECONDS: Final = 60.0
"""A token with an unknown key lets the keys be read again, at most so often."""
LEEWAY: Final = 60
ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""Those with a key of the provider alone: neither `none`, nor one with a secret that both have."""

_DISCOVERY: Final = "/.well-known/openid-configuration"


class Provider:
    """The provider of the settings; usable from several threads. Raised by all: `PageError` (503)."""

    def __init__(self, options: OidcSettings, redirect_uri: str, now: Callable[[], float], http: httpx2.Client) -> None:
        self._options = options
        self._redirect_uri = redirect_uri
        self._now = now
        self._http = http
        self._lock = threading.Lock()
        self._metadata: tuple[float, dict[str, str]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def login_url(self, state: str, nonce: str, verifier: str, *, again: bool) -> str:
        """Return where a browser signs in; with *again* the person has to prove there again who it is."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
        fields = {
            "response_type": "code",
            "client_id": self._options.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": " ".join(self._options.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        if again:
            fields |= {"prompt": "login", "max_age": "0"}
        address = self._endpoints()["authorization_endpoint"]
        return f"{address}{'&' if '?' in address else '?'}{urlencode(fields)}"

    def claims(self, code: str, nonce: str, verifier: str) -> Mapping[str, Any]:
        """Return what the ID token says for a code; raise `PageError` (403) if it does not count."""
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"accept": "application/json"}
        if self._options.client_secret:
            pair = f"{quote(self._options.client_id, safe='')}:{quote(self._options.client_secret, safe='')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            fields["client_id"] = self._options.client_id
        token = self._asked("POST", self._endpoints()["token_endpoint"], data=fields, headers=headers).get("id_token")
        if not isinstance(token, str):
            raise _refused("it has sent no ID token")
        return self._verified(token, nonce)

    def _verified(self, token: str, nonce: str) -> Mapping[str, Any]:
        """Return the claims of an ID token; raise `PageError` if it is not for this login.

        Source: OpenID Connect Core 1.0, 3.1.3.7.
        """
        from joserfc import jwt
        from joserfc.errors import JoseError

        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self._now()),
            leeway=LEEWAY,
            iss={"essential": True, "value": self._options.issuer},
            aud={"essential": True, "value": self._options.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = self._decoded(token)
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise _refused(f"its ID token does not count ({type(error).__name__})") from None
        if claims.get("azp", self._options.client_id) != self._options.client_id:
            raise _refused("its ID token is for another client")
        if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
            raise _refused("its ID token names no one")
        return claims

    def _decoded(self, token: str) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError

        try:
            return dict(jwt.decode(token, self._key_set(KEPT_SECONDS), algorithms=ALGORITHMS).claims)
        except (InvalidKeyIdError, ValueError):  # the provider may have new keys
            return dict(jwt.decode(token, self._key_set(AGAIN_SECONDS), algorithms=ALGORITHMS).claims)

    # --- what the provider publishes -----------------------------------------------------------------------------

    def _endpoints(self) -> dict[str, str]:
        """Return the addresses of the provider, read an hour ago at most."""
        with self._lock:
            if self._metadata is None or self._metadata[0] + KEPT_SECONDS <= self._now():
                found = self._asked("GET", self._options.issuer.rstrip("/") + _DISCOVERY)
                if found.get("issuer") != self._options.issuer:
                    raise _unavailable("it names itself otherwise than console.oidc.issuer")
                names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
                addresses = {name: str(found.get(name, "")) for name in names}
                if not all(map(is_safe_url, addresses.values())):
                    raise _unavailable("one of its addresses is missing, or is not https")
                self._metadata = (self._now(), addresses)
            return self._metadata[1]

    def _key_set(self, kept_seconds: float) -> KeySet:
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        address = self._endpoints()["jwks_uri"]
        with self._lock:
            if self._keys is None or self._keys[0] + kept_seconds <= self._now():
                try:
                    # It checks what the provider has sent; its type says that this is done already.
                    keys = KeySet.import_key_set(self._asked("GET", address))  # type: ignore[arg-type]
                except (JoseError, ValueError, KeyError, TypeError):
                    raise _unavailable("its keys cannot be read") from None
                self._keys = (self._now(), keys)
            return self._keys[1]

    def _asked(self, method: str, url: str, **fields: Any) -> dict[str, Any]:
        """Return the JSON object that the provider answers; redirects are not followed."""
        data = bytearray()
        try:
            with self._http.stream(method, url, timeout=SECONDS, follow_redirects=False, **fields) as response:
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > MOST_BYTES:
                        raise _unavailable("its answer is too long")
        except httpx2.HTTPError as error:
            raise _unavailable(f"{type(error).__name__}") from None
        if response.status_code in (400, 401, 403):
            raise _refused(f"it answers with status {response.status_code}")
        try:
            found = json.loads(bytes(data)) if response.status_code == 200 else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise _unavailable(f"it answers with status {response.status_code}, or not with JSON")
        return found


def _refused(reason: str) -> PageError:
    return PageError(403, f"The provider has not signed you in: {reason}.", "Try again from the login.")


def _unavailable(reason: str) -> PageError:
    what = f"The provider of OpenID Connect cannot be used now: {reason}."
    return PageError(503, what, "Try again later, or choose another way in.", 5)
