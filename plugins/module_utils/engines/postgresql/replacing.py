# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes from a target's database with tables that a restore replaces there."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

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
