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

from ..connect import run_quoted
from .catalog import TableInfo, quoted, written

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

SLICES_A_PIECE = 8
MOST_SLICES = 1000
"""Each takes a question to the server, of a fraction of a millisecond."""


class _Key:
    """The column that a table is cut by."""

    def __init__(self, connection: sa.Connection, database: str, table: str, column: str) -> None:
        self._connection, self._quoted = connection, quoted(column)
        self._column: sa.ColumnClause[int] = sa.column(column)
        self._table = sa.table(table, self._column, schema=database)

    def condition(self, first: int | None, end: int | None) -> str:
        """Rows from ``first`` on and below ``end``; None is no limit."""
        limits = [] if first is None else [f"{self._quoted} >= {first}"]
        limits += [] if end is None else [f"{self._quoted} < {end}"]
        return " AND ".join(limits)

    def bounds(self) -> tuple[int, int] | None:
        """The lowest and the highest value; None for an empty table."""
        low, high = self._connection.execute(sa.select(sa.func.min(self._column), sa.func.max(self._column))).one()
        return None if low is None else (int(low), int(high))

    def estimate(self, first: int, end: int) -> int:
        """The rows of a range, as the optimizer guesses. MySQL does not look where an index is forced."""
        one: sa.ColumnElement[int] = sa.literal_column("1")
        query = (
            sa.select(one)
            .select_from(self._table)
            .with_hint(self._table, "USE INDEX (PRIMARY)", "*")
            .where(self._column >= first, self._column < end)
        )
        explained = run_quoted(self._connection, f"EXPLAIN FORMAT=TRADITIONAL {written(query)}")
        return sum(int(row["rows"] or 0) for row in explained.mappings())

    def slices(self, wanted: int) -> list[tuple[int, int, int]]:
        """The whole range in slices (first, end, rows), none of which has much more than its share of the rows.

        The optimizer overrates large ranges and takes none for more than half of the table, so the heaviest slice is
        halved again and again. Empty for an empty table.
        """
        bounds = self.bounds()
        if bounds is None:
            return []
        first, end = bounds[0], bounds[1] + 1
        heap = [(-self.estimate(first, end), first, end)]
        while len(heap) < MOST_SLICES:
            weight, first, end = heap[0]
            if end - first < 2 or (len(heap) > 1 and -weight * wanted <= -sum(rows for rows, _first, _end in heap)):
                break
            middle = (first + end) // 2
            heapq.heapreplace(heap, (-self.estimate(first, middle), first, middle))
            heapq.heappush(heap, (-self.estimate(middle, end), middle, end))
        return sorted((first, end, -rows) for rows, first, end in heap)

    def cuts(self, pieces: int) -> list[int]:
        """The values at which to cut, in their order: fewer where there are too few different values."""
        slices = self.slices(pieces * SLICES_A_PIECE)
        share = sum(rows for _first, _end, rows in slices) / pieces
        found: list[int] = []
        seen = 0.0
        for first, end, rows in slices:
            while len(found) < pieces - 1 and seen + rows >= (len(found) + 1) * share:
                inside = ((len(found) + 1) * share - seen) / max(rows, 1)
                found.append(first + round((end - first) * inside))
            seen += rows
        return sorted({value for value in found if slices[0][0] < value < slices[-1][1]})


def cut(
    connection: sa.Connection, database: str, tables: Mapping[str, TableInfo], pieces: Mapping[str, int]
) -> dict[str, list[str]]:
    """Conditions that cut each table in so many pieces, together all rows once. ``pieces`` are of tables that have a
    ``range_column``; one with too few different values is left out."""
    found = {}
    for name, wanted in pieces.items():
        key = _Key(connection, database, name, str(tables[name].range_column))
        limits = [None, *key.cuts(wanted), None]
        if len(limits) > 2:
            found[name] = [key.condition(first, end) for first, end in pairwise(limits)]
    return found
