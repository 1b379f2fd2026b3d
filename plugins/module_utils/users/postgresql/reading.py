# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the roles of a PostgreSQL server.

``pg_authid`` has the passwords' hashes and is for superusers; ``pg_roles`` shows the rest to everybody. The shared
catalogues' names are read in one database and found by oid from others, whose encoding may be another one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ...engines.postgresql import catalog
from ...errors import BackupdbError
from ..model import Account, Accounts, Authentication, Grant, Membership, Setting
from .acl import Held, privileges, shared_privileges
from .names import BOOTSTRAP_OID, PUBLIC_NAME, always_exists, label
from .sessions import Sessions, version_of

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

MEMBERSHIP_OPTIONS = 160000
"""The version from which on memberships have options of their own, and grantors that count."""
SCRAM, MD5, UNKNOWN = "scram-sha-256", "md5", "password"
"""How an account logs in; UNKNOWN has no hash, for it could not be read."""
FLAGS = {
    "SUPERUSER": "rolsuper",
    "CREATEDB": "rolcreatedb",
    "CREATEROLE": "rolcreaterole",
    "INHERIT": "rolinherit",
    "REPLICATION": "rolreplication",
    "BYPASSRLS": "rolbypassrls",
}
"""Attributes that are on or off, and their columns. Only INHERIT is on by default. LOGIN is told by ``is_role``."""
_UNLIMITED = -1
_ROLES = f"""
    SELECT oid::bigint, rolname::text, rolcanlogin, rolconnlimit, rolvaliduntil::text, {", ".join(FLAGS.values())},
           shobj_description(oid, 'pg_authid') AS comment
    FROM pg_roles ORDER BY rolname COLLATE "C" """  # noqa: S608 - columns' names
_MEMBERSHIPS = """
    SELECT roleid::bigint AS role, member::bigint, grantor::bigint, admin_option AS admin,
           (to_jsonb(m) ->> 'inherit_option')::bool AS inherit, (to_jsonb(m) ->> 'set_option')::bool AS set
    FROM pg_auth_members m"""
_SETTINGS = """
    SELECT setrole::bigint AS role, datname::text AS database, setting
    FROM pg_db_role_setting LEFT JOIN pg_database d ON d.oid = setdatabase,
         unnest(setconfig) WITH ORDINALITY AS s(setting, position)
    WHERE setrole <> 0 OR setdatabase = 0 ORDER BY datname COLLATE "C" NULLS FIRST, position"""
_DATABASES = """
    SELECT datname::text AS name, datallowconn AND datconnlimit <> -2 AS open FROM pg_database
    WHERE datname <> 'template0' AND NOT starts_with(datname, :staging) ORDER BY datname COLLATE "C" """
_LABELLED = """
    SELECT rolname FROM pg_roles r
    WHERE EXISTS (SELECT FROM pg_shseclabel s WHERE s.classoid = 'pg_authid'::regclass AND s.objoid = r.oid)
    ORDER BY 1"""
_NO_PASSWORDS = "Passwords could not be read, for pg_authid is for superusers: accounts are restored without them."
_GIVEN_BY_INITDB = {
    ("pg_monitor", role) for role in ("pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables")
}


def _authentication(secret: str | None) -> tuple[Authentication, ...]:
    if secret is None:
        return ()
    return (Authentication(SCRAM if secret.startswith("SCRAM-SHA-256$") else MD5, secret),)


def _attributes(row: Any) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        name: held for name, column in FLAGS.items() if (held := getattr(row, column)) != (name == "INHERIT")
    }
    if row.rolconnlimit != _UNLIMITED:
        attributes["CONNECTION LIMIT"] = row.rolconnlimit
    if row.rolvaliduntil is not None:
        attributes["VALID UNTIL"] = row.rolvaliduntil
    return attributes


def _memberships(connection: sa.Connection, roles: Mapping[int, str]) -> dict[int, list[Membership]]:
    """The roles of each member. The grantor is None for the superuser of initdb, whom superusers grant for, and for
    one who was dropped, which PostgreSQL 15 and older don't mind."""
    found: dict[int, list[Membership]] = defaultdict(list)
    for row in connection.execute(sa.text(_MEMBERSHIPS)):
        role, member = roles[row.role], roles[row.member]
        if (member, role) in _GIVEN_BY_INITDB:
            continue
        grantor = None if row.grantor == BOOTSTRAP_OID else roles.get(row.grantor)
        found[row.member].append(Membership(role, row.admin, None, row.inherit, row.set, grantor))
    return found


def _settings(connection: sa.Connection) -> dict[int, list[Setting]]:
    found: dict[int, list[Setting]] = defaultdict(list)
    for row in connection.execute(sa.text(_SETTINGS)):
        name, _sign, value = row.setting.partition("=")
        found[row.role].append(Setting(name, value, row.database))
    return found


def _in_databases(
    sessions: Sessions, databases: Sequence[str], roles: Mapping[int, str], warnings: list[str]
) -> Iterator[Held]:
    for database in databases:
        try:
            with sessions.transaction(database) as connection:
                found = list(privileges(connection, roles, database))
        except (BackupdbError, UnicodeError) as error:  # pg_hba.conf may know of reasons, or names are no text
            warnings.append(f"Privileges in database {database} could not be read: {str(error).rstrip('.')}.")
            continue
        finally:
            sessions.leave(database)
        yield from found


def _grant_order(grant: Grant) -> tuple[Any, ...]:
    return grant.kind, grant.name, grant.privilege, grant.columns, grant.grantor or "", grant.revoked


Owners = dict[tuple[str, tuple[str, ...]], "str | None"]
"""The owners of objects that anybody has privileges on, by kind and name."""


def read_accounts(sessions: Sessions) -> tuple[Accounts, Owners]:
    """All roles but the superuser that initdb made; of PUBLIC and the server's own roles those that were given
    something. What can't be read is a warning."""
    warnings: list[str] = []
    with sessions.transaction() as connection:
        connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        version = version_of(connection)
        said = str(connection.execute(sa.text("SHOW server_version")).scalar_one()).split()[0]
        rows = connection.execute(sa.text(_ROLES)).all()
        names = {row.oid: row.rolname for row in rows}
        readable = connection.execute(sa.text("SELECT has_table_privilege('pg_authid', 'SELECT')")).scalar_one()
        secrets: dict[int, str] = {}
        if readable:
            stored = connection.execute(sa.text("SELECT oid::bigint AS oid, rolpassword FROM pg_authid"))
            secrets = {row.oid: row.rolpassword for row in stored}
        else:
            warnings.append(_NO_PASSWORDS)
        memberships = _memberships(connection, names)
        settings = _settings(connection)
        labelled = catalog.names(connection, _LABELLED)
        databases = connection.execute(sa.text(_DATABASES), {"staging": catalog.STAGING_PREFIX}).all()
        shared = list(shared_privileges(connection, names, version, catalog.STAGING_PREFIX))
    closed = [database.name for database in databases if not database.open]
    if closed:
        warnings.append(f"Privileges in databases that allow no connections are not kept: {', '.join(closed)}.")
    held = [*shared, *_in_databases(sessions, [one.name for one in databases if one.open], names, warnings)]
    owners = {(one.grant.kind, one.grant.name): one.owner for one in held}
    grants: dict[int, list[Grant]] = defaultdict(list)
    for one in held:
        grants[one.grantee].append(one.grant)
    if labelled:
        warnings.append(f"Security labels of roles are not kept: {', '.join(labelled)}.")
    if settings.get(BOOTSTRAP_OID):
        warnings.append(f"Settings of {names[BOOTSTRAP_OID]}, the superuser that initdb made, are not kept.")

    def account(oid: int, name: str, row: Any = None) -> Account:
        own = always_exists(Account("", name, None, is_role=True))
        is_role = own or not row.rolcanlogin
        unknown = () if is_role else (Authentication(UNKNOWN),)
        return Account(
            label(name),
            name,
            None,
            is_role=is_role,
            authentication=() if own else _authentication(secrets.get(oid)) if readable else unknown,
            attributes={} if own else _attributes(row),
            memberships=tuple(sorted(memberships.get(oid, ()), key=lambda held: (held.role, held.grantor or ""))),
            settings=tuple(settings.get(oid, ())),
            grants=tuple(sorted(grants.get(oid, ()), key=_grant_order)),
            comment=None if own else row.comment,
        )

    everybody = [account(row.oid, row.rolname, row) for row in rows if row.oid != BOOTSTRAP_OID]
    kept = [
        found
        for found in [account(0, PUBLIC_NAME), *everybody]
        if not always_exists(found) or found.grants or found.memberships or found.settings
    ]
    kept.sort(key=lambda found: found.label)
    return Accounts("postgresql", "postgresql", said, kept, warnings), owners
