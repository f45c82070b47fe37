"""The users, groups and scan processes of the directories that tests start."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable

import openldap
from domain_controller import BASE, entry, group, user
from openldap import GROUPS, PEOPLE

XML = """<?xml version="1.0" encoding="UTF-16"?>
<psp:PostScanProcess xmlns:psp="http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp"
    xmlns:wscn="http://schemas.microsoft.com/windows/2006/08/wdp/scan">
  <psp:ScanRepository>scan01.fabrikam.example</psp:ScanRepository>
  <psp:ScanTicket><wscn:JobDescription><wscn:JobName>Invoice</wscn:JobName>
    <wscn:JobOriginatingUserName>FABRIKAM\\scanadmin</wscn:JobOriginatingUserName></wscn:JobDescription></psp:ScanTicket>
  <psp:PostScanInstructions>
    <psp:DocumentRootName>Rechnung für Amélie</psp:DocumentRootName>
    <psp:FiltersToProcess><psp:Filter>
      <psp:Dialect>http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/fileshare</psp:Dialect>
      <psp:Instructions><fsf:FileShareConfig
        xmlns:fsf="http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/fileshare"><fsf:FileShares>
        <fsf:ShareUNC>\\\\files02.fabrikam.example\\scans</fsf:ShareUNC></fsf:FileShares></fsf:FileShareConfig>
      </psp:Instructions></psp:Filter></psp:FiltersToProcess>
  </psp:PostScanInstructions>
</psp:PostScanProcess>"""
"""A scan process whose declaration names an encoding that the text in a directory no longer has."""

INVOICE = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
BIG_ENDIAN = "0D5F2A10-0000-4000-8000-00000000B16E"
AS_TEXT = "1E6A3B21-0000-4000-8000-0000000000AB"
STAFF_ONLY = "2F7B4C32-0000-4000-8000-00000000000C"
DENIED = "308C5D43-0000-4000-8000-00000000000D"
DEEPER = "419D6E54-0000-4000-8000-00000000000E"
NOWHERE = "52AE7F65-0000-4000-8000-00000000000F"

AMELIE_SID = "S-1-5-21-1-2-3-1104"
GONE_SID = "S-1-5-21-1-2-3-1105"
BOB_SID = "S-1-5-21-1-2-3-1106"
CLERKS_SID = "S-1-5-21-1-2-3-1200"
HOME = r"\\files02.fabrikam.example\home\amelie"

PSPS = f"CN=PSPs,CN=System,{BASE}"
OTHER = f"CN=other,CN=System,{BASE}"

AD_USERS = "".join(
    [
        user("postscan"),
        user("amelie", mail="amelie@fabrikam.example", displayName="Amélie Dupont", homeDirectory=HOME),
        user("bob", proxyAddresses=["smtp:robert@fabrikam.example", "SMTP:bob@fabrikam.example", "x400:c=us"]),
        user("gone", userAccountControl="514"),
        user("former", accountExpires="132223104000000000"),  # in 2020
        user("star", sAMAccountName="st&r(1)", userPrincipalName="st*r(1)@fabrikam.example"),
        group("clerks", "amelie"),
        group("staff", "clerks"),
    ]
)


def _process(name: str, identifier: bytes, parent: str = PSPS, **more: str) -> str:
    values = {
        "objectClass": "msImaging-PostScanProcess",
        "displayName": name,
        "msImaging-PSPIdentifier": identifier,
        "msImaging-PSPString": XML,
    }
    return entry(f"CN={name[:60]},{parent}", {**values, **more})


AD_PROCESSES = "".join(
    [
        _process("Invoice", uuid.UUID(INVOICE).bytes_le),
        _process("B" * 256, uuid.UUID(BIG_ENDIAN).bytes),
        _process("As text", AS_TEXT.lower().encode()),
        _process("Staff only", uuid.UUID(STAFF_ONLY).bytes_le),
        _process("Denied", uuid.UUID(DENIED).bytes_le),
        entry(f"CN=deeper,{PSPS}", {"objectClass": "msImaging-PSPs"}),
        _process("Deeper", uuid.UUID(DEEPER).bytes_le, f"CN=deeper,{PSPS}"),
        entry(OTHER, {"objectClass": "msImaging-PSPs"}),
        _process("Elsewhere", uuid.UUID(NOWHERE).bytes_le, OTHER),
    ]
)


def ad_rights(sid: Callable[[str], str]) -> str:
    """Return, as LDIF, the rights of two of the processes: one is for a group, one is denied to a group."""
    service, administrators = f"(A;;RPLCLORC;;;{sid('postscan')})", "O:DAG:DAD:PAI(A;;RPWPCRCCDCLCLORCWOWDSDDTSW;;;DA)"
    rights = {
        "Staff only": f"{administrators}{service}(A;;RPLCLORC;;;{sid('staff')})",
        "Denied": f"{administrators}(D;;RP;;;{sid('staff')})(A;;RPLCLORC;;;AU)",
    }
    return "".join(
        f"dn: CN={name},{PSPS}\nchangetype: modify\nreplace: nTSecurityDescriptor\nnTSecurityDescriptor: {sddl}\n\n"
        for name, sddl in rights.items()
    )


def ldap_process(name: str, identifier: str, *more: str) -> str:
    """Return a scan process of OpenLDAP as LDIF; *more* are further lines."""
    lines = [
        f"dn: cn={name},{openldap.PROCESSES}",
        "objectClass: postscanProcess",
        f"cn: {name}",
        f"displayName: {name}",
        f"postscanIdentifier: {identifier.lower()}",
        f"postscanXml:: {base64.b64encode(XML.encode()).decode()}",
        *more,
    ]
    return "\n".join(lines) + "\n\n"


LDAP_ENTRIES = "".join(
    [
        openldap.user("amelie", AMELIE_SID, "displayName: Amelie", "mail: amelie@fabrikam.example"),
        openldap.user("bob", BOB_SID),
        openldap.user("gone", GONE_SID, "postscanDisabled: TRUE"),
        openldap.group(
            "clerks", [f"uid=amelie,{PEOPLE}"], "objectClass: postscanAccount", f"postscanSid: {CLERKS_SID}"
        ),
        openldap.group("staff", [f"cn=clerks,{GROUPS}", f"cn=everybody,{GROUPS}"]),
        openldap.group("everybody", [f"cn=staff,{GROUPS}"]),  # a circle
        ldap_process("Invoice", INVOICE, "postscanAllowedSid: S-1-5-11"),
        ldap_process("Staff only", STAFF_ONLY, f"postscanAllowed: cn=Staff, {GROUPS}"),
        ldap_process("By SID", AS_TEXT, f"postscanAllowedSid: {CLERKS_SID}"),
        ldap_process("Nobody", DENIED),
    ]
)
