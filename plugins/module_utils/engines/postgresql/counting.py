# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the rows of tables, without running the functions of their owners.

The planner of any query computes what is constant in the expressions of indexes and extended statistics (plancat.c,
get_relation_info), in the name of who asks. COPY of a whole table has no planner: with it are counted, and copied,
the tables where such an expression calls what is not PostgreSQL's own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..base import Table
from ..connect import run_quoted
from .catalog import Relation
from .sql import copy_out, literal, quoted

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import psycopg
    import sqlalchemy as sa

COUNTS_A_QUERY = 100

CALLING = """
    WITH calling AS (
        SELECT coalesce(i.indrelid, s.stxrelid) AS oid FROM pg_depend d
        LEFT JOIN pg_index i ON d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
        LEFT JOIN pg_statistic_ext s ON d.classid = 'pg_statistic_ext'::regclass AND d.objid = s.oid
        WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
           OR d.refclassid = 'pg_type'::regclass AND d.refobjid NOT IN (
                SELECT unnest(ARRAY[oid, typarray]) FROM pg_type WHERE typtype = 'e')),
      within AS (
        SELECT oid AS top, oid FROM pg_class WHERE relkind = 'r'
        UNION ALL SELECT p.partrelid, t.relid FROM pg_partitioned_table p, pg_partition_tree(p.partrelid) t)
    SELECT w.top::bigint AS oid, tn.nspname AS schema, t.relname AS name, ln.nspname AS leaf_schema,
           l.relname AS leaf, getdatabaseencoding() AS encoding,
           ARRAY(SELECT attname::text FROM pg_attribute
                 WHERE attrelid = l.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
                 ORDER BY attlen < 0, attlen, attnum LIMIT 1) AS columns
    FROM within w
    JOIN pg_class t ON t.oid = w.top JOIN pg_namespace tn ON tn.oid = t.relnamespace
    JOIN pg_class l ON l.oid = w.oid AND l.relkind = 'r' JOIN pg_namespace ln ON ln.oid = l.relnamespace
    WHERE w.top IN (SELECT top FROM within JOIN calling USING (oid))"""
"""A row for each table that a planner must not see; of a partitioned one for each leaf. ``columns`` is a narrow one, or
none. Enums are no danger: what works on them is PostgreSQL's own."""

Statements = dict[tuple[str, str], list[str]]


def copies(rows: Iterable[Mapping[str, Any]]) -> Statements:
    """From rows of CALLING, by schema and name of the table: COPY statements that together give a line a row."""
    found: Statements = defaultdict(list)
    for row in rows:
        leaf = row["leaf_schema"], row["leaf"]
        copy = copy_out(*leaf, row["columns"], row["encoding"], (0, None)) if row["columns"] else None
        found[row["schema"], row["name"]].append(copy or f"COPY {quoted(*leaf)} TO STDOUT")
    return dict(found)


def calling(connection: sa.Connection) -> set[int]:
    """The oids of the tables that a planner must not see."""
    return {row.oid for row in connection.execute(sa.text(CALLING))}


def counting(relations: Mapping[int, Relation]) -> list[str]:
    """Queries that together count the rows of each relation: its key, and the rows."""
    selects = [
        f"SELECT {key} AS position, count(*) AS rows FROM {'ONLY ' if relation.kind == 'r' else ''}"  # noqa: S608 - names are quoted
        + quoted(relation.schema, relation.name)
        for key, relation in relations.items()
    ]
    return [" UNION ALL ".join(selects[i : i + COUNTS_A_QUERY]) for i in range(0, len(selects), COUNTS_A_QUERY)]


def planned(relations: Sequence[Relation], apart: Statements) -> dict[int, Relation]:
    """The relations that a query may count, by their positions."""
    return {
        position: relation
        for position, relation in enumerate(relations)
        if (relation.schema, relation.name) not in apart
    }


def counting_script(relations: Sequence[Relation], apart: Statements) -> Iterable[str]:
    """Lines for psql that print, once or more for each relation, its position and rows."""
    for query in counting(planned(relations, apart)):
        yield f"{query};"
    for position, relation in enumerate(relations):
        for statement in apart.get((relation.schema, relation.name), ()):
            yield f"{statement} \\g /dev/null"
            yield f"\\echo {position}|:ROW_COUNT"


def _lines(connection: sa.Connection, statement: str) -> int:
    driver = connection.connection.driver_connection
    try:
        with driver.cursor().copy(statement) as copy:  # type: ignore[union-attr]
            return sum(bytes(data).count(b"\n") for data in copy)
    except psycopg.Error as error:
        raise sa.exc.DBAPIError(statement, None, error) from None


def count_rows(connection: sa.Connection, relations: Sequence[Relation], snapshot: str | None = None) -> list[Table]:
    """Counts the rows of relations; an inheritance parent's or a leaf partition's own rows, a ``p`` one's all rows.

    Every query is a transaction, for in one the locks of all indexes would add up; ``snapshot`` is an exported one.
    """

    def begin() -> None:
        if snapshot is not None:
            run_quoted(connection, f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")

    apart = copies(dict(row._mapping) for row in connection.execute(sa.text(CALLING)))
    connection.commit()
    rows: Counter[int] = Counter()
    for query in counting(planned(relations, apart)):
        begin()
        rows.update({row.position: row.rows for row in run_quoted(connection, query)})
        connection.commit()
    for position, relation in enumerate(relations):
        for statement in apart.get((relation.schema, relation.name), ()):
            begin()
            rows[position] += _lines(connection, statement)
            connection.commit()
    return [
        Table(relation.schema, relation.name, rows[position], relation.size_bytes)
        for position, relation in enumerate(relations)
    ]
