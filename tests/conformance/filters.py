"""Instructions for the three filters that every scan server has, as a scanner sends them."""

from __future__ import annotations

from xml.sax.saxutils import escape

from messages import FILTER

FILESHARE, EMAIL, SHAREPOINT = (FILTER + name for name in ("fileshare", "email", "sharepoint"))


def asking(*filters: str, root: str = "Invoice", go_on: str = "") -> str:
    """Return the content of PostScanInstructions."""
    proceed = f"<psp:ContinueOnError>{go_on}</psp:ContinueOnError>" if go_on else ""
    name = f"<psp:DocumentRootName>{escape(root)}</psp:DocumentRootName>"
    return f"{proceed}{name}<psp:FiltersToProcess>{''.join(filters)}</psp:FiltersToProcess>"


def fileshare(*shares: str) -> str:
    """Return the filter that saves to these shares."""
    listed = _list("f:FileShares", "f:ShareUNC", shares)
    return custom(FILESHARE, f'<f:FileShareConfig xmlns:f="{FILESHARE}">{listed}</f:FileShareConfig>')


def email(*addresses: str, to_user: str = "", can_add: str = "") -> str:
    """Return the filter that mails to these addresses; *to_user* and *can_add* are booleans, or left out."""
    switch = f"<e:SendToScanUser>{to_user}</e:SendToScanUser>" if to_user else ""
    listed = _list("e:SendToAddresses", "e:EmailAddress", addresses)
    if can_add:
        listed = listed.replace("<e:SendToAddresses>", f'<e:SendToAddresses e:CanAddAddresses="{can_add}">')
    return custom(EMAIL, f'<e:EmailConfig xmlns:e="{EMAIL}">{switch}{listed}</e:EmailConfig>')


def sharepoint(*urls: str, my_site: str = "") -> str:
    """Return the filter that saves to these libraries; *my_site* is a boolean, or left out."""
    switch = f"<s:SaveToMySite>{my_site}</s:SaveToMySite>" if my_site else ""
    listed = _list("s:SaveToSharePointSites", "s:SaveToSharePointSiteURL", urls)
    return custom(SHAREPOINT, f'<s:SharePointConfig xmlns:s="{SHAREPOINT}">{switch}{listed}</s:SharePointConfig>')


def custom(dialect: str, config: str) -> str:
    """Return any filter."""
    return f"<psp:Filter><psp:Dialect>{dialect}</psp:Dialect><psp:Instructions>{config}</psp:Instructions></psp:Filter>"


def _list(group: str, item: str, values: tuple[str, ...]) -> str:
    inside = "".join(f"<{item}>{escape(value)}</{item}>" for value in values)
    return f"<{group}>{inside}</{group}>" if values else ""
