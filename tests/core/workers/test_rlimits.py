"""What the kernel lets a run use. Each limit binds a process of its own, since no process can take it off again."""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys

from postscan.core.settings.engine import MIB, FilterSettings
from postscan.core.workers.rlimits import Resources

SHOW = """
import json, resource, sys
from postscan.core.workers.rlimits import Resources
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
Resources(**json.loads(sys.argv[1])).enforce()
names = ("AS", "CPU", "FSIZE", "NOFILE", "CORE", "NPROC")
print(json.dumps({name: resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in names}))
"""


def bound(resources: Resources) -> dict[str, list[int]]:
    """Return the soft and hard limits of a process that is bound."""
    command = [sys.executable, "-c", SHOW, json.dumps(dataclasses.asdict(resources))]
    limits: dict[str, list[int]] = json.loads(subprocess.check_output(command))
    return limits


def test_a_bound_process_has_these_limits_and_no_core_dump() -> None:
    """T-P4: memory (with a spare to say that it ran out), processor time, size of a file."""
    limits = bound(Resources(memory=512 * MIB, processor=2.5, file=MIB))

    assert limits["AS"] == [512 * MIB, 576 * MIB]
    assert limits["CPU"] == [3, 5]
    assert limits["FSIZE"] == [MIB, MIB]
    assert limits["CORE"] == [0, 0]


def test_a_limit_that_is_lower_already_stays() -> None:
    """An administrator may have set it for the whole server."""
    assert bound(Resources(open_files=512))["NOFILE"] == [100, 100]


def test_the_number_of_processes_is_left_alone() -> None:
    """The kernel counts it per user, so a limit would hit the neighbours."""
    assert tuple(bound(Resources())["NPROC"]) == resource.getrlimit(resource.RLIMIT_NPROC)


def test_processor_time_is_limited_like_time_unless_said_otherwise() -> None:
    """`processor_seconds` has the default of `seconds`."""
    assert Resources.of(FilterSettings(seconds=17)).processor == 17
    assert Resources.of(FilterSettings(seconds=17, processor_seconds=5)).processor == 5
