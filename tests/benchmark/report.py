"""Writes what was measured into a document, between two comments that say by what."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

from benchmark import mariadb, postgresql


def machine(rounds: int, jobs: int) -> str:
    """The conditions: day, machine, programs, what else the machine did."""
    busy = " ".join(f"{load:.1f}" for load in os.getloadavg())
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
        f"{memory:.0f} GiB of memory, Linux {platform.release()}, Python {platform.python_version()}. "
        f"Rounds: {rounds}, `jobs: {jobs}`. Load averages when the run began: {busy}.\n\n"
        "Programs: " + "; ".join([*postgresql.programs(), *mariadb.programs()]) + ".\n"
    )


def write(report: Path, command: str, text: str) -> None:
    """Puts a text in the place of what the same command wrote before."""
    begin, end = (f"<!-- measured by {command}: {word} -->\n" for word in ("begin", "end"))
    before, _begin, rest = report.read_text().partition(begin)
    _old, _end, after = rest.partition(end)
    report.write_text(f"{before}{begin}\n{text}\n{end}{after}")
