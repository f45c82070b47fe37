"""Tokens for Microsoft Graph: from Entra ID, for a server that shows a certificate.

`msal` speaks the protocol; the calls themselves go over our own line. So they reach the configured host only, a cancel
ends them, and no variable of the environment changes whom they believe.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from postscan.plugins import FilterFailed, FilterReason
from postscan.plugins.http_client import HttpResponse, HttpSession

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

LACKING: Final = "SharePoint Online needs msal, which is not installed; pip install 'postscan[sharepoint]'"
_NUMBER: Final = re.compile(r"\bAADSTS\d{1,10}\b")
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Entra:
    """The identity of this server in one tenant.

    `authority` is the address of Entra ID. Raises `FilterFailed` if msal is missing, or if the files cannot be used.
    """

    def __init__(
        self, line: HttpSession, authority: str, tenant: str, client_id: str, certificate: Path, key: Path
    ) -> None:
        if importlib.util.find_spec("msal") is None:
            raise FilterFailed(detail=LACKING)
        self._line = line
        self._authority = f"{authority.rstrip('/')}/{tenant}"
        self._client_id = client_id
        self._credential = _credential(certificate, key)
        self._application: Any = None

    def token(self, scope: str) -> str:
        """Return a token that is good for some minutes at least; raise `FilterFailed` if there is none for us."""
        from msal.exceptions import MsalError  # type: ignore[import-untyped]  # it ships no types

        try:
            found = self._line.patiently(lambda: self._acquire(scope))
        except (MsalError, RuntimeError, ValueError, KeyError):  # what they say may hold the whole answer
            raise FilterFailed(
                FilterReason.SHAREPOINT_ACCESS_DENIED,
                f"no token: {self._authority} does not answer as Entra ID does; expected the tenant's name or GUID",
            ) from None
        if "access_token" in found:
            return str(found["access_token"])
        error = word(found.get("error")) or "no reason"
        number = _NUMBER.search(str(found.get("error_description", "")))
        why = f"{error}, {number[0]}" if number else error
        raise FilterFailed(
            FilterReason.SHAREPOINT_ACCESS_DENIED,
            f"no token for the application {self._client_id} from {self._authority}: {why}",
        )

    def _acquire(self, scope: str) -> Mapping[str, Any]:
        import msal  # type: ignore[import-untyped]  # it ships no types

        if self._application is None:
            self._application = msal.ConfidentialClientApplication(
                self._client_id,
                authority=self._authority,
                client_credential=self._credential,
                instance_discovery=False,  # the settings name the authority; nobody else is asked about it
                http_client=_Calls(self._line),
            )
        found = self._application.acquire_token_for_client([scope])
        return found if isinstance(found, Mapping) else {}


class _Calls:
    """The line as msal wants it."""

    def __init__(self, line: HttpSession) -> None:
        self._line = line

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> _Heard:
        return _Heard(self._line.call("GET", _with(url, params), headers))

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | str | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> _Heard:
        form = data if isinstance(data, str) else urlencode(data or {})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return _Heard(self._line.call("POST", _with(url, params), {**kind, **(headers or {})}, form.encode()))

    def close(self) -> None:
        """The line is closed by whoever opened it."""


class _Heard:
    """An answer as msal wants it."""

    def __init__(self, answer: HttpResponse) -> None:
        self.status_code = answer.status
        self.headers = dict(answer.headers)
        self.text = answer.body.decode("utf-8", "replace")

    def raise_for_status(self) -> None:
        """msal calls this for what it cannot read."""
        if self.status_code >= 400:
            raise ValueError(self.status_code)


def word(found: object) -> str:
    """Return a name of an error if it is one; empty for anything that may hold more than a name."""
    return found if isinstance(found, str) and _WORD.fullmatch(found) else ""


def _with(url: str, params: Mapping[str, str] | None) -> str:
    return f"{url}?{urlencode(params)}" if params else url


def _credential(certificate: Path, key: Path) -> dict[str, Any]:
    """Return what msal signs with; it makes the certificate's thumbprint itself."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    shown, secret = _certificate(certificate), _key(key)
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if shown.public_key().public_bytes(*spki) != secret.public_key().public_bytes(*spki):
        raise FilterFailed(detail=f"key_file {key} does not belong to certificate_file {certificate}")
    return {"private_key": secret, "public_certificate": shown.public_bytes(Encoding.PEM).decode()}


def _certificate(path: Path) -> Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise FilterFailed(detail=f"certificate_file {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise FilterFailed(detail=f"certificate_file {path} holds no certificate in PEM form") from None


def _key(path: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise FilterFailed(detail=f"key_file {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise FilterFailed(detail=f"key_file {path} holds no private key in PEM form without a passphrase") from None
    if not isinstance(found, RSAPrivateKey):
        raise FilterFailed(detail=f"key_file {path} holds no RSA key; Entra ID takes no other")
    return found
