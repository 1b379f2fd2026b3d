# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that can be said of a PostgreSQL database, found with pg_dump's schema text and the raw driver only."""

from __future__ import annotations

import subprocess
from typing import Any

from ansible_collections.vya.backupdb.plugins.module_utils.commands import find_programs

from .postgres import BINARIES, PostgresServer, quoted

_NOT_SYSTEM = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"


def schema_text(server: PostgresServer, database: str, *arguments: str) -> str:
    """What `pg_dump --schema-only` prints, without the lines that differ from run to run."""
    program = find_programs(["pg_dump"], [BINARIES])[0]
    told = ["--host", str(server.folder), "--port", str(server.port), "--username=postgres", "--dbname", database]
    done = subprocess.run([program, "--schema-only", *told, *arguments], capture_output=True, check=True)
    text = done.stdout.decode(errors="surrogateescape")
    return "\n".join(line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


def rows(server: PostgresServer, database: str) -> dict[str, Any]:
    """Number and ordered digest of the rows of every table, materialized view and sequence; whether it is filled."""
    relations = server.run(
        database,
        f"""SELECT n.nspname, c.relname, c.relkind, c.relispopulated, c.relpersistence
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'm', 'S') AND c.relpersistence <> 't' AND {_NOT_SYSTEM} ORDER BY 1, 2""",
    )
    facts: dict[str, Any] = {}
    for schema, name, kind, filled, persistence in relations:
        digest: Any = None
        columns = "last_value, is_called" if kind == "S" else "t.*"
        if filled:
            digest = server.run(
                database,
                "SET DateStyle = ISO; SET extra_float_digits = 3",
                f"""SELECT count(*), md5(string_agg(line, E'\\n' ORDER BY line COLLATE "C"))
                    FROM (SELECT ROW({columns})::text AS line FROM ONLY {quoted(schema, name)} t) AS lines""",
            )[0]
        facts[f"{schema}.{name}"] = (kind, persistence, digest)
    return facts


def large_objects(server: PostgresServer, database: str) -> list[tuple[Any, ...]]:
    return server.run(
        database,
        """SELECT oid, pg_get_userbyid(lomowner), lomacl::text, obj_description(oid, 'pg_largeobject'),
                  md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY oid""",
    )


def properties(server: PostgresServer, database: str) -> dict[str, Any]:
    """The row of pg_database as the server prints it, with comment and settings, without numbers of this server."""
    (row,) = server.run(
        database,
        """SELECT ARRAY(SELECT unnest(datacl)::text ORDER BY 1),
                  to_jsonb(d) - ARRAY['oid', 'datname', 'datdba', 'dattablespace', 'datacl']
                    - ARRAY['datfrozenxid', 'datminmxid'],
                  pg_get_userbyid(datdba), (SELECT spcname FROM pg_tablespace t WHERE t.oid = dattablespace),
                  shobj_description(oid, 'pg_database'),
                  ARRAY(SELECT (setrole::regrole::text, setconfig)::text FROM pg_db_role_setting
                        WHERE setdatabase = d.oid ORDER BY 1)
           FROM pg_database d WHERE datname = current_database()""",
    )
    return dict(zip(("acl", "row", "owner", "tablespace", "comment", "settings"), row, strict=True))


def facts(server: PostgresServer, database: str) -> dict[str, Any]:
    """Everything; equal for databases that are the same."""
    return {
        "schema": schema_text(server, database),
        "rows": rows(server, database),
        "large objects": large_objects(server, database),
        "properties": properties(server, database),
    }
