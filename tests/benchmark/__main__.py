"""Measures us and the other tools on the same data, in turn, and writes what it saw into docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmark.contest import OURS, Contestant, hold, table
from benchmark.data import Size
from benchmark.report import ENGINES, conditions, parser, publish

WORK = ("backup", "restore")
SETTLED_MEGABYTES = 100


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    known = parser("benchmark", __doc__, rounds=3)
    known.add_argument("--megabytes", type=int, default=1500, help="size of the data, about")
    known.add_argument("--tables", type=int, default=22, help="number of tables")
    known.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    known.add_argument("--only", nargs="+", default=[], help="parts of the names of those who take part besides us")
    known.add_argument("--ansible", type=Path, help="a virtual environment with the package ansible")
    return known.parse_args(given)


def measured(options: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Each contest: its title, and the lines of the report."""
    size = Size(options.megabytes, options.tables)
    for name in options.engines:
        engine = ENGINES[name]
        with (
            tempfile.TemporaryDirectory(prefix="vya-bench-", dir=options.folder) as folder,
            engine.bench(Path(folder), options.jobs, options.ansible) as bench,
        ):
            stored = bench.fill(size)
            # A restore needs what the backups wrote, so these are held in any case.
            for work, contestants in (("backup", bench.backups()), ("restore", bench.restores())):
                wanted = work in options.work
                taking_part = list(chosen(contestants, options.only if wanted else ["zstd -1", "-Fd", "mydumper -t"]))
                if not wanted and "restore" not in options.work:
                    continue
                around = conditions(engine, options.rounds, options.jobs)
                rounds, settle = options.rounds if wanted else 1, options.megabytes >= SETTLED_MEGABYTES
                results = hold(taking_part, rounds, settle, bench.server_pid)
                if wanted:
                    data = f"{stored / 1e9:.2f} GB on the server in {len(size.rows)} tables. {bench.conditions}.\n"
                    yield f"{engine.TITLE}: {work}", [around, data, *table(results), ""]


def chosen(contestants: Iterator[Contestant], only: Sequence[str]) -> Iterator[Contestant]:
    for contestant in contestants:
        if not only or contestant.name == OURS or any(part in contestant.name for part in only):
            yield contestant


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    for title, lines in measured(options):
        publish(options.report, title, lines)


if __name__ == "__main__":
    sys.exit(main())
