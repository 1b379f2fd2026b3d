"""How the cost grows with the work: ``python -m benchmark.growth``. More data, more tables, and databases so small that
what a backup costs beside the data is all there is."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.contest import Contestant, Result, hold, ratio
from benchmark.data import Size
from benchmark.report import ENGINES, conditions, parser, publish
from benchmark.workplace import DATABASE, Workplace

WAYS = ("data", "tables", "small")
TABLES = 22
PIPELINE = "the pipeline"
"""What everything is put beside: the plain tool, zstd and age."""


@dataclass(frozen=True)
class Point:
    """What one size took. Seconds are medians, ``to_pipeline`` our time for a backup to the pipeline's;
    ``lock_milliseconds`` how long the global read lock was held, None for a server that needs none."""

    size: Size
    stored_bytes: int
    backup: float
    to_pipeline: float
    restore: float
    lock_milliseconds: int | None

    @classmethod
    def of(cls, engine: Any, size: Size, options: argparse.Namespace) -> Point:
        with workplace(engine, options) as bench:
            stored = bench.fill(size)
            pipeline = through_pipeline(bench.place, [bench.dump()])
            backups = hold([bench.place.ours(), pipeline], options.rounds, True, bench.server_pid)
            ours, other = backups
            (restores,) = hold([next(bench.restores())], options.rounds, True, bench.server_pid)
            lock = bench.place.inventory().notes.get("lock_milliseconds")
        return cls(size, stored, ours.median("seconds"), ratio(ours, other), restores.median("seconds"), lock)


@contextmanager
def workplace(engine: Any, options: argparse.Namespace) -> Iterator[Any]:
    """A new server."""
    with (
        tempfile.TemporaryDirectory(prefix="vya-bench-", dir=options.folder) as folder,
        engine.bench(Path(folder), options.jobs, None) as bench,
    ):
        yield bench


def through_pipeline(place: Workplace, dumps: Sequence[Sequence[str]]) -> Contestant:
    """Each database in turn through ``zstd -1 | age`` into a file of its own, as a job of cron does it."""
    script = "set -euo pipefail\n"
    for number, dump in enumerate(dumps):
        script += f"{' '.join(dump)} | zstd -1 -q | {' '.join(place.age())} > {place.folder}/{number}.age\n"
    return Contestant(PIPELINE, [("bash", "-c", script)])


def data_table(points: Sequence[Point]) -> Iterator[str]:
    yield "| On the server, GB | Backup, s | s a GB | To the pipeline | Restore, s | s a GB |"
    yield "|---|---|---|---|---|---|"
    for point in points:
        size = point.stored_bytes / 1e9
        yield (
            f"| {size:.2f} | {point.backup:.1f} | {point.backup / size:.1f} | {point.to_pipeline:.2f} "
            f"| {point.restore:.1f} | {point.restore / size:.1f} |"
        )


def tables_table(points: Sequence[Point]) -> Iterator[str]:
    """The time of a table is what comes on top of the fewest tables, of the same number of rows."""
    least = points[0]

    def each(point: Point, seconds: Callable[[Point], float]) -> str:
        more = len(point.size.rows) - len(least.size.rows)
        return f"{(seconds(point) - seconds(least)) / more * 1000:.1f}" if more else ""

    locks = any(point.lock_milliseconds is not None for point in points)
    yield "| Tables | Backup, s | ms a table | To the pipeline | Restore, s | ms a table |" + " Lock, ms |" * locks
    yield "|---|---|---|---|---|---|" + "---|" * locks
    for point in points:
        cells = [
            f"{len(point.size.rows):,}",
            f"{point.backup:.1f}",
            each(point, lambda one: one.backup),
            f"{point.to_pipeline:.2f}",
            f"{point.restore:.1f}",
            each(point, lambda one: one.restore),
        ]
        if locks:
            cells.append(str(point.lock_milliseconds))
        yield f"| {' | '.join(cells)} |"


def small_table(results: Sequence[tuple[int, Sequence[Result]]]) -> Iterator[str]:
    yield "| Databases | We, s | The pipeline, s | We, s a database | The pipeline | Difference |"
    yield "|---|---|---|---|---|---|"
    for count, (ours, other) in results:
        mine, its = ours.median("seconds"), other.median("seconds")
        yield (
            f"| {count} | {mine:.2f} | {its:.2f} | {mine / count:.3f} | {its / count:.3f} "
            f"| {(mine - its) / count:+.3f} |"
        )


def small(engine: Any, options: argparse.Namespace) -> Iterator[tuple[int, Sequence[Result]]]:
    """Databases of a megabyte: one, and many in one run."""
    with workplace(engine, options) as bench:
        names = [f"{DATABASE}_{number}" for number in range(options.databases)]
        for name in names:
            bench.fill(Size(1, 3), name)
        for some in (names[:1], names):
            pipeline = through_pipeline(bench.place, [bench.dump(name) for name in some])
            contestants = [bench.place.ours(databases=some), pipeline]
            yield len(some), hold(contestants, options.small_rounds, True, bench.server_pid)


def measured(options: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Each way of growing: its title, and the lines of the report."""
    for name in options.engines:
        engine = ENGINES[name]
        if "data" in options.ways:
            around = conditions(engine, options.rounds, options.jobs)
            points = [Point.of(engine, Size(size, TABLES), options) for size in options.megabytes]
            yield f"{engine.TITLE}: more data", [around, *data_table(points), ""]
        if "tables" in options.ways:
            around = conditions(engine, options.rounds, options.jobs) + f"{options.table_megabytes} MB in all.\n"
            points = [Point.of(engine, Size(options.table_megabytes, tables), options) for tables in options.tables]
            yield f"{engine.TITLE}: more tables", [around, *tables_table(points), ""]
        if "small" in options.ways:
            around = conditions(engine, options.small_rounds, options.jobs)
            yield f"{engine.TITLE}: databases of 1 MB", [around, *small_table(list(small(engine, options))), ""]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    known = parser("benchmark.growth", __doc__, rounds=2)
    known.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="what grows")
    known.add_argument("--megabytes", type=int, nargs="+", default=[100, 1000, 5000], help="sizes of the data, about")
    known.add_argument("--tables", type=int, nargs="+", default=[10, 1000, 5000], help="numbers of tables")
    known.add_argument("--table-megabytes", type=int, default=100, help="size of the data for these, about")
    known.add_argument("--databases", type=int, default=50, help="number of small databases")
    known.add_argument("--small-rounds", type=int, default=5, help="the same for small databases")
    return known.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    options = arguments(given)
    for title, lines in measured(options):
        publish(options.report, title, lines)


if __name__ == "__main__":
    sys.exit(main())
