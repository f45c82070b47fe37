"""Three users, their certificates, and who a request with one of these comes from."""

from __future__ import annotations

from typing import Any

from certificates import Authority, Credentials
from cryptography.hazmat.primitives.hashes import SHA256

from postscan.core.model.principal import Principal, Proof
from postscan.core.settings import Settings
from postscan.soap.http.identity import Identities

ANNA = "S-1-5-21-1004336348-1177238915-682003330-1001"
BORIS = "S-1-5-21-1004336348-1177238915-682003330-1002"
CLARA = "S-1-5-21-1004336348-1177238915-682003330-1003"
UPN_OF_ANNA = "anna.lopez@fabrikam.example"
ROOT, OTHER = Authority(), Authority()
LISTED = ROOT.issue("anna")
SERIAL = f"{LISTED.certificate.serial_number:X}"
SERIAL = SERIAL.zfill(len(SERIAL) + len(SERIAL) % 2)
FINGERPRINT = LISTED.certificate.fingerprint(SHA256()).hex()
ADDRESS = Principal("device:192.0.2.7", Proof.ADDRESS)
USERS = {
    ANNA: {"name": "anna@fabrikam.example", "upn": UPN_OF_ANNA},
    BORIS: {"name": "boris@fabrikam.example", "upn": "boris@fabrikam.example"},
    CLARA: {"name": "clara@fabrikam.example"},
}


def settings(**more: Any) -> Settings:
    """Return settings that know three users, one of them without a UPN."""
    return Settings.model_validate({"users": USERS, **more})


def scope(shown: Credentials | None) -> dict[str, Any]:
    """Return the ASGI scope of a request by a device that shows this certificate, or none."""
    chain = (shown.pem,) if shown else ()
    return {"client": ("192.0.2.7", 40000), "extensions": {"tls": {"client_cert_chain": chain}}}


def caller(shown: Credentials | None, **more: Any) -> Principal:
    """Return who that is."""
    return Identities(settings(**more)).caller(scope(shown))
