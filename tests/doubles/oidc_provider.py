"""A provider of OpenID Connect on a loopback port: it checks what the console sends, and signs what a test wants."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

CLIENT, SECRET = "postscan", "s3cret & longer than that"


@cache
def _key() -> RSAKey:
    """Make the key of all providers, once in a process: that takes a quarter of a second."""
    return RSAKey.generate_key(2048, {"kid": "1", "use": "sig"})


class OidcDouble:
    """The provider. `claims` are those of the next ID token, `header` goes over its head, `published` are its keys."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.key = _key()
        self.published = [self.key]
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.signs: RSAKey | OctKey = self.key
        self.metadata: dict[str, Any] = {}
        self.asked: list[str] = []
        self._challenges: dict[str, dict[str, str]] = {}

    def sign_in(self, location: str, **claims: Any) -> str:
        """Be the person at the page to which the console has sent the browser; return the path that leads back."""
        fields = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert location.startswith(f"{self.issuer}/authorize?")
        assert fields["code_challenge_method"] == "S256"
        now = int(time.time())
        self.claims = {
            "iss": self.issuer,
            "aud": fields["client_id"],
            "sub": "4711",
            "exp": now + 300,
            "iat": now,
            "auth_time": now,
            "nonce": fields["nonce"],
        } | claims
        self._challenges["code"] = fields
        back = urlsplit(fields["redirect_uri"])
        return f"{back.path}?{urlencode({'code': 'code', 'state': fields['state']})}"

    def answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        """Return status and body."""
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            addresses = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            return 200, {"issuer": self.issuer} | {
                name: f"{self.issuer}/{end}" for name, end in addresses.items()
            } | self.metadata
        if path == "/keys":
            return 200, {"keys": [key.as_dict(private=False) for key in self.published]}
        return self._token(form, authorization)

    def _token(self, form: dict[str, str], authorization: str) -> tuple[int, Any]:
        began = self._challenges.pop(form["code"], None)
        pair = f"{CLIENT}:{quote(SECRET, safe='')}"
        verifier = hashlib.sha256(form["code_verifier"].encode()).digest()
        is_right = (
            began is not None
            and authorization == f"Basic {base64.b64encode(pair.encode()).decode()}"
            and base64.urlsafe_b64encode(verifier).decode().rstrip("=") == began["code_challenge"]
            and form["redirect_uri"] == began["redirect_uri"]
        )
        if not is_right:
            return 400, {"error": "invalid_grant"}
        header = {"alg": "RS256", "kid": self.signs.kid} | self.header
        claims = {name: value for name, value in self.claims.items() if value is not None}
        token = jwt.encode(header, claims, self.signs, algorithms=[header["alg"]])
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": token}


@contextlib.contextmanager
def oidc_provider() -> Iterator[OidcDouble]:
    """Run a provider."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self._reply({name: values[0] for name, values in parse_qs(body).items()})

        def _reply(self, form: dict[str, str]) -> None:
            status, body = double.answer(self.path, form, self.headers.get("authorization", ""))
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        double = OidcDouble(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield double
        server.shutdown()
        thread.join()
