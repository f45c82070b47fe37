"""The application of SharePoint Online at Entra ID: its tenant, its certificate and its key."""

from __future__ import annotations

import sys

import graph
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from graph_runs import LIBRARY, SITE, run, settings

from postscan.plugins.filters.sharepoint import Settings, SharePoint


def test_an_application_that_entra_does_not_know_is_denied_access(online, papers, pages, tmp_path):
    """With what Entra ID calls it, and its number."""
    other, _ = graph.application(tmp_path)
    table = settings(online, papers, certificate_file=str(other), key_file=str(other))
    result = run(online, papers, pages, table=table)

    assert result.reasons == ("SharePointAccessDenied",)
    assert result.detail == (
        f"{LIBRARY}: no token for the application {graph.CLIENT} from {online.url}/{graph.TENANT}: "
        "invalid_client, AADSTS700027"
    )


def test_a_tenant_that_is_not_there_is_denied_access(online, papers, pages):
    """The sentence says what was expected."""
    result = run(online, papers, pages, table=settings(online, papers, tenant="contoso.example"))

    assert result.reasons == ("SharePointAccessDenied",)
    assert "does not answer like Entra ID; expected the tenant's name or GUID" in result.detail


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tenant": ""}, "tenant is missing"),
        ({"key_file": ""}, "key_file is missing"),
        ({"authority": "http://login.example"}, "is not an https address"),
        ({"graph": "graph.example"}, "not the address of a library"),
        ({"secret": "x"}, "there is no setting 'secret'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_at_load(online, papers, change, sentence):
    """The sentence names the entry and the key."""
    with pytest.raises(ValueError, match=sentence) as refused:
        Settings(**settings(online, papers, **change))

    assert f"filters.sharepoint.sites.{SITE!r}" in str(refused.value)


def test_a_key_that_cannot_be_used_is_named(online, papers, pages, tmp_path):
    """Entra ID takes RSA keys only; each mistake has its own sentence, and nobody is asked."""
    other, _ = graph.application(tmp_path)
    elliptic, junk = tmp_path / "elliptic.pem", tmp_path / "junk.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    elliptic.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    junk.write_text("junk")
    for change, sentence in (
        ({"key_file": str(elliptic)}, "contains no RSA key"),
        ({"key_file": str(other)}, "does not belong to certificate_file"),
        ({"key_file": str(junk)}, "contains no private key"),
        ({"key_file": str(tmp_path / "none")}, "cannot be read: No such file"),
        ({"certificate_file": str(junk)}, "contains no certificate"),
        ({"certificate_file": str(tmp_path / "none")}, "cannot be read: No such file"),
        ({"ca_file": str(tmp_path / "none")}, "cannot be used: No such file"),
    ):
        result = run(online, papers, pages, table=settings(online, papers, **change))

        assert sentence in result.detail
    assert online.requests == []


def test_without_msal_only_sharepoint_online_fails(online, papers, pages, monkeypatch):
    """The filter is installed by default, and may be used for libraries on premises without the extra."""
    monkeypatch.setitem(sys.modules, "msal", None)
    result = run(online, papers, pages)

    assert list(SharePoint().requires()) == []
    assert result.reasons == ("UnknownError",)
    assert result.detail == (
        f"{LIBRARY}: SharePoint Online needs msal, which is not installed; pip install 'postscan[sharepoint]'"
    )
