# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes from a target's database with tables that a restore replaces there."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .sql import literal, quoted, quoted_list

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

PUBLICATION_FILTERS = 15
"""From this version on publications may have some columns and rows of a table."""

_REPLACED = """
    replaced AS (
        SELECT c.oid, c.relkind, c.relname AS name, n.nspname AS schema
        FROM unnest(CAST(:schemas AS text[]), CAST(:names AS text[])) AS r(schema, name)
        JOIN pg_namespace n ON n.nspname = r.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = r.name)"""


def _found(connection: sa.Connection, query: str, tables: Iterable[tuple[str, str]]) -> list[Any]:
    named = list(tables)
    values = {"schemas": [schema for schema, _name in named], "names": [name for _schema, name in named]}
    return list(connection.execute(sa.text(f"WITH {_REPLACED} {query}"), values))


def other_partitions(connection: sa.Connection, tables: Iterable[tuple[str, str]]) -> list[str]:
    """Labels of the partitions of the tables, foreign tables too, that are not among them."""
    query = """
        SELECT DISTINCT n.nspname, c.relname FROM replaced r, pg_partition_tree(r.oid) t
        JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE r.relkind = 'p' AND t.relid NOT IN (SELECT oid FROM replaced) ORDER BY 1, 2"""
    return [f"{schema}.{name}" for schema, name in _found(connection, query, tables)]


@dataclass(frozen=True)
class Membership:
    """A table's place in a publication, which goes with the table."""

    publication: str
    schema: str
    table: str
    statement: str

    @property
    def title(self) -> str:
        """As an archive's listing names it."""
        return f"{self.schema} {self.publication} {self.table}"


def memberships(connection: sa.Connection, tables: Iterable[tuple[str, str]], version: int) -> list[Membership]:
    """The publications that name the tables, with column lists and row filters."""
    columns, condition = "NULL", "NULL"
    if version >= PUBLICATION_FILTERS:
        columns = """(SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute
                      WHERE attrelid = m.prrelid AND attnum = ANY (m.prattrs))"""
        condition = "pg_get_expr(m.prqual, m.prrelid)"
    query = f"""
        SELECT p.pubname, r.schema, r.name, {columns} AS columns, {condition} AS condition
        FROM replaced r JOIN pg_publication_rel m ON m.prrelid = r.oid JOIN pg_publication p ON p.oid = m.prpubid
        ORDER BY 1, 2, 3"""  # noqa: S608 - constants
    found = []
    for row in _found(connection, query, tables):
        parts = f" ({quoted_list(row.columns)})" if row.columns else ""
        where = f" WHERE ({row.condition})" if row.condition else ""
        statement = f"ALTER PUBLICATION {quoted(row.pubname)} ADD TABLE ONLY {quoted(row.schema, row.name)}"
        found.append(Membership(row.pubname, row.schema, row.name, statement + parts + where))
    return found


def subscribed(connection: sa.Connection, tables: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Labels of those of the tables that follow publishers, by subscription."""
    query = """
        SELECT s.subname, array_agg(r.schema || '.' || r.name ORDER BY 1) AS labels
        FROM replaced r JOIN pg_subscription_rel m ON m.srrelid = r.oid
        JOIN (SELECT DISTINCT subid, subname FROM pg_stat_subscription) s ON s.subid = m.srsubid
        GROUP BY 1 ORDER BY 1"""  # pg_subscription itself is not everybody's to read
    return {row.subname: row.labels for row in _found(connection, query, tables)}


def revocations(tables: Iterable[tuple[str, str]]) -> str:
    """A query that gives the statements which take from all but the owners what they have of tables and their
    sequences: default privileges of the target gave it, and a backup does not know of those."""
    named = ", ".join(f"{literal(quoted(*table))}::regclass" for table in tables)
    return f"""
        WITH restored AS (
            SELECT unnest(ARRAY[{named}])::oid AS oid
            UNION SELECT d.objid FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
                  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                    AND d.deptype IN ('a', 'i') AND d.refobjid IN ({named}))
        SELECT format('REVOKE ALL ON %s %I.%I FROM %s CASCADE',
                      CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname,
                      string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                                 ', '))
        FROM restored r JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace,
             aclexplode(c.relacl) a
        WHERE a.grantee <> c.relowner GROUP BY c.relkind, n.nspname, c.relname"""  # noqa: S608 - quoted
