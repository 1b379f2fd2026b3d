"""How long it takes to list and to decide on one database's sets in a repository of many.

    .venv/bin/python tests/benchmark/catalogue.py [SETS...] [--folder FOLDER]

Makes a repository of 50 databases for each number of sets (100, 10000 and 100000 where none is named), each set with
a manifest as of a sealed backup of ten parts, and prints the time of each step. The parts are left out: nothing of what
is measured reads them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / ".build" / "collections"), str(TESTS)]

from ansible_collections.vya.backupdb.plugins.module_utils.operations.retention import retire  # noqa: E402
from ansible_collections.vya.backupdb.plugins.module_utils.repository import layout  # noqa: E402
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import (  # noqa: E402
    Selection,
    find,
    newest_first,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import LocalRepository  # noqa: E402
from ansible_collections.vya.backupdb.plugins.module_utils.repository.manifest import PartRecord  # noqa: E402
from ansible_collections.vya.backupdb.plugins.module_utils.retention.policy import require_policy  # noqa: E402
from kit.sets import MOMENT, manifest  # noqa: E402

DATABASES = 50
PARTS = tuple(PartRecord(f"{number:03d}-data.zst.fernet", "data", 1 << 30, 1 << 28, "0" * 64) for number in range(10))
SEALED = {
    "scheme": "fernet-frames",
    "frame_bytes": 1 << 20,
    "keys": [{"id": "5d41402abc4b2a76", "token": "g" * 140}],
}


def fill(root: Path, count: int) -> None:
    for number in range(count):
        step, database = divmod(number, DATABASES)
        made = manifest(MOMENT - timedelta(hours=step), database=f"db{database:02d}", parts=PARTS, encryption=SEALED)
        made = replace(made, seal="g" * 200)
        folder = root / made.host / made.instance / made.database / made.started[:10] / made.id
        (folder / layout.PARTS).mkdir(parents=True)
        (folder / layout.MANIFEST).write_text(json.dumps(made.to_json(), indent=2))


def timed(what: str, work: Callable[[], Any]) -> Any:
    started, cpu = time.perf_counter(), time.process_time()
    result = work()
    taken, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(f"  {what:45} {taken:8.3f} s, of which {cpu:8.3f} s processor", flush=True)
    return result


def measure(root: Path, count: int) -> None:
    print(f"{count} sets of {DATABASES} databases")
    timed("make them", lambda: fill(root, count))
    repository = LocalRepository(str(root))
    one = Selection("db1", "main", "db07", "database")
    policy = require_policy({"keep_within": "48h", "keep_daily": 14, "keep_weekly": 8, "keep_monthly": 12})

    def all_due() -> None:
        for number in range(DATABASES):
            next(newest_first(repository, "db1", "main", "database", f"db{number:02d}"))

    for turn in ("first", "second"):
        timed(f"list one database, {turn} time", lambda: find(repository, one))
        timed(f"decide retention of it, {turn} time", lambda: retire(repository, one, policy, check=True))
    timed("the newest set of each database", all_due)
    timed("list all", lambda: find(repository, Selection()))
    timed("decide retention of all", lambda: retire(repository, Selection(), policy, check=True))
    timed("retire all", lambda: retire(repository, Selection(), policy))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="*", type=int, default=[100, 10_000, 100_000])
    parser.add_argument("--folder")
    arguments = parser.parse_args()
    for count in arguments.sets:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            measure(Path(folder), count)


if __name__ == "__main__":
    main()
