"""Access tokens for Microsoft Graph from Entra ID, for an application with a certificate.

`msal` implements the protocol; its requests go through our `HttpSession`. So they reach the configured host only, a
cancel ends them, and the environment does not change which certificates they accept.
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

NOT_INSTALLED: Final = "SharePoint Online needs msal, which is not installed; pip install 'postscan[sharepoint]'"
_NUMBER: Final = re.compile(r"\bAADSTS\d{1,10}\b")
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Entra:
    """The application of this server in one tenant.

    `authority` is the URL of Entra ID. Raises `FilterFailed` if msal is missing, or if the files cannot be used.
    """

    def __init__(
        self, session: HttpSession, authority: str, tenant: str, client_id: str, certificate: Path, key: Path
    ) -> None:
        if importlib.util.find_spec("msal") is None:
            raise FilterFailed(detail=NOT_INSTALLED)
        self._session = session
        self._authority = f"{authority.rstrip('/')}/{tenant}"
        self._client_id = client_id
        self._credential = _credential(certificate, key)
        self._application: Any = None

    def token(self, scope: str) -> str:
        """Return an access token that is valid for some minutes at least; raise `FilterFailed` if it is refused."""
        from msal.exceptions import MsalError  # type: ignore[import-untyped]  # it ships no types

        try:
            found = self._session.with_retries(lambda: self._acquire(scope))
        except (MsalError, RuntimeError, ValueError, KeyError):  # their texts may contain the whole response
            raise FilterFailed(
                FilterReason.SHAREPOINT_ACCESS_DENIED,
                f"no token: {self._authority} does not answer like Entra ID; expected the tenant's name or GUID",
            ) from None
        if "access_token" in found:
            return str(found["access_token"])
        error = error_name(found.get("error")) or "no reason"
        number = _NUMBER.search(str(found.get("error_description", "")))
        reason = f"{error}, {number[0]}" if number else error
        raise FilterFailed(
            FilterReason.SHAREPOINT_ACCESS_DENIED,
            f"no token for the application {self._client_id} from {self._authority}: {reason}",
        )

    def _acquire(self, scope: str) -> Mapping[str, Any]:
        import msal  # type: ignore[import-untyped]  # it ships no types

        if self._application is None:
            self._application = msal.ConfidentialClientApplication(
                self._client_id,
                authority=self._authority,
                client_credential=self._credential,
                instance_discovery=False,  # the settings name the authority; no other host is asked about it
                http_client=_MsalHttpClient(self._session),
            )
        found = self._application.acquire_token_for_client([scope])
        return found if isinstance(found, Mapping) else {}


class _MsalHttpClient:
    """An `HttpSession` with the interface that msal expects."""

    def __init__(self, session: HttpSession) -> None:
        self._session = session

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> _MsalResponse:
        return _MsalResponse(self._session.call("GET", _with(url, params), headers))

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | str | None = None,
        headers: Mapping[str, str] | None = None,
        **_: Any,
    ) -> _MsalResponse:
        form = data if isinstance(data, str) else urlencode(data or {})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return _MsalResponse(self._session.call("POST", _with(url, params), {**kind, **(headers or {})}, form.encode()))

    def close(self) -> None:
        """Do nothing: the caller of the filter closes the session."""


class _MsalResponse:
    """A response with the interface that msal expects."""

    def __init__(self, response: HttpResponse) -> None:
        self.status_code = response.status
        self.headers = dict(response.headers)
        self.text = response.body.decode("utf-8", "replace")

    def raise_for_status(self) -> None:
        """Raise `ValueError` for a status of an error; msal calls this for a body that it cannot parse."""
        if self.status_code >= 400:
            raise ValueError(self.status_code)


def error_name(found: object) -> str:
    """Return *found* if it is the name of an error; empty for anything that may contain more."""
    return found if isinstance(found, str) and _WORD.fullmatch(found) else ""


def _with(url: str, params: Mapping[str, str] | None) -> str:
    return f"{url}?{urlencode(params)}" if params else url


def _credential(certificate: Path, key: Path) -> dict[str, Any]:
    """Return the credential for msal, which computes the thumbprint of the certificate itself."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public, secret = _certificate(certificate), _key(key)
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public.public_key().public_bytes(*spki) != secret.public_key().public_bytes(*spki):
        raise FilterFailed(detail=f"key_file {key} does not belong to certificate_file {certificate}")
    return {"private_key": secret, "public_certificate": public.public_bytes(Encoding.PEM).decode()}


def _certificate(path: Path) -> Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise FilterFailed(detail=f"certificate_file {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise FilterFailed(detail=f"certificate_file {path} contains no certificate in PEM form") from None


def _key(path: Path) -> Any:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise FilterFailed(detail=f"key_file {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise FilterFailed(detail=f"key_file {path} contains no private key in PEM form without a passphrase") from None
    if not isinstance(found, RSAPrivateKey):
        raise FilterFailed(detail=f"key_file {path} contains no RSA key; Entra ID accepts no other")
    return found
