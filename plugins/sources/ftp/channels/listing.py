"""What a session sees as a file system: the destinations, the folders that it made, and files that wait for a rename.

Nothing of it is on a disk by these names. pyftpdlib makes its listings of what is returned here.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import time
import zlib
from typing import Any, Final

from postscan.plugins.sources.ftp.channels.library import AbstractedFS
from postscan.plugins.sources.uploads.folders import ROOT, FolderPath, Folders

MOST_MADE: Final = 64
"""Folders of one session."""


class SessionFolders(AbstractedFS):
    """The file system of one session, as pyftpdlib asks for it; every path is absolute."""

    def __init__(self, root: str, session: Any) -> None:
        super().__init__(ROOT, session)
        self._session = session
        self._folders: Folders = session.service.folders
        self._made: list[tuple[str, str]] = []

    # --- paths

    def ftp2fs(self, ftppath: str) -> str:
        """Return an absolute path for one of the client."""
        return str(self.ftpnorm(ftppath))

    def fs2ftp(self, fspath: str) -> str:
        """Return the same path: there is no other."""
        return fspath

    def validpath(self, path: str) -> bool:
        """Return that a path leads nowhere else: there are no links."""
        return True

    def realpath(self, path: str) -> str:
        """Return the same path."""
        return path

    # --- what there is

    def isdir(self, path: str) -> bool:
        """Return whether the client may change into *path*."""
        if path == ROOT:
            return True
        place = self._folders.find(path)
        if place is None or self.isfile(path):
            return False
        return (not place.path) or (place.destination.id, place.path) in self._made

    def isfile(self, path: str) -> bool:
        """Return whether the size of this file is known."""
        return self._known(path) is not None

    def islink(self, path: str) -> bool:
        """Return that there are no links."""
        return False

    def lexists(self, path: str) -> bool:
        """Return whether there is something at *path*."""
        return self.isdir(path) or self.isfile(path)

    def listdir(self, path: str) -> list[str]:
        """Return the names in a folder; files that are jobs have left it."""
        if path == ROOT:
            return self._folders.names
        place = self._place(path)
        held = self._session.service.files.held_in(self._session.who, place.destination.id)
        files = [posixpath.basename(one.place.path) for one in held if posixpath.dirname(one.place.path) == place.path]
        made = [
            posixpath.basename(one)
            for id, one in self._made
            if id == place.destination.id and posixpath.dirname(one) == place.path
        ]
        return made + files

    def stat(self, path: str) -> os.stat_result:
        """Return what listings show of *path*; raise `FileNotFoundError`."""
        if self.isdir(path):
            return _shown(stat.S_IFDIR | 0o755, path, 0, time.time())
        known = self._known(path)
        if known is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return _shown(stat.S_IFREG | 0o600, path, known.size, known.at)

    lstat = stat

    def getsize(self, path: str) -> int:
        """Return the size of a file in bytes."""
        return self.stat(path).st_size

    def getmtime(self, path: str) -> float:
        """Return when a file came."""
        return self.stat(path).st_mtime

    def get_user_by_uid(self, uid: int) -> str:
        """Return the owner that listings show."""
        return "postscan"

    def get_group_by_gid(self, gid: int) -> str:
        """Return the group that listings show."""
        return "postscan"

    # --- changes

    def chdir(self, path: str) -> None:
        """Change the folder of the session."""
        if not self.isdir(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self.cwd = path

    def mkdir(self, path: str) -> None:
        """Make a folder below a destination, for this session; the oldest of more than `MOST_MADE` is gone."""
        place = self._place(path)
        if self.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._made.append((place.destination.id, place.path))
        del self._made[:-MOST_MADE]

    def rmdir(self, path: str) -> None:
        """Remove a folder that the session has made."""
        place = self._place(path)
        if (place.destination.id, place.path) not in self._made:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        self._made.remove((place.destination.id, place.path))

    def _place(self, path: str) -> FolderPath:
        place = self._folders.find(path)
        if place is None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return place

    def _known(self, path: str) -> Any:
        place = self._folders.find(path)
        if place is None or not place.path:
            return None
        return self._session.service.files.find(self._session.who, place)


def _shown(mode: int, path: str, size: int, at: float) -> os.stat_result:
    number = zlib.crc32(path.encode("utf-8", "surrogateescape"))  # clients compare it, to find two names of one file
    return os.stat_result((mode, number, 1, 1, 0, 0, size, int(at), int(at), int(at)))
