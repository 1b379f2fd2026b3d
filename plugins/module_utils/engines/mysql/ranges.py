# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts large tables into ranges of their primary key, of about the same number of rows each.

Where to cut is asked of the optimizer, whose estimate for a range of the primary key takes two dives into the tree and
reads no rows (MySQL manual, "Range Optimization", "Equality Range Optimization of Many-Valued Comparisons").
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

from ..connect import run_quoted
from .catalog import TableInfo, quoted, written
from .keys import Keys, keys_between

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

SLICES_A_PIECE = 8
MOST_SLICES = 1000
"""Each takes a question to the server, of a fraction of a millisecond."""


def _row(value: sa.ColumnElement[Any], number: int) -> sa.Select[Any]:
    place: sa.ColumnElement[int] = sa.literal_column(str(number))
    return sa.select(value.label("value"), place.label("place"))


class _Cutter:
    """Cuts one table by the first column of its primary key."""

    def __init__(self, connection: sa.Connection, table: sa.TableClause, keys: Keys) -> None:
        (self._key,) = table.c
        self._connection, self._table = connection, table
        self._quoted, self._keys = quoted(self._key.name), keys

    def condition(self, first: str | None, end: str | None) -> str:
        """Rows from a value on and below another, both as SQL; None is no limit."""
        limits = [] if first is None else [f"{self._quoted} >= {first}"]
        limits += [] if end is None else [f"{self._quoted} < {end}"]
        return " AND ".join(limits)

    def estimate(self, first: int, end: int) -> int:
        """The rows of a range, as the optimizer guesses. MySQL does not look where an index is forced."""
        one: sa.ColumnElement[int] = sa.literal_column("1")
        query = sa.select(one).select_from(self._table).with_hint(self._table, "USE INDEX (PRIMARY)", "*")
        where = self.condition(self._keys.written(first), self._keys.written(end))
        explained = run_quoted(self._connection, f"EXPLAIN FORMAT=TRADITIONAL {written(query)} WHERE {where}")
        return sum(int(row["rows"] or 0) for row in explained.mappings())

    def slices(self, wanted: int) -> list[tuple[int, int, int]]:
        """The whole range in slices (first, end, rows), none of which has much more than its share of the rows.

        The optimizer overrates large ranges and takes none for more than half of the table, so the heaviest slice is
        halved again and again.
        """
        first, end = self._keys.first, self._keys.last + 1
        heap = [(-self.estimate(first, end), first, end)]
        while len(heap) < MOST_SLICES:
            weight, first, end = heap[0]
            if end - first < 2 or (len(heap) > 1 and -weight * wanted <= -sum(rows for rows, _first, _end in heap)):
                break
            middle = (first + end) // 2
            heapq.heapreplace(heap, (-self.estimate(first, middle), first, middle))
            heapq.heappush(heap, (-self.estimate(middle, end), middle, end))
        return sorted((first, end, -rows) for rows, first, end in heap)

    def cuts(self, pieces: int) -> list[str]:
        """The values at which to cut, as SQL: fewer where there are too few different values."""
        slices = self.slices(pieces * SLICES_A_PIECE)
        share = sum(rows for _first, _end, rows in slices) / pieces
        found: list[int] = []
        seen = 0.0
        for first, end, rows in slices:
            while len(found) < pieces - 1 and seen + rows >= (len(found) + 1) * share:
                inside = ((len(found) + 1) * share - seen) / max(rows, 1)
                found.append(first + round((end - first) * inside))
            seen += rows
        inner = sorted({value for value in found if slices[0][0] < value < slices[-1][1]})
        return self._ordered([self._keys.written(value) for value in inner])

    def _ordered(self, values: list[str]) -> list[str]:
        """Values as the server compares them in the column, those that are the same to it once: its collation may have
        its own mind of that, and limits out of order would give rows twice. Sorting would look at their first
        max_sort_length bytes only."""
        of_the_column = _row(self._key, 0).select_from(self._table).where(sa.false())
        rows = [_row(sa.literal_column(value), number) for number, value in enumerate(values)]
        own, other = (sa.union_all(of_the_column, *rows).subquery(name) for name in ("own", "other"))
        lower = sa.func.sum(sa.case((other.c.value < own.c.value, 1), else_=0))
        query = sa.select(own.c.place, lower).join_from(own, other, sa.true()).group_by(own.c.place)
        places = {int(rank): place for place, rank in self._connection.execute(query)}
        return [values[places[rank]] for rank in sorted(places)]


def cut(
    connection: sa.Connection, database: str, tables: Mapping[str, TableInfo], pieces: Mapping[str, int]
) -> dict[str, list[str]]:
    """Conditions that cut each table in so many pieces, together all rows once. One without a ``range_column`` or with
    too few different values is left out."""
    found = {}
    for name, wanted in pieces.items():
        column = tables[name].range_column
        if column is None:
            continue
        key: sa.ColumnClause[Any] = sa.column(column.name)
        table = sa.table(name, key, schema=database)
        low, high = connection.execute(sa.select(sa.func.min(key), sa.func.max(key)).select_from(table)).one()
        if low is None:
            continue
        cutter = _Cutter(connection, table, keys_between(column, low, high))
        limits = [None, *cutter.cuts(wanted), None]
        if len(limits) > 2:
            found[name] = [cutter.condition(first, end) for first, end in pairwise(limits)]
    return found
