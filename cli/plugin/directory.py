"""`postscan directory`: what the plugins of hooks answer about users and scan processes, and why."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from postscan.cli.context import load_settings, open_engine, process_folder
from postscan.cli.output import exit_codes, terminal, views

if TYPE_CHECKING:
    from postscan.core.engine import Engine
    from postscan.core.registry.directory.directory import Directories
    from postscan.core.registry.directory.users import KnownUser
    from postscan.core.settings import Settings

_CALLER: Final = "postscan directory check"
_LOOK_SECONDS: Final = 0.05

app = typer.Typer(no_args_is_help=True, help="Ask the directories that plugins of hooks connect.")


@app.callback()
def directory() -> None:
    """Ask the directories that plugins of hooks connect."""


@app.command()
def check(
    context: typer.Context,
    user: Annotated[
        str, typer.Option(metavar="NAME", help="SID, UPN, user@domain or login name of a user to ask about.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start the plugins of hooks, and print what is wrong with them; with --user, what they say of one user.

    That is who the user is, whether they may create jobs, and for each scan process of the folder and of the
    directories whether they may use it, and why. Users of `[users]` and processes of the folder come first, as in a
    running server. The plugins are started for this command; a running server has its own.

    \b
    Exit codes:
      0  the directories answer, and the user is there and enabled
      1  something is wrong, or the user is unknown or not enabled

    \b
    Examples:
      postscan directory check
      postscan directory check --user ann@fabrikam.example
      postscan directory check --user S-1-5-21-1-2-3-1001 --json | jq '.processes[] | select(.allowed)'
    """
    settings = load_settings(context)
    with open_engine(settings) as engine, engine.answering() as asked:
        _wait(asked, settings)
        plugins = [_plugin(engine, asked, name) for name in asked.conditions()]
        found = _user(settings, engine, user) if user else None
    record: dict[str, Any] = {"plugins": plugins}
    if user:
        record |= {"user": found and found.pop("user"), "processes": found["processes"] if found else []}
    if json:
        typer.echo(views.as_json(record))
    else:
        for line in _lines(user, record):
            typer.echo(terminal.plain(line))
    is_well = all(not one["problems"] for one in plugins)
    if not is_well or (user and not (record["user"] and record["user"]["enabled"])):
        raise typer.Exit(exit_codes.ERROR)


def _wait(asked: Directories, settings: Settings) -> None:
    """Wait until each plugin is loaded, or is not."""
    until = time.monotonic() + settings.plugins.probe_seconds
    while any(one.state == "starting" for one in asked.conditions().values()) and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)


def _plugin(engine: Engine, asked: Directories, name: str) -> dict[str, Any]:
    condition = asked.conditions()[name]
    problems = [condition.reason] if condition.reason else []
    if condition.state == "ready":
        problems += engine.diagnose_hooks(name)
    return {"name": name, "state": str(condition.state), "problems": problems}


def _user(settings: Settings, engine: Engine, name: str) -> dict[str, Any] | None:
    """Return the user and the processes as records; None if there is no such user."""
    from postscan.core.model.principal import is_sid

    known = engine.users.find(_CALLER, name) if is_sid(name) else engine.users.by_name(_CALLER, name)
    if known is None:
        return None
    about = {
        "sid": known.user.sid,
        "name": known.user.name,
        "from": known.plugin,
        "enabled": known.enabled,
        "reason": known.reason,
        "mail": known.user.mail,
        "display_name": known.user.display_name,
        "home_folder": known.user.home_folder,
        "groups": sorted(known.groups),
        "note": known.note,
    }
    return {"user": about, "processes": list(_processes(settings, engine, known))}


def _processes(settings: Settings, engine: Engine, known: KnownUser) -> Iterator[dict[str, Any]]:
    """Yield the processes of the folder, and those that the directories list for the user, each as a job finds it."""
    from postscan.core.errors import StoredProcessInvalid
    from postscan.core.registry.directory.processes import ProcessLookup

    folder = process_folder(settings)
    lookup = ProcessLookup(folder, engine.directory)
    listed = [one.identifier for one in engine.directory.processes(_CALLER, known.question)]
    for identifier in dict.fromkeys([*folder.names(), *listed]):
        try:
            found = lookup.find(_CALLER, identifier, known)
        except StoredProcessInvalid as error:
            yield {"id": identifier, "name": None, "from": None, "allowed": False, "why": str(error)}
            continue
        if found is not None:
            name = found.process.display_name if found.process else None
            about = {"id": identifier, "name": name, "from": found.plugin, "allowed": found.process is not None}
            yield about | {"why": found.why if found.process else found.refused}


def _lines(user: str, record: dict[str, Any]) -> Iterator[str]:
    if not record["plugins"]:
        yield "no plugin of hooks is used: the settings have no table [plugins.<name>]"
    for one in record["plugins"]:
        yield f"{one['name']}: {one['state']}" + "".join(f"; {problem}" for problem in one["problems"])
    if not user:
        return
    about = record["user"]
    if about is None:
        yield f"{user}: neither the settings nor a directory have this user"
        return
    yield ""
    yield f"{about['name']} ({about['sid']}), of {about['from']}"
    yield "  may create jobs" if about["enabled"] else f"  may create no jobs: {about['reason']}"
    for label, key in (("mail", "mail"), ("display name", "display_name"), ("home folder", "home_folder")):
        if about[key]:
            yield f"  {label}: {about[key]}"
    if about["note"]:
        yield f"  {about['note']}"
    yield f"  groups: {', '.join(about['groups']) or 'none'}"
    for process in record["processes"]:
        verdict = "may use" if process["allowed"] else "may not use"
        yield f"  {verdict} {process['name'] or process['id']} ({process['from'] or 'invalid'}): {process['why']}"
