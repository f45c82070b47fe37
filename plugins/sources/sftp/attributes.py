"""What a session shows of folders and files. Nothing of it is on a disk by these names."""

from __future__ import annotations

import stat
import time

import asyncssh

from postscan.plugins.sources.uploads.names import ENCODING, ERRORS


def of_folder() -> asyncssh.SFTPAttrs:
    """Return the attributes of a folder."""
    return asyncssh.SFTPAttrs(permissions=stat.S_IFDIR | 0o755, uid=0, gid=0, size=0, atime=0, mtime=0)


def of_file(size: int, at: float) -> asyncssh.SFTPAttrs:
    """Return the attributes of a file of *size* bytes that came at this time of the clock."""
    return asyncssh.SFTPAttrs(permissions=stat.S_IFREG | 0o600, uid=0, gid=0, size=size, atime=int(at), mtime=int(at))


def entry(name: str, attrs: asyncssh.SFTPAttrs) -> asyncssh.SFTPName:
    """Return an entry of a listing, with the line that clients show for it."""
    filename = name.encode(ENCODING, ERRORS)
    when = time.strftime("%b %e %H:%M", time.gmtime(attrs.mtime or 0))
    line = f"{stat.filemode(attrs.permissions or 0)} 1 0 0 {attrs.size or 0:>12} {when} ".encode() + filename
    return asyncssh.SFTPName(filename, line, attrs)
