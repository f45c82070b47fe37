"""A domain controller and an OpenLDAP with users and scan processes, and the plugin as the server would call it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import domain_controller
import openldap
import pytest
from destinations import open_folder
from directory_entries import AD_PROCESSES, AD_USERS, LDAP_ENTRIES, ad_rights
from domain_controller import DomainController

from postscan.plugins import HooksContext
from postscan.plugins.directory import LdapDirectory
from postscan.plugins.directory.settings import Settings

SECONDS = 30.0  # for an answer; a deadline only ends a test that has failed

Make = Callable[..., LdapDirectory]


@pytest.fixture(scope="session")
def controller() -> Iterator[DomainController]:
    """A domain controller with users, nested groups, and scan processes."""
    with open_folder() as home, domain_controller.domain_controller(home, AD_USERS + AD_PROCESSES) as server:
        server.modify(ad_rights(server.sid))
        yield server


@pytest.fixture(scope="session")
def slapd() -> Iterator[openldap.OpenLdap]:
    """An OpenLDAP with the same in our schema."""
    with open_folder() as home, openldap.openldap(home, LDAP_ENTRIES) as server:
        yield server


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Callable[..., LdapDirectory]]:
    """What makes the plugin with these settings; all are closed behind the test."""
    made: list[LdapDirectory] = []

    def make(seconds: float = SECONDS, **table: Any) -> LdapDirectory:
        folder = tmp_path / uuid.uuid4().hex
        made.append(LdapDirectory(HooksContext("directory", Settings(**table), seconds, folder)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def active_directory(controller: DomainController, plugin: Make) -> Make:
    """What makes the plugin for the domain controller, with the log-in of a plain user."""

    def make(**more: Any) -> LdapDirectory:
        user, password = f"postscan@{domain_controller.DOMAIN}", domain_controller.PASSWORD
        table = {"servers": (controller.address,), "ca_file": str(controller.ca), "user": user, "password": password}
        return plugin(**{**table, **more})

    return make


@pytest.fixture
def open_ldap(slapd: openldap.OpenLdap, plugin: Make) -> Make:
    """What makes the plugin for OpenLDAP."""
    return lambda **more: plugin(**{**openldap.table(slapd), **more})
