# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads privileges from access control lists (PostgreSQL manual, "Privileges").

A list that is null stands for the privileges that everybody has by default. What counts is the difference from these,
or from what initdb or an extension gave (pg_init_privs): what was granted beyond, and what was taken away. So what
owners may do is no grant, and a ``REVOKE … FROM PUBLIC`` is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..model import Grant
from .names import BOOTSTRAP_OID

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

PARAMETER_PRIVILEGES = 150000
"""The version from which on there are privileges on parameters."""

# kind, schema, name, arguments, column, position, class, object, part, owner, list, default list
# What information_schema.sql grants to PUBLIC is not in pg_init_privs.
_IN_DATABASE = """
    SELECT 'schema', NULL::text, nspname::text, NULL::text, NULL::text, 0, 'pg_namespace'::regclass, oid, 0, nspowner,
           nspacl, acldefault('n', nspowner) || CASE WHEN nspname = 'information_schema'
                     THEN ARRAY[makeaclitem(0, nspowner, 'USAGE', false)] ELSE '{}' END
    FROM pg_namespace WHERE nspacl IS NOT NULL AND nspname !~ '^pg_(toast_)?temp_'
  UNION ALL
    SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, nspname, relname, NULL, NULL, 0,
           'pg_class'::regclass, c.oid, 0, relowner, relacl,
           acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)
             || CASE WHEN nspname = 'information_schema'
                     THEN ARRAY[makeaclitem(0, relowner, 'SELECT', false)] ELSE '{}' END
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relacl IS NOT NULL AND relpersistence <> 't'
  UNION ALL
    SELECT 'table', nspname, relname, NULL, attname, attnum, 'pg_class'::regclass, c.oid, attnum, relowner, attacl,
           acldefault('c', relowner)
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
    WHERE attacl IS NOT NULL AND NOT attisdropped AND relpersistence <> 't'
  UNION ALL
    SELECT CASE prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, nspname, proname,
           CASE prokind WHEN 'p' THEN pg_get_function_identity_arguments(p.oid) ELSE oidvectortypes(proargtypes) END,
           NULL, 0, 'pg_proc'::regclass, p.oid, 0, proowner, proacl, acldefault('f', proowner)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE proacl IS NOT NULL
  UNION ALL
    SELECT 'type', nspname, typname, NULL, NULL, 0, 'pg_type'::regclass, t.oid, 0, typowner, typacl,
           acldefault('T', typowner)
    FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE typacl IS NOT NULL
  UNION ALL
    SELECT 'language', NULL, lanname, NULL, NULL, 0, 'pg_language'::regclass, oid, 0, lanowner, lanacl,
           acldefault('l', lanowner)
    FROM pg_language WHERE lanacl IS NOT NULL
  UNION ALL
    SELECT 'foreign data wrapper', NULL, fdwname, NULL, NULL, 0, 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwowner,
           fdwacl, acldefault('F', fdwowner)
    FROM pg_foreign_data_wrapper WHERE fdwacl IS NOT NULL
  UNION ALL
    SELECT 'foreign server', NULL, srvname, NULL, NULL, 0, 'pg_foreign_server'::regclass, oid, 0, srvowner, srvacl,
           acldefault('S', srvowner)
    FROM pg_foreign_server WHERE srvacl IS NOT NULL
  UNION ALL
    SELECT 'large object', NULL, oid::text, NULL, NULL, 0, 'pg_largeobject'::regclass, oid, 0, lomowner, lomacl,
           acldefault('L', lomowner)
    FROM pg_largeobject_metadata WHERE lomacl IS NOT NULL"""
# Those for one schema are added to the default ones; the others stand in their place (PostgreSQL manual,
# "pg_default_acl"). Nobody has a privilege on a column by default: that list is empty, and still one.
_DEFAULTS = """
    SELECT 'default ' || CASE defaclobjtype WHEN 'r' THEN 'table' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'function'
               WHEN 'T' THEN 'type' WHEN 'n' THEN 'schema' WHEN 'L' THEN 'large object' END,
           nspname, NULL, NULL, NULL, 0, 'pg_default_acl'::regclass, d.oid, 0, defaclrole, defaclacl,
           CASE WHEN defaclnamespace = 0
                THEN acldefault(CASE defaclobjtype WHEN 'S' THEN 's' ELSE defaclobjtype END, defaclrole)
                ELSE acldefault('c', defaclrole) END
    FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = defaclnamespace"""
# initdb gives PUBLIC no TEMPORARY on its templates.
_SHARED = """
    SELECT 'database', NULL::text, datname::text, NULL::text, NULL::text, 0, 'pg_database'::regclass, oid, 0, datdba,
           datacl, CASE WHEN datname IN ('template0', 'template1')
                        THEN ARRAY[makeaclitem(0, datdba, 'CONNECT', false),
                                   makeaclitem(datdba, datdba, 'CREATE', false),
                                   makeaclitem(datdba, datdba, 'TEMPORARY', false),
                                   makeaclitem(datdba, datdba, 'CONNECT', false)]
                        ELSE acldefault('d', datdba) END
    FROM pg_database WHERE datacl IS NOT NULL AND NOT starts_with(datname, :staging)
  UNION ALL
    SELECT 'tablespace', NULL, spcname, NULL, NULL, 0, 'pg_tablespace'::regclass, oid, 0, spcowner, spcacl,
           acldefault('t', spcowner)
    FROM pg_tablespace WHERE spcacl IS NOT NULL"""
_PARAMETERS = f"""
  UNION ALL
    SELECT 'parameter', NULL, parname, NULL, NULL, 0, 'pg_parameter_acl'::regclass, oid, 0, {BOOTSTRAP_OID}, paracl,
           acldefault('p', {BOOTSTRAP_OID})
    FROM pg_parameter_acl"""  # noqa: S608 - a number


def _differences(objects: str) -> str:
    """A query for the privileges that objects' lists have beyond the usual ones, and for those that they lack.

    The grantor of a privilege is null where it is the object's owner, whom superusers grant for.
    """
    return f"""
        WITH object (kind, schema, name, arguments, column_name, position, class, id, part, owner, acl, standard)
                 AS ({objects}),
             list AS (SELECT o.*, coalesce(i.initprivs, o.standard) AS usual FROM object o
                      LEFT JOIN pg_init_privs i ON (i.classoid, i.objoid, i.objsubid) = (o.class, o.id, o.part))
        SELECT kind, schema, name, arguments, column_name, owner::bigint AS owner, p.revoked,
               p.grantee::bigint AS grantee, nullif(p.grantor, owner)::bigint AS grantor, p.privilege, p.grantable
        FROM list, LATERAL (
          ( SELECT false AS revoked, grantee, grantor, privilege_type AS privilege, is_grantable AS grantable
            FROM aclexplode(acl) WHERE grantee <> owner OR kind LIKE 'default %'
          EXCEPT
            SELECT false, grantee, grantor, privilege_type, is_grantable FROM aclexplode(usual))
          UNION ALL
          ( SELECT true, grantee, NULL::oid, privilege_type, false FROM aclexplode(usual)
          EXCEPT
            SELECT true, grantee, NULL::oid, privilege_type, false FROM aclexplode(acl))) p
        WHERE acl IS DISTINCT FROM usual
        ORDER BY kind, schema, name, arguments, position, p.privilege, p.grantor, p.revoked"""  # noqa: S608 - constants


@dataclass(frozen=True)
class Held:
    """A privilege, the oid of the role that has it (0 is PUBLIC), and the name of the object's owner."""

    grantee: int
    grant: Grant
    owner: str | None


def _grants(rows: Iterable[Any], roles: Mapping[int, str], database: tuple[str, ...]) -> Iterator[Held]:
    for row in rows:
        owner = (roles.get(row.owner, ""),) if row.kind.startswith("default ") else ()
        parts = (*owner, row.schema, row.name, row.arguments)
        name = (*database, *(part for part in parts if part is not None))
        columns = () if row.column_name is None else (row.column_name,)
        grantor = None if row.grantor is None else roles.get(row.grantor)
        grant = Grant(row.kind, name, row.privilege, columns, row.grantable, grantor, row.revoked)
        yield Held(row.grantee, grant, roles.get(row.owner))


def shared_privileges(
    connection: sa.Connection, roles: Mapping[int, str], version: int, staging: str
) -> Iterable[Held]:
    """Privileges on databases, tablespaces, parameters. Databases whose names start with ``staging`` are left out."""
    query = _SHARED + (_PARAMETERS if version >= PARAMETER_PRIVILEGES else "")
    return _grants(connection.execute(sa.text(_differences(query)), {"staging": staging}), roles, ())


def privileges(connection: sa.Connection, roles: Mapping[int, str], database: str) -> Iterable[Held]:
    """Privileges on all that is in the current database, and on what will be."""
    rows = connection.execute(sa.text(_differences(f"{_IN_DATABASE} UNION ALL {_DEFAULTS}")))
    return _grants(rows, roles, (database,))
