"""How fast backups are verified, against sha256sum on the same files.

    .venv/bin/python tests/benchmark/verification.py [MEGABYTES] [--folder FOLDER]

Backs SQLite databases up whose rows compress to about a third, and verifies them at both levels with one job and with
two, in turn with the other, three times; prints medians.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / ".build" / "collections"), str(TESTS)]

from ansible_collections.vya.backupdb.plugins.module_utils.operations.verify import (  # noqa: E402
    VerifyRun,
    VerifyWanted,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection  # noqa: E402
from kit import sqlite  # noqa: E402
from kit.workshop import Workshop  # noqa: E402

DATABASES = 4
ROUNDS = 3
ROW_BYTES = 1000


def fill(path: Path, megabytes: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE data (value BLOB)")
        rows = ((os.urandom(ROW_BYTES // 3) + bytes(ROW_BYTES * 2 // 3),) for _row in range(megabytes * 1000))
        connection.executemany("INSERT INTO data VALUES (?)", rows)
        connection.commit()


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def verify(workshop: Workshop, level: str, jobs: int) -> None:
    wanted = VerifyWanted(Selection(), level, jobs=jobs, orphans=False)
    outcome = VerifyRun(workshop.repository, workshop.keyring, wanted).run()
    assert len(outcome.verified) == DATABASES, outcome.failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("megabytes", nargs="?", type=int, default=800)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        (folder / "data").mkdir()
        for number in range(DATABASES):
            fill(folder / "data" / f"{number}.db", options.megabytes // DATABASES)
        workshop = Workshop(folder)
        made = workshop.back_up(sqlite.instance(folder / "data"))
        assert len(made.backups) == DATABASES, made.failures
        files = [str(path) for path in workshop.root.rglob("*") if path.is_file()]
        contestants: dict[str, Callable[[], object]] = {
            "sha256sum": lambda: subprocess.run(["sha256sum", *files], check=True, stdout=subprocess.DEVNULL),
            "checksum, 1 job": lambda: verify(workshop, "checksum", 1),
            "checksum, 2 jobs": lambda: verify(workshop, "checksum", 2),
            "decrypt, 1 job": lambda: verify(workshop, "decrypt", 1),
            "decrypt, 2 jobs": lambda: verify(workshop, "decrypt", 2),
        }
        taken: dict[str, list[float]] = {contestant: [] for contestant in contestants}
        for _round in range(ROUNDS):
            for contestant, work in contestants.items():
                taken[contestant].append(timed(work))
        stored = sum(backup["stored_bytes"] for backup in made.backups)
        sys.stdout.write(f"{stored / 1e6:.0f} MB stored, {options.megabytes} MB of rows\n")
        for contestant, seconds in taken.items():
            median = statistics.median(seconds)
            ratio = median / statistics.median(taken["sha256sum"])
            sys.stdout.write(
                f"  {contestant:20} {median:6.2f} s, {ratio:4.2f} of sha256sum, {stored / median / 1e6:.0f} MB/s\n"
            )


if __name__ == "__main__":
    main()
