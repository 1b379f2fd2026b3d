# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL's system catalogues say about a database (PostgreSQL manual, "System Catalogs")."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..base import SCRATCH_PREFIX

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

STAGING_PREFIX = "vya-backupdb-"
"""What the names of unfinished and replaced databases of restores start with."""
STAGING_NAMES = rf"^{STAGING_PREFIX}(restore|old)-[0-9a-f]{{12}}$"
OUR_NAMES = rf"{STAGING_NAMES}|^{SCRATCH_PREFIX}[0-9a-f]{{12}}$"
"""Databases with such names are never listed, and dropped once nobody works on them; a user's may begin in the same
way."""

SYSTEM_DATABASES = ("postgres", "template0", "template1")

_SETTLED_SESSION = (
    "SET search_path = ''",
    "SET row_security = off",
    "SET standard_conforming_strings = on",
    "SET synchronize_seqscans = off",
    "SET constraint_exclusion = off",
    # which of them there are depends on the version
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_in_transaction_session_timeout', "
    "'idle_session_timeout', 'statement_timeout', 'transaction_timeout')",
)


def settle(connection: sa.Connection) -> None:
    """Makes a session hide no row, keep no time limit, name everything with its schema, and run no CHECK of a table."""
    for statement in _SETTLED_SESSION:
        connection.execute(sa.text(statement))


@dataclass(frozen=True)
class Relation:
    """A table that holds or groups rows: ``kind`` is ``r`` (table or leaf partition) or ``p`` (partitioned)."""

    oid: int
    schema: str
    name: str
    kind: str
    unlogged: bool
    size_bytes: int = 0

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}"


def relations(connection: sa.Connection) -> list[Relation]:
    """The tables that a dump holds, without sizes: not the system's, not temporary, not made by an extension."""
    found = connection.execute(
        sa.text("""
            SELECT c.oid::bigint AS oid, n.nspname, c.relname, c.relkind::text AS kind,
                   c.relpersistence = 'u' AS unlogged
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
              AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
              AND NOT EXISTS (SELECT FROM pg_depend d
                              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
            ORDER BY n.nspname, c.relname""")
    )
    return [Relation(row.oid, row.nspname, row.relname, row.kind, row.unlogged) for row in found]


def sizes(connection: sa.Connection, oids: Sequence[int]) -> dict[int, int]:
    """Bytes of each table with its TOAST table, without its indexes."""
    found = connection.execute(
        sa.text("SELECT oid::bigint, pg_table_size(oid) FROM unnest(CAST(:oids AS bigint[])::oid[]) AS o(oid)"),
        {"oids": list(oids)},
    )
    return {oid: size or 0 for oid, size in found}


@dataclass(frozen=True)
class Heap:
    """What is needed to copy an ordinary heap table by pages: its number of pages and its stored columns."""

    pages: int
    columns: tuple[str, ...]


def heaps(connection: sa.Connection, oids: Sequence[int]) -> dict[int, Heap]:
    """Those of the tables that are heaps with at least one column that is not generated."""
    found = connection.execute(
        sa.text("""
            SELECT c.oid::bigint AS oid, pg_relation_size(c.oid) / current_setting('block_size')::int AS pages,
                   array_agg(a.attname::text ORDER BY a.attnum) AS columns
            FROM pg_class c
            JOIN pg_am m ON m.oid = c.relam AND m.amname = 'heap'
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
            WHERE c.oid = ANY (CAST(:oids AS bigint[])::oid[])
            GROUP BY c.oid"""),
        {"oids": list(oids)},
    )
    return {row.oid: Heap(row.pages, tuple(row.columns)) for row in found}


def partitions(connection: sa.Connection) -> dict[int, set[int]]:
    """For every partitioned table all that is below it, at any depth."""
    found = connection.execute(
        sa.text("""
            SELECT p.partrelid::bigint, array_agg(t.relid::oid::bigint)
            FROM pg_partitioned_table p, pg_partition_tree(p.partrelid) t
            WHERE t.relid <> p.partrelid GROUP BY 1""")
    )
    return {parent: set(below) for parent, below in found}


def hashed_enums(connection: sa.Connection) -> set[int]:
    """Tables partitioned by the hash of an enum: it differs in every database, so rows change their partition."""
    found = connection.execute(
        sa.text("""
            SELECT DISTINCT p.partrelid::bigint
            FROM pg_partitioned_table p, unnest(p.partclass::oid[]) AS k(opclass), pg_opclass o
            WHERE p.partstrat = 'h' AND o.oid = k.opclass AND o.opcname = 'enum_ops'""")
    )
    return {oid for (oid,) in found}


def holds_money(connection: sa.Connection) -> bool:
    """Whether any column, domain or range is of the type money."""
    return bool(
        connection.execute(
            sa.text("""
                WITH money AS (SELECT unnest(ARRAY['money'::regtype, 'money[]'::regtype])::oid AS oid)
                SELECT EXISTS (SELECT FROM pg_attribute JOIN money ON oid = atttypid WHERE NOT attisdropped)
                    OR EXISTS (SELECT FROM pg_type t JOIN money m ON m.oid = t.typbasetype)
                    OR EXISTS (SELECT FROM pg_range JOIN money ON oid = rngsubtype)""")
        ).scalar_one()
    )


def object_counts(connection: sa.Connection) -> dict[str, int]:
    """The number of views (materialized too), routines, triggers and event triggers, without those of extensions."""
    row = connection.execute(
        sa.text("""
            WITH own AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
                 extended AS (SELECT classid, objid FROM pg_depend WHERE deptype = 'e')
            SELECT
              (SELECT count(*) FROM pg_class c WHERE relkind IN ('v', 'm') AND relnamespace IN (SELECT oid FROM own)
                 AND ('pg_class'::regclass, c.oid) NOT IN (SELECT classid, objid FROM extended)) AS views,
              (SELECT count(*) FROM pg_proc p WHERE pronamespace IN (SELECT oid FROM own)
                 AND ('pg_proc'::regclass, p.oid) NOT IN (SELECT classid, objid FROM extended)) AS routines,
              (SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
                 WHERE NOT t.tgisinternal AND c.relnamespace IN (SELECT oid FROM own)) AS triggers,
              (SELECT count(*) FROM pg_event_trigger e
                 WHERE ('pg_event_trigger'::regclass, e.oid) NOT IN (SELECT classid, objid FROM extended)) AS events""")
    ).one()
    return dict(row._mapping)


def schema_sha256(connection: sa.Connection) -> str:
    """SHA-256 over a canonical listing of tables, columns, types, constraints and indexes, without any oid."""
    found = connection.execute(
        sa.text("""
            WITH own AS (
                SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't')
            SELECT line FROM (
                SELECT jsonb_build_array('relation', c.oid::regclass::text, c.relkind::text, c.relpersistence::text,
                         pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid), c.reloptions,
                         ARRAY(SELECT inhparent::regclass::text FROM pg_inherits
                               WHERE inhrelid = c.oid ORDER BY inhseqno),
                         CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END)::text AS line
                FROM own c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c', 'S')
              UNION ALL
                SELECT jsonb_build_array('column', c.oid::regclass::text,
                         row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname,
                         format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text, a.attgenerated::text,
                         pg_get_expr(d.adbin, d.adrelid),
                         (SELECT collname FROM pg_collation l WHERE l.oid = a.attcollation))::text
                FROM own c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
                WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
              UNION ALL
                SELECT jsonb_build_array('constraint', k.conrelid::regclass::text, k.contypid::regtype::text, k.conname,
                         pg_get_constraintdef(k.oid))::text
                FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
                WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
              UNION ALL
                SELECT jsonb_build_array('index', pg_get_indexdef(c.oid))::text FROM own c WHERE c.relkind IN ('i', 'I')
              UNION ALL
                SELECT jsonb_build_array('type', t.oid::regtype::text, t.typtype::text, t.typdefault,
                         format_type(nullif(t.typbasetype, 0), t.typtypmod), t.typnotnull,
                         ARRAY(SELECT enumlabel::text FROM pg_enum
                               WHERE enumtypid = t.oid ORDER BY enumsortorder))::text
                FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
                WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND t.typtype IN ('d', 'e', 'r', 'm')
            ) AS listing ORDER BY line COLLATE "C" """),
        execution_options={"yield_per": 1000},
    )
    digest = hashlib.sha256()
    for (line,) in found:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def roles_named(connection: sa.Connection) -> dict[str, list[str]]:
    """The roles that a dump of the current database names: ``owners``, ``grantees`` and those of ``policies``.

    The catalogue of shared dependencies does not know the bootstrap superuser (oid 10), which is looked for apart.
    """
    found = connection.execute(
        sa.text("""
            SELECT DISTINCT r.rolname,
                   CASE d.deptype WHEN 'o' THEN 'owners' WHEN 'r' THEN 'policies' ELSE 'grantees' END
            FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
            WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype IN ('o', 'a', 'r')
              AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND NOT (d.deptype = 'o' AND (d.classid = 'pg_extension'::regclass OR EXISTS (
                SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')))
          UNION ALL
            SELECT rolname, 'owners' FROM pg_roles r WHERE r.oid = 10 AND (
                EXISTS (SELECT FROM pg_class WHERE relowner = r.oid AND oid >= 16384)
             OR EXISTS (SELECT FROM pg_proc WHERE proowner = r.oid AND oid >= 16384)
             OR EXISTS (SELECT FROM pg_type WHERE typowner = r.oid AND oid >= 16384)
             OR EXISTS (SELECT FROM pg_namespace WHERE nspowner = r.oid AND oid >= 16384)
             OR EXISTS (SELECT FROM pg_largeobject_metadata WHERE lomowner = r.oid))
            ORDER BY 1, 2""")
    )
    roles: dict[str, list[str]] = {"owners": [], "grantees": [], "policies": []}
    for name, use in found:
        roles[use].append(name)
    return roles


def names(connection: sa.Connection, query: str) -> list[str]:
    """The names that a query of one column gives."""
    return [str(name) for (name,) in connection.execute(sa.text(query))]


TABLESPACES_USED = """
    SELECT DISTINCT t.spcname FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
    WHERE t.spcname NOT LIKE 'pg\\_%' ORDER BY 1"""
SUBSCRIPTIONS = """
    SELECT subname FROM pg_subscription
    WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1"""
ROLES = "SELECT rolname FROM pg_roles"
TABLESPACES = "SELECT spcname FROM pg_tablespace"


def extensions(connection: sa.Connection) -> dict[str, str]:
    """The extensions of the current database with their versions."""
    found = connection.execute(sa.text("SELECT extname::text, extversion FROM pg_extension ORDER BY 1"))
    return {row[0]: row[1] for row in found}


def available_extensions(connection: sa.Connection) -> dict[str, str]:
    """The extensions that the server can install, with the versions that it would install."""
    found = connection.execute(sa.text("SELECT name::text, default_version FROM pg_available_extensions"))
    return {row[0]: row[1] for row in found}


def position(connection: sa.Connection) -> dict[str, Any]:
    """Where in the write-ahead log the server is; on a standby, what it has replayed."""
    lsn = connection.execute(
        sa.text(
            "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text"
        )
    ).scalar_one()
    return {"lsn": lsn}


def properties(connection: sa.Connection) -> dict[str, Any]:
    """The current database's own properties, as ``ALTER DATABASE``, ``GRANT`` and ``COMMENT`` can set them again."""
    row = connection.execute(
        sa.text("""
            SELECT to_jsonb(d) AS raw, pg_get_userbyid(d.datdba) AS owner, pg_encoding_to_char(d.encoding) AS encoding,
                   t.spcname AS tablespace, shobj_description(d.oid, 'pg_database') AS comment
            FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = current_database()""")
    ).one()
    acl = connection.execute(
        sa.text("""
            SELECT CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END AS grantee,
                   a.privilege_type AS privilege, a.is_grantable AS grantable
            FROM pg_database d, aclexplode(d.datacl) a WHERE d.datname = current_database() ORDER BY 1, 2""")
    )
    settings = connection.execute(
        sa.text("""
            SELECT r.rolname AS role, s.setconfig AS settings FROM pg_db_role_setting s
            LEFT JOIN pg_roles r ON r.oid = s.setrole
            WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1""")
    )
    raw = row.raw
    return {
        "owner": row.owner,
        "encoding": row.encoding,
        "collate": raw["datcollate"],
        "ctype": raw["datctype"],
        "locale_provider": {"i": "icu", "b": "builtin"}.get(raw.get("datlocprovider", "c"), "libc"),
        "locale": raw.get("datlocale", raw.get("daticulocale")),
        "icu_rules": raw.get("daticurules"),
        "tablespace": row.tablespace,
        "connection_limit": raw["datconnlimit"],
        "comment": row.comment,
        "acl": None if raw["datacl"] is None else [dict(grant._mapping) for grant in acl],
        "settings": [{"role": role, "settings": list(values)} for role, values in settings],
    }
