"""Cost at 100, 10,000 and 100,000 ended jobs: the verbs of callers, lists, sweeps, commands, and a start of the server.

The verbs run in this process, on three engines in turn, so that whatever else the machine does meets all of them. A
claim is followed by the end of its job, which is not measured. Each start and each command is a process of its own.
"""

from __future__ import annotations

import contextlib
import random
import resource
import statistics
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from bench import ended_jobs, servers
from bench.ended_jobs import BUSY, INSTRUCTIONS, OTHERS, USER
from postscan.core.engine import Engine
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.records import RequestKey
from postscan.core.model.states import JobReason

SIZES: Final = (100, 10_000, 100_000)
ROUNDS: Final = 200
STARTS: Final = 7
IDLE_SECONDS: Final = 5.0  # of a server that has nothing to do
IMAGE: Final = b"\x89PNG" * 16_384
ADMIN: Final = Principal("local:bench", Proof.LOCAL, admin=True)
Table = dict[str, dict[str, Any]]
Samples = dict[str, dict[int, list[tuple[float, float]]]]
"""By what was measured, and number of jobs: seconds, and seconds of processor time."""


def run() -> None:
    """Measure on SQLite, and print."""
    with servers.folder() as folder:
        _measure({size: ended_jobs.settings(folder / str(size)) for size in SIZES})


def run_on_postgresql() -> None:
    """Measure on a PostgreSQL server of its own, which does not sync its commits, and print."""
    sys.path.append(str(Path(__file__).parents[1] / "tests" / "doubles"))
    import databases
    import postgres

    with servers.folder() as folder, postgres.server(autovacuum=True) as url:
        made = {size: databases.create(url, f"jobs_{size}", with_tables=False) for size in SIZES}
        _measure({size: ended_jobs.settings(folder / str(size), made[size]) for size in SIZES})


def _measure(settings: dict[int, Table]) -> None:
    for size, table in settings.items():
        begun = time.monotonic()
        ended_jobs.fill(table, size)
        print(f"made {size} ended jobs in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    samples: Samples = defaultdict(lambda: defaultdict(list))
    _verbs(settings, samples)
    _processes(settings, samples)
    _print(samples)


# --- in this process -------------------------------------------------------------------------------------------------


@dataclass
class _Caller:
    """A caller of one engine, and the tokens of its ended jobs."""

    engine: Engine
    by: Principal = BUSY
    ended: list[JobToken] = field(default_factory=list)

    def create(self) -> JobToken:
        return self.engine.service.create(self.by, USER, servers.PROCESS, INSTRUCTIONS, _request())

    def send(self, token: JobToken) -> None:
        with self.engine.service.open_image(token, self.by, 1, "png", _request()) as sink:
            sink.write(IMAGE)

    def end(self, token: JobToken) -> None:
        self.engine.service.end(token, self.by, _request())

    def cancel(self, token: JobToken) -> None:
        self.engine.service.cancel(token, self.by, _request())

    def get(self) -> None:
        self.engine.service.job(random.choice(self.ended), self.by)


def _verbs(settings: dict[int, Table], samples: Samples) -> None:
    with contextlib.ExitStack() as opened:
        callers = {size: _Caller(opened.enter_context(ended_jobs.engine(table))) for size, table in settings.items()}
        for caller in callers.values():
            caller.ended = [job.token for job in caller.engine.service.history(BUSY, 1000)]
        for _ in range(ROUNDS):
            for size in random.sample(list(callers), len(callers)):
                for what, sample in _round(callers[size]):
                    samples[what][size].append(sample)


def _round(caller: _Caller) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield what was measured, and how long it took."""
    engine, service = caller.engine, caller.engine.service
    stranger = _Caller(engine, OTHERS[0])
    tokens: list[JobToken] = []
    yield "create", _timed(lambda: tokens.append(caller.create()))
    token = tokens.pop()
    yield "send", _timed(lambda: caller.send(token))
    yield "end", _timed(lambda: caller.end(token))
    yield "claim", _timed(lambda: engine.store.claim(engine.clock.now(), "a holder"))
    with engine.store.change(token) as job:
        job.fail(JobReason.PROCESSING_FAILED, engine.clock.now())
    token = caller.create()
    caller.send(token)
    yield "cancel", _timed(lambda: caller.cancel(token))
    token = stranger.create()
    yield "send, another caller", _timed(lambda: stranger.send(token))
    stranger.cancel(token)
    yield "get", _timed(caller.get)
    yield "list", _timed(lambda: service.active(ADMIN))
    yield "history", _timed(lambda: service.history(ADMIN))
    yield "state of the server", _timed(lambda: service.state(ADMIN))
    yield "look for silent devices", _timed(lambda: list(engine.sweeper.expire()))
    engine.retention.sweep()  # the jobs of this round get the tick of their end
    yield "idle sweep", _timed(engine.retention.sweep)


def _request() -> RequestKey:
    return RequestKey(f"urn:uuid:{uuid.uuid4()}", "0" * 64)


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    begun, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begun, time.process_time() - processor


# --- processes -------------------------------------------------------------------------------------------------------


def _processes(settings: dict[int, Table], samples: Samples) -> None:
    configs = {}
    for size, table in settings.items():
        configs[size] = Path(table["storage"]["data_dir"]).with_suffix(".toml")
        configs[size].write_text(ended_jobs.as_toml(table))
    for _ in range(STARTS):
        for size in random.sample(list(configs), len(configs)):
            for what, sample in _starts(configs[size]):
                samples[what][size].append(sample)


def _starts(config: Path) -> Iterator[tuple[str, tuple[float, float]]]:
    command = [sys.executable, "-m", "postscan.cli", "--config", str(config)]
    for words in ("jobs list", "jobs list --all"):
        yield f"postscan {words}", _run([*command, *words.split()])
    begun = time.perf_counter()
    with subprocess.Popen([*command, "serve"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        server.stdout.readline()
        yield "start of the server", (time.perf_counter() - begun, _processor_time(server.pid))
        time.sleep(1)  # what it does once, just after its start
        before = _processor_time(server.pid)
        time.sleep(IDLE_SECONDS)
        used = _processor_time(server.pid) - before
        yield f"idle server, {IDLE_SECONDS:g} s", (used, used)
        server.terminate()


def _run(command: list[str]) -> tuple[float, float]:
    begun = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - begun, used


def _processor_time(pid: int) -> float:
    """Return the seconds of a process and of those that it has started."""
    process = psutil.Process(pid)
    used = 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used


# --- output ----------------------------------------------------------------------------------------------------------


def _print(samples: Samples) -> None:
    head = "".join(f"{size:>22,} jobs" for size in SIZES)
    print(f"{'median / p99 / processor, in ms':<32}{head}   last / first: median, processor")
    for what, by_size in samples.items():
        cells, medians, used = "", {}, {}
        for size in SIZES:
            seconds, processor = zip(*by_size[size], strict=True)
            medians[size], used[size] = statistics.median(seconds), statistics.median(processor)
            p99 = sorted(seconds)[int(len(seconds) * 0.99)]
            cells += f"{medians[size] * 1000:>11.2f} {p99 * 1000:>8.1f} {used[size] * 1000:>7.2f}"
        first, last = SIZES[0], SIZES[-1]
        print(f"{what:<32}{cells}   {medians[last] / medians[first]:>6.2f} {used[last] / max(used[first], 1e-6):>6.2f}")
