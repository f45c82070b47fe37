"""The tables of people at the console, and of programs at its API. `postscan.migrations` creates the same ones.

A secret is stored as its SHA-256 in hex alone, so who reads the database cannot use it.
"""

from __future__ import annotations

import sqlalchemy as sa

from postscan.core.store.schema import METADATA, UtcDateTime

SESSION = sa.Table(
    "console_session",
    METADATA,
    sa.Column("secret_hash", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(512), nullable=False),
    sa.Column("proof", sa.String(16), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("user_sid", sa.String(255), nullable=False),
    sa.Column("way", sa.String(16), nullable=False),
    sa.Column("stamp", sa.String(64), nullable=False),
    sa.Column("begun", UtcDateTime, nullable=False),
    sa.Column("seen", UtcDateTime, nullable=False),
    sa.Column("confirmed", UtcDateTime, nullable=False),
)
"""Sessions of the console. `stamp` is that of the account, "" if the person came another way; `confirmed` is when it
has last proven who it is, `seen` when it was last active, which is written once a minute at most."""

LINK = sa.Table(
    "login_link",
    METADATA,
    sa.Column("secret_hash", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(512), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("user_sid", sa.String(255), nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
    sa.Column("used", UtcDateTime),
)
"""One-time links, with the principal that a session of it is for; `used` is null until then."""

TOKEN = sa.Table(
    "api_token",
    METADATA,
    sa.Column("label", sa.String(64), primary_key=True),
    sa.Column("secret_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("user_sid", sa.String(255), nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("created_by", sa.String(512), nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
)
"""Tokens of the API."""
