"""`postscan reload` and SIGHUP at a real server: what counts afterwards, and that an error changes nothing."""

from __future__ import annotations

import json
import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import certificates
import pytest
from acceptance.scanning import INVALID, Scanner, good, instructions, refusal
from acceptance.server import Server, running
from certificates import Authority, sid_extension
from device import Device
from works import until

from postscan.core.settings import reload_report

ANNA = "S-1-5-21-1-2-3-1001"
ASKED = instructions("copy")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    """A server with the settings of the tests, without TLS."""
    with running(tmp_path) as server:
        yield server
    assert server.tracebacks() == []


def device(server: Server, context: ssl.SSLContext | None = None) -> Device:
    """Return a device with a user."""
    return Device(server.url, ANNA, tls=context)


def shown(server: Server) -> str:
    """Return the certificate that the server shows to a new connection, in PEM form."""
    parts = urlsplit(server.url)
    assert parts.hostname
    assert parts.port
    return ssl.get_server_certificate((parts.hostname, parts.port), timeout=60)


def test_users_count_from_the_next_job(served: Server) -> None:
    """One is known no longer, and then again."""
    process = served.store(ASKED)
    token = good(device(served).create(process, ASKED)).find("JobToken")

    served.rewrite({}, "allow_unknown_users = false\n")
    assert served.reload().stdout == "taken over: allow_unknown_users\n"
    assert refusal(device(served).create(process, ASKED)).reason == INVALID
    good(device(served).elements(str(token)))  # the job that is there goes on

    served.rewrite({f'users."{ANNA}"': {"name": "anna@fabrikam.example"}}, "allow_unknown_users = false\n")
    assert served.reload().stdout == f"taken over: users.{ANNA}\n"
    good(device(served).create(process, ASKED))


def test_what_needs_a_restart_is_named_and_the_rest_is_taken_over(served: Server) -> None:
    """Each time again, until the server is restarted."""
    process = served.store(ASKED)
    served.rewrite({"limits": {"open_jobs": 1}, "running": {"slots": 3}})
    first, second = served.reload(), served.reload("--json")
    good(device(served).create(process, ASKED))

    assert first.stdout.splitlines() == ["taken over: limits.open_jobs", "need a restart: running.slots"]
    assert json.loads(second.stdout) == {"taken": [], "restart": ["running.slots"], "certificates": False}
    assert refusal(device(served).create(process, ASKED)).subcode == "dsp:ServerErrorTemporaryError"
    assert served.log().count("changed settings need a restart") == 2

    served.stop()
    served.start()

    assert served.reload().stdout == "taken over: nothing has changed\n"


def test_an_error_in_the_file_changes_nothing(served: Server) -> None:
    """The command names it and sends no signal; after a signal it is in the log."""
    process = served.store(ASKED)
    served.rewrite({"limits": {"open_jobs": 0}}, "allow_unknown_users = false\n")
    failed = served.reload()
    os.kill(served.pid, signal.SIGHUP)
    until(lambda: "settings not reloaded" in served.log(), "for the error to be logged")

    assert (failed.returncode, failed.stdout) == (1, "")
    assert "limits.open_jobs: Input should be greater than 0" in failed.stderr
    assert "limits.open_jobs: Input should be greater than 0" in served.log()
    good(device(served).create(process, ASKED))


def test_the_log_follows_its_level(served: Server) -> None:
    """From the reload on: at `warning` not even the reload is logged, and at `info` it is."""
    served.rewrite({}, 'log_level = "warning"\n')
    served.reload()
    assert "settings reloaded" not in served.log()

    served.rewrite({}, 'log_level = "info"\n')
    served.reload()

    until(lambda: served.log().count("settings reloaded") == 1, "for the line about the reload")


def test_the_options_of_the_command_line_still_count(served: Server) -> None:
    """A server that was started with `--port` goes on with it, whatever the file has."""
    served.stop()
    served._arguments += ["--port", "0"]
    served.start()
    served.rewrite({"server": {"port": 1}})

    assert served.reload().stdout == "taken over: nothing has changed\n"


def test_a_stopped_server_is_not_called(served: Server) -> None:
    """Its report is removed, and the command says that there is no server."""
    assert reload_report.read(served.settings.storage.data_dir)
    served.stop()
    failed = served.reload()

    assert reload_report.read(served.settings.storage.data_dir) is None
    assert failed.returncode == 1
    assert "no server is running with this data_dir" in failed.stderr


def test_a_signal_during_the_stop_does_not_cut_it_short(served: Server) -> None:
    """Running filters get their time, and their jobs are suspended; many signals before do no harm either."""
    for _ in range(20):
        os.kill(served.pid, signal.SIGHUP)
    until(lambda: "settings reloaded" in served.log(), "for a reload")  # the kernel makes one of several signals
    scanner = Scanner(served)
    scanner.await_state(scanner.start("sleep 60"), "Processing")
    os.kill(served.pid, signal.SIGTERM)
    until(lambda: "drain started" in served.log(), "for the drain to start")
    os.kill(served.pid, signal.SIGHUP)

    assert served.stop() == 0
    assert "job suspended" in served.log()


# --- certificates ----------------------------------------------------------------------------------------------------


def test_a_renewed_certificate_is_shown_to_new_connections(tmp_path: Path) -> None:
    """Its files have the same names; a key of another certificate changes nothing."""
    root = Authority()
    with running(tmp_path, {"tls": certificates.server_table(tmp_path, root)}) as server:
        first = shown(server)
        certificates.server_table(tmp_path, root)
        assert shown(server) == first
        renewed = server.reload()
        second = shown(server)
        other = root.server()
        (tmp_path / "server.pem").write_text(other.pem)
        failed = server.reload()
        third = shown(server)

    assert renewed.stdout == "taken over: nothing has changed\ncertificates: read again\n"
    assert (first == second, second == third) == (False, True)
    assert failed.returncode == 1
    assert "holds no private key in PEM form" in failed.stderr
    assert "settings not reloaded" in server.log()


def test_a_certificate_that_was_revoked_is_refused_after_a_reload(tmp_path: Path) -> None:
    """T-H11: the list of revoked certificates has the same name; others are accepted on."""
    root = Authority()
    lost, kept = (root.issue(name, also=[sid_extension(ANNA)]) for name in ("lost", "kept"))
    crl = tmp_path / "revoked.pem"
    crl.write_bytes(root.revoke())
    table = certificates.server_table(tmp_path, root, mode="client", crl=str(crl))
    users = {f'users."{ANNA}"': {"name": "anna@fabrikam.example"}}
    with running(tmp_path, {"tls": table, **users}) as server:
        process = server.store(ASKED)
        contexts = [certificates.client(tmp_path, root, shows) for shows in (lost, kept)]
        for context in contexts:
            good(device(server, context).create(process, ASKED))
        crl.write_bytes(root.revoke(lost))
        server.reload()
        with pytest.raises(OSError):  # an alert, or a connection that is reset
            device(server, contexts[0]).create(process, ASKED)
        good(device(server, contexts[1]).create(process, ASKED))

    assert "certificate revoked" in server.log()
