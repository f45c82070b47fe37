"""Ask a large OpenLDAP who users are and what they may use, while it hangs and is killed.

    python -m campaigns directory [--users 50000] [--groups 5000] [--count 2000] [--seed N]

A real slapd has users, groups in chains of five, and scan processes, each for one group. Four threads ask the plugin
`directory`, as the server does: for users, for a process, for the list of processes. The promises:

* each answer is the one that the entries give, groups of groups included;
* while slapd is stopped (SIGSTOP) or killed, and started again, an answer is right or there is none (`DirectoryAway`):
  never is a user or a process unknown, or a process refused, because of it;
* no question takes longer than its time, and half a second for a busy machine.

The server's own part (cache, faults on the wire, cancels meanwhile) is not in this campaign.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import tempfile
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import openldap

from postscan.plugins import AccessRefused, DirectoryAway, DirectoryUser, HooksContext
from postscan.plugins.directory import LdapDirectory
from postscan.plugins.directory.settings import Settings

THREADS: Final = 4
CHAIN: Final = 5  # groups, each in the next
MEMBERS: Final = 20  # users of a group
PROCESSES: Final = 200
SECONDS: Final = 20.0  # for a question while all is well
SHORT: Final = 1.0  # for a question during faults
LATE: Final = 0.5
QUESTIONS: Final = ("user", "process", "processes")


@dataclass
class Tree:
    """Users by number, the groups of each, nested ones too, and the group that each process is for."""

    users: int
    groups: dict[int, set[int]]
    processes: list[int]

    @classmethod
    def grown(cls, users: int, groups: int, chosen: random.Random) -> tuple[Tree, str]:
        """Return a tree, and its entries as LDIF."""
        of_user: dict[int, set[int]] = {}
        lines = [openldap.user(f"u{one}", user_sid(one), f"mail: u{one}@fabrikam.example") for one in range(users)]
        for group in range(groups):
            members = chosen.sample(range(users), min(MEMBERS, users))
            above = range(group, min(group - group % CHAIN + CHAIN, groups))  # the group, and those that it is in
            for member in members:
                of_user.setdefault(member, set()).update(above)
            names = [f"uid=u{one},{openldap.PEOPLE}" for one in members]
            names += [f"cn=g{group - 1},{openldap.GROUPS}"] if group % CHAIN else []
            lines.append(
                openldap.group(f"g{group}", names, "objectClass: postscanAccount", f"postscanSid: {sid(group)}")
            )
        processes = [chosen.randrange(groups) for _ in range(PROCESSES)]
        for number, group in enumerate(processes):
            lines.append(_process(number, group))
        return cls(users, of_user, processes), "".join(lines)

    def may_use(self, user: int) -> set[str]:
        """Return the identifiers of the processes that a user may use."""
        mine = self.groups.get(user, set())
        return {identifier(number) for number, group in enumerate(self.processes) if group in mine}


@dataclass
class DirectoryTotals:
    """Seconds of the answers of each kind, how many there were of which outcome, and what broke a promise."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {one: [] for one in QUESTIONS})
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def run(*arguments: str) -> int:
    """Run the campaign, print totals and violations; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m campaigns directory")
    parser.add_argument("--users", type=int, default=50_000, help="number of users")
    parser.add_argument("--groups", type=int, default=5_000, help="number of groups")
    parser.add_argument("--count", type=int, default=2_000, help="number of questions, without faults and with them")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="to repeat a campaign")
    chosen = parser.parse_args(arguments)
    print(f"{chosen.users} users, {chosen.groups} groups, seed {chosen.seed}", flush=True)
    tree, ldif = Tree.grown(chosen.users, chosen.groups, random.Random(chosen.seed))
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="directory-") as home, openldap.openldap(Path(home), ldif) as server:
        print(f"{time.monotonic() - begun:.0f} s to load", flush=True)
        quiet = asked(tree, server, chosen.count, chosen.seed, SECONDS)
        report("quiet", quiet)
        faulty = faults(tree, server, chosen.count, chosen.seed)
        report("with faults", faulty)
    violations = [*quiet.violations, *faulty.violations]
    if quiet.outcomes["away"]:
        violations.append(f"{quiet.outcomes['away']} questions had no answer without a fault")
    for violation in violations:
        print(f"VIOLATION: {violation}")
    print(f"{len(violations)} violations")
    return 1 if violations else 0


def asked(tree: Tree, server: openldap.OpenLdap, count: int, seed: int, seconds: float) -> DirectoryTotals:
    """Ask *count* random questions in four threads, each with its time; return what came."""
    context = HooksContext(
        "directory", Settings(**openldap.table(server), connect_seconds=seconds), seconds, server.home
    )
    plugin = LdapDirectory(context)
    totals = DirectoryTotals()
    with ThreadPoolExecutor(THREADS) as pool:
        for one in [pool.submit(_ask, tree, plugin, totals, random.Random(f"{seed} {n}")) for n in range(count)]:
            one.result()
    plugin.close()
    return totals


def faults(tree: Tree, server: openldap.OpenLdap, count: int, seed: int) -> DirectoryTotals:
    """Ask *count* questions while slapd is stopped, or killed and started again, at random moments."""
    over = threading.Event()

    def disturb() -> None:
        chosen = random.Random(seed)
        while not over.wait(chosen.uniform(0.5, 2.0)):
            if chosen.random() < 0.5:
                server.signal(signal.SIGSTOP)
                over.wait(chosen.uniform(0.2, 3.0))
                server.signal(signal.SIGCONT)
            else:
                server.stop()
                over.wait(chosen.uniform(0.0, 1.0))
                server.start()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        return asked(tree, server, count, seed, SHORT)
    finally:
        over.set()
        thread.join()


def report(title: str, totals: DirectoryTotals) -> None:
    """Print the figures of one part."""
    print(f"{title}: " + ", ".join(f"{n} {what}" for what, n in sorted(totals.outcomes.items())))
    for kind, seconds in totals.seconds.items():
        if len(seconds) > 1:
            cuts = statistics.quantiles(seconds, n=100)
            figures = " / ".join(f"{1000 * one:.0f}" for one in (statistics.median(seconds), cuts[98], max(seconds)))
            print(f"  {kind}: {figures} ms (median / 99th percentile / longest of {len(seconds)})")


def _ask(tree: Tree, plugin: LdapDirectory, totals: DirectoryTotals, chosen: random.Random) -> None:
    kind, number = chosen.choice(QUESTIONS), chosen.randrange(tree.users)
    user = DirectoryUser(user_sid(number), f"u{number}@fabrikam.example")
    begun = time.monotonic()
    try:
        wrong = _wrong(tree, plugin, kind, number, user, chosen)
        totals.outcomes["answered"] += 1
        totals.seconds[kind].append(time.monotonic() - begun)
    except DirectoryAway:
        wrong = ""
        totals.outcomes["away"] += 1
    if wrong:
        totals.violations.append(f"{kind} of u{number}: {wrong}")
    if (took := time.monotonic() - begun) > plugin.context.seconds + LATE:
        totals.violations.append(f"{kind} of u{number} took {took:.2f} s")


def _wrong(
    tree: Tree, plugin: LdapDirectory, kind: str, number: int, user: DirectoryUser, chosen: random.Random
) -> str:
    """Ask, and return what is wrong with the answer; empty if it is right."""
    if kind == "user":
        found = plugin.postscan_find_user(sid=user.sid)
        expected = {sid(one) for one in tree.groups.get(number, ())}
        return "" if found is not None and set(found.groups) == expected else f"groups {found}, not {expected}"
    allowed = tree.may_use(number)
    if kind == "processes":
        listed = {one.identifier for one in plugin.postscan_processes(user) or ()}
        return "" if listed == allowed else f"processes {listed}, not {allowed}"
    wanted = chosen.choice(sorted(allowed) or [identifier(0)])
    try:
        process = plugin.postscan_find_process(wanted, user)
    except AccessRefused:
        return f"{wanted} was refused" if wanted in allowed else ""
    return "" if process is not None and wanted in allowed else f"{wanted} was {process}"


def user_sid(number: int) -> str:
    """Return the SID of a user."""
    return f"S-1-5-21-1-2-3-{1_000_000 + number}"


def sid(group: int) -> str:
    """Return the SID of a group."""
    return f"S-1-5-21-1-2-3-{2_000_000 + group}"


def identifier(process: int) -> str:
    """Return the GUID of a scan process."""
    return str(uuid.UUID(int=(4 << 76) + (8 << 60) + process)).upper()


def _process(number: int, group: int) -> str:
    lines = [
        f"dn: cn=p{number},{openldap.PROCESSES}",
        "objectClass: postscanProcess",
        f"cn: p{number}",
        f"displayName: Process {number}",
        f"postscanIdentifier: {identifier(number).lower()}",
        f"postscanXml: <p{number}/>",
        f"postscanAllowed: cn=g{group},{openldap.GROUPS}",
    ]
    return "\n".join(lines) + "\n\n"
