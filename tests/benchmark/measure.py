"""Runs a pipeline of processes and says what it cost: time, processor time, memory."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What one run took. ``cpu_seconds`` are those of the processes that were started, of their children and of the
    server; ``peak_bytes`` is the most memory that one of the processes held, without the server."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    stored_bytes: int = 0


class FailedError(Exception):
    """A process of a pipeline did not end with 0."""


SAMPLE_SECONDS = 0.05
_HELD = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


def _family(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from _family(int(child))


TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """The processor time that a process and all below it have taken so far, those that have ended included (proc(5),
    fields 14 to 17 of stat)."""
    ticks = 0
    with suppress(OSError):
        for member in _family(pid):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS


class _Memory:
    """The most memory that any process below this one has held (proc(5), VmHWM). What wait4(2) says is no help: it
    counts what the process was before it became another program."""

    def __init__(self) -> None:
        self.peak_bytes = 0

    def look(self, pids: Sequence[int]) -> None:
        for one in pids:
            with suppress(OSError):  # processes end while we look
                for pid in _family(one):
                    found = _HELD.search(Path(f"/proc/{pid}/status").read_text())
                    self.peak_bytes = max(self.peak_bytes, int(found[1]) * 1024 if found else 0)

    @contextmanager
    def watched(self, pids: Sequence[int]) -> Iterator[None]:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(SAMPLE_SECONDS):
                self.look(pids)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def run(
    pipeline: Sequence[Sequence[str]],
    source: Path | None = None,
    target: Path | None = None,
    env: Mapping[str, str] | None = None,
    server: int | None = None,
) -> Cost:
    """Runs a pipeline to its end. Each process reads what the one before it writes; the first one reads ``source``,
    the last one writes ``target``. ``server`` is the process id of the server that works for them."""
    with ExitStack() as files:
        stdin = files.enter_context(source.open("rb")) if source else subprocess.DEVNULL
        log = files.enter_context(open(os.memfd_create("stderr"), "w+b"))  # noqa: PTH123
        out = files.enter_context(target.open("wb")) if target else log
        began = time.monotonic()
        processes: list[subprocess.Popen[bytes]] = []
        for number, argv in enumerate(pipeline):
            last = number == len(pipeline) - 1
            process = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=out if last else subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(env or {})},
            )
            if processes and processes[-1].stdout:
                processes[-1].stdout.close()
            processes.append(process)
            stdin = process.stdout or subprocess.DEVNULL
        cpu, memory = -cpu_seconds(server) if server else 0.0, _Memory()
        with memory.watched([process.pid for process in processes]):
            for process in processes:
                _pid, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                cpu += usage.ru_utime + usage.ru_stime
        seconds = time.monotonic() - began
        cpu += cpu_seconds(server) if server else 0.0
        if any(process.returncode for process in processes):
            log.seek(0)
            said = log.read()[-2000:].decode(errors="replace")
            raise FailedError(f"{' | '.join(argv[0] for argv in pipeline)}: {said}")
        return Cost(seconds, cpu, memory.peak_bytes)


def bytes_below(path: Path) -> int:
    """How much a file or a folder of files holds."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
