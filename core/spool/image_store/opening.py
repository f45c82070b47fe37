"""Which store of images the settings name."""

from __future__ import annotations

import secrets

from postscan.core.settings import Settings
from postscan.core.spool.image_store.folder_spool import FolderSpool
from postscan.core.spool.image_store.spool_store import SpoolStore


def open_spool(settings: Settings, member: str = "") -> SpoolStore:
    """Return the store of the images; *member* is the identifier of this process among those that share it.

    Opening an object store sends nothing. Raises `NotInstalled`, `SettingsError`.
    """
    where = settings.spool
    if where.is_object_store:
        from postscan.core.spool.image_store.object_store.bucket import Bucket
        from postscan.core.spool.image_store.object_store.object_spool import ObjectSpool

        return ObjectSpool(Bucket(where), settings.storage.spool_dir, settings.storage.run_dir)
    return FolderSpool(settings.arrival_dir, (member or secrets.token_hex(8)) if settings.shares_spool else "")
