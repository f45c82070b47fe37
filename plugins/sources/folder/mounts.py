"""The file system that a folder is on: whether the kernel tells of changes there, and what names a file for ever.

Source: proc_pid_mountinfo(5), inotify(7): "inotify reports only events that a user-space program triggers through the
filesystem API", that is, none of other machines.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")

_OF_OTHERS: Final = frozenset((
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "drvfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "ocfs2", "prl_fs", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
))  # fmt: skip
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def file_system(path: Path, mounts: Path = MOUNTS) -> str:
    """Return the type of the file system at *path*, as mount(8) spells it; "" if that cannot be said."""
    try:
        text = mounts.read_text("utf-8", "surrogateescape")
        path = path.resolve()
    except OSError:
        return ""
    found, depth = "", -1
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        at = Path(_OCTAL.sub(lambda octal: chr(int(octal[1], 8)), fields[4]))
        if path.is_relative_to(at) and len(at.parts) >= depth:  # of two mounts at one place the later one is seen
            found, depth = after.split(" ")[0], len(at.parts)
    return found


def is_shared(kind: str) -> bool:
    """Return whether other machines, or a program, may change the files of this type of file system.

    Then inotify does not tell of every change, the numbers of files need not last, and a lease says nothing.
    """
    return kind in _OF_OTHERS or kind.startswith("fuse")
