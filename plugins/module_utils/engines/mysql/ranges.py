# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts large tables into ranges of their primary key, of about the same number of rows each.

Where to cut is asked of the optimizer, whose estimate for a range of the primary key takes two dives into the tree and
reads no rows (MySQL manual, "Range Optimization", "Equality Range Optimization of Many-Valued Comparisons").
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from ..connect import run_quoted
from .catalog import TableInfo, quoted, written

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa


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
        """The rows of a range, as the optimizer guesses."""
        query = (
            sa.select(sa.literal_column("1"))
            .select_from(self._table)
            .with_hint(self._table, "FORCE INDEX (PRIMARY)", "*")
            .where(self._column >= first, self._column < end)
        )
        explained = run_quoted(self._connection, f"EXPLAIN {written(query)}")
        return sum(int(row["rows"] or 0) for row in explained.mappings())

    def cut(self, first: int, end: int, share: float) -> int:
        """The value below which about that share of a range's rows lies."""
        low, high = first, end
        while high - low > 1:
            middle = (low + high) // 2
            below, above = self.estimate(first, middle), self.estimate(middle, end)
            if below < share * (below + above):
                low = middle
            else:
                high = middle
        return high


def cut(
    connection: sa.Connection, database: str, tables: Mapping[str, TableInfo], pieces: Mapping[str, int]
) -> dict[str, list[str]]:
    """Conditions that cut each table in so many pieces, together all rows once. ``pieces`` are of tables that have a
    ``range_column``; one with too few different values is left out."""
    found = {}
    for name, wanted in pieces.items():
        key = _Key(connection, database, name, str(tables[name].range_column))
        bounds = key.bounds()
        if bounds is None:
            continue
        first, end = bounds[0], bounds[1] + 1
        cuts: list[int | None] = [None]
        for left in range(wanted, 1, -1):
            first = key.cut(first, end, 1 / left)
            if first >= end:
                break
            cuts.append(first)
        if len(cuts) > 1:
            found[name] = [key.condition(*limits) for limits in zip(cuts, [*cuts[1:], None], strict=True)]
    return found
