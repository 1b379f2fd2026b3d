"""What the measurements have in common: their options, their conditions, and the document they are written into."""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmark import mariadb, postgresql
from benchmark.workplace import found

ENGINES = {"postgresql": postgresql, "mariadb": mariadb}
COMMON_PROGRAMS = ("zstd", "age", "restic")


def parser(program: str, description: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options that all measurements have."""
    options = argparse.ArgumentParser(prog=program, description=description)
    options.add_argument("--rounds", type=int, default=rounds, help="turns of each contestant")
    options.add_argument("--jobs", type=int, default=2)
    options.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    options.add_argument("--folder", type=Path, help="where the contestants write; the default is a temporary folder")
    options.add_argument("--report", type=Path, help="the document to write the tables into")
    return options


def programs(names: Iterable[str]) -> Iterator[str]:
    """Those of the programs that are there, with their versions."""
    for name in filter(found, names):
        argv = [name, "version" if name == "restic" else "--version"]
        said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
        if said:
            line = said.splitlines()[0].strip("* ")
            yield line if line[0].isalpha() else f"{name} {line}"


def conditions(engine: Any, rounds: int, jobs: int) -> str:
    """Day, machine, programs, what else the machine did."""
    busy = " ".join(f"{load:.1f}" for load in os.getloadavg())
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
        f"{memory:.0f} GiB of memory, Linux {platform.release()}, Python {platform.python_version()}. "
        f"Rounds: {rounds}, `jobs: {jobs}`. Load averages when it began: {busy}. "
        f"Programs: {'; '.join(programs([*engine.PROGRAMS, *COMMON_PROGRAMS]))}.\n"
    )


def publish(report: Path | None, title: str, lines: Iterable[str]) -> None:
    """Prints what was measured, and puts it in the place of what stands under the same title in the report."""
    text = "\n".join([f"### {title}\n", *lines])
    print(text)
    if report:
        begin, end = (f"<!-- {word} of what was measured, {title} -->\n" for word in ("begin", "end"))
        before, _begin, rest = report.read_text().partition(begin)
        _old, _end, after = rest.partition(end)
        report.write_text(f"{before}{begin}\n{text}\n{end}{after}")
