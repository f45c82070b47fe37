"""Programs that a filter runs: how they end, and that nothing of them is left."""

from __future__ import annotations

import os
import sys
import threading

import pytest
from works import alive, until

from postscan.core.filters import tools
from postscan.core.filters.cancellation import Cancelled, CancelSource

PYTHON = [sys.executable, "-P", "-c"]


@pytest.fixture
def source(tmp_path):
    """Lend a source whose page lies in the test's folder."""
    with CancelSource() as source:
        yield source


@pytest.fixture
def run(source, tmp_path):
    """Run a program of Python, or a command."""

    def run(program, **environment):
        command = [*PYTHON, program] if isinstance(program, str) else program
        return tools.run(source.token(), command, tmp_path, environment)

    return run


@pytest.fixture
def cancelled_when(source, tmp_path):
    """Cancel when a file is there, and wait for that thread at the end."""
    threads = []

    def when(name):
        def wait():
            until((tmp_path / name).exists, f"for {name}")
            source.cancel("by the test")

        threads.append(threading.Thread(target=wait))
        threads[-1].start()

    yield when
    for thread in threads:
        thread.join()


def numbers(folder):
    """Return the numbers of the processes that a program wrote down."""
    return [int(word) for word in (folder / "numbers").read_text().split()]


FAMILY = """
import os, pathlib, signal, subprocess, sys
{before}
child = subprocess.Popen(["sleep", "60"])
pathlib.Path("numbers.part").write_text(f"{{os.getpid()}} {{child.pid}}")
os.rename("numbers.part", "numbers")
{after}
"""


def test_its_exit_code_and_its_last_words_are_returned(run):
    """What it wrote to both streams."""
    ended = run("import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(7)")

    assert ended == (7, "out\nerr")


def test_only_the_end_of_much_output_is_kept(run):
    """A tool that talks without end does not fill the memory."""
    output = run("print('x' * 100_000 + 'end')").output

    assert len(output) <= tools.LAST_OUTPUT
    assert output.endswith("xend")


def test_a_signal_that_ended_it_is_a_negative_code(run):
    """As the standard library spells it."""
    assert run("import os; os.kill(os.getpid(), 9)").code == -9


def test_it_runs_in_the_folder_and_sees_the_environment(run, tmp_path):
    """Also what was in the environment before."""
    ended = run("import os; print(os.getcwd(), os.environ['SIZE'], 'PATH' in os.environ)", SIZE="A4")

    assert ended.output == f"{tmp_path} A4 True"


def test_a_program_that_is_not_there_is_an_error(run):
    """The filter context says which one."""
    with pytest.raises(FileNotFoundError):
        run(["no-such-program"])


def test_after_a_cancel_nothing_is_started(run, source):
    """Promise 3: not even to be ended at once."""
    source.cancel("by the test")
    with pytest.raises(Cancelled):
        run(["no-such-program"])


@pytest.mark.parametrize("deaf", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN)"], ids=["polite", "deaf"])
def test_a_cancel_ends_the_tool_and_what_it_has_started(run, cancelled_when, tmp_path, deaf):
    """Promise 4: also one that ignores SIGTERM, whose children do as well."""
    cancelled_when("numbers")
    with pytest.raises(Cancelled):
        run(FAMILY.format(before=deaf, after="child.wait()"))
    family = numbers(tmp_path)

    assert len(family) == 2
    until(lambda: not any(map(alive, family)), f"for {family} to be gone")


def test_what_a_tool_leaves_behind_ends_with_it(run, tmp_path):
    """A helper that goes on in the background is nobody's any more."""
    ended = run(FAMILY.format(before="", after="sys.exit(3)"))
    tool, helper = numbers(tmp_path)

    assert ended.code == 3
    assert not alive(tool)
    until(lambda: not alive(helper), f"for {helper} to be gone")


def test_a_polite_tool_may_tidy_up(run, cancelled_when, tmp_path, monkeypatch):
    """SIGTERM comes first, and SIGKILL only when its time is over."""
    monkeypatch.setattr(tools, "_POLITE", 60.0)
    cancelled_when("numbers")
    with pytest.raises(Cancelled):
        run(
            FAMILY.format(
                before="signal.signal(signal.SIGTERM, lambda *_: sys.exit(pathlib.Path('tidy').touch()))",
                after="child.wait()",
            )
        )

    assert (tmp_path / "tidy").exists()


def test_the_tools_group_is_not_ours(run):
    """Who ends it does not end the filter."""
    assert int(run("import os; print(os.getpgrp())").output) != os.getpgrp()
