"""For which user a job of a source is: the rule by what the source has proven (D25).

    device, local            the user of the destination: a person at the device, or of this machine, chose it
    password, certificate    the user of the destination, if the account may use it, else that of the account
    clear                    the same, if the inlet allows it

An account stands for one user, and may use the destinations of that user and those without one. The account of a device
may use all destinations of its inlet. Nothing else that a device sends names a user: no header, no file name.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, Protocol

from postscan.core.errors import OriginRefused
from postscan.core.model.accounts.account import AccountUser
from postscan.core.model.principal import User, is_sid
from postscan.core.model.records import OriginProof
from postscan.core.registry.directory.users import KnownUser, UserLookup
from postscan.core.settings import Settings
from postscan.core.settings.sources import DEVICE_ACCOUNT, DestinationSettings, SourceSettings, lists_device

log = logging.getLogger(__name__)


class AccountUsers(Protocol):
    """The accounts of sources."""

    def user_of(self, account: str, inlet: str) -> AccountUser | None:
        """Return the account of this name, however it is spelled; None if there is none at this inlet."""


class Claim(NamedTuple):
    """Who sends pages, as a source has proven it: a subject, and the account if one has proven itself."""

    proof: OriginProof
    subject: str
    account: str


class JobUser(NamedTuple):
    """The user of a job, and the name of the account that has proven itself; "" if none has."""

    known: KnownUser
    account: str


class JobUsers:
    """Decides for whom the jobs of sources are."""

    def __init__(self, settings: Settings, accounts: AccountUsers, users: UserLookup) -> None:
        self._settings = settings
        self._accounts = accounts
        self._users = users

    def use(self, settings: Settings) -> None:
        """Work with these settings from now on."""
        self._settings = settings
        self._users.use(settings)

    def decide(self, inlet: str, destination: DestinationSettings, claim: Claim) -> JobUser:
        """Return the user of a job; raise `OriginRefused` if the claim is too weak for the destination.

        Raises `Unavailable` if the directory does not answer.
        """
        source = self._settings.sources[inlet]
        if claim.proof.names_account:
            sid, account = self._of_account(inlet, source, destination, claim)
        else:
            sid, account = _of_device(source, destination, claim), ""
        return JobUser(self._known(inlet, sid, needed=claim.proof is OriginProof.CERTIFICATE), account)

    def _of_account(
        self, inlet: str, source: SourceSettings, destination: DestinationSettings, claim: Claim
    ) -> tuple[str, str]:
        if claim.proof is OriginProof.CLEAR and not source.allow_clear:
            raise OriginRefused("a password is accepted over TLS alone")
        own, account = self._own(inlet, claim)
        here = source.accounts.get(account, own)
        if here == DEVICE_ACCOUNT:
            return destination.user or own, account
        if destination.user not in ("", here):
            raise OriginRefused(
                "this account may not use this destination", f"account {account} ({here}), not {destination.user}"
            )
        return here, account

    def _own(self, inlet: str, claim: Claim) -> tuple[str, str]:
        """Return the SID for which the account stands, and its name; a certificate may name the SID itself."""
        if claim.proof is OriginProof.CERTIFICATE and is_sid(claim.account):
            return claim.account, claim.account
        own = self._accounts.user_of(claim.account, inlet)
        if own is None:
            raise OriginRefused("this account is not accepted here", f"account {claim.account!r:.300}")
        return own.sid, own.account

    def _known(self, inlet: str, sid: str, *, needed: bool) -> KnownUser:
        known = self._users.find(f"inlet:{inlet}", sid)
        if known is not None and not known.enabled:
            raise OriginRefused("this account is not accepted here", f"{known.user.name} ({sid}): {known.reason}")
        if known is None and (needed or not self._settings.allow_unknown_users):
            raise OriginRefused("this account is not accepted here", f"{sid} is not a known user")
        return known or KnownUser(User(sid, sid))


def _of_device(source: SourceSettings, destination: DestinationSettings, claim: Claim) -> str:
    if claim.proof is OriginProof.DEVICE and source.devices and not lists_device(source.devices, claim.subject):
        raise OriginRefused("this device is not accepted here", f"device {claim.subject!r:.300}")
    if not destination.user:
        raise OriginRefused("this destination is for senders with an account")
    return destination.user
