# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of PostgreSQL for tests, what they have privileges on, and logins with them.

Works on every server that has ``run``, ``port`` and ``password``. What a server holds is told by pg_dumpall and by its
catalogues, never by our code.
"""

from __future__ import annotations

import re
import subprocess
from contextlib import closing
from typing import Any

import psycopg
from ansible_collections.vya.backupdb.plugins.module_utils.commands import find_programs
from psycopg import sql

from .postgres import BINARIES, quoted

PASSWORD = "pa'ss \"w\\ord %s :x $$ ü"
LOGIN = f"LOGIN PASSWORD {sql.Literal(PASSWORD).as_string(None)}"
SHOP, OTHER = "shop", 'na"me ü'
NAMES = (
    'it\'s a "name" \\ $x',
    "per%cent :colon",
    "ünï 日本",
    "UPPER",
    "user",
    "with.dot",
    "n" * 63,
    "ü" * 31,
)
"""Names that have to be quoted, reserved, or as long as can be (63 bytes)."""

ROLES = (
    *(f"CREATE ROLE {quoted(name)} {LOGIN}" for name in NAMES),
    f"CREATE ROLE owner {LOGIN}",
    f"CREATE ROLE app {LOGIN}",
    f"CREATE ROLE many SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS NOINHERIT CONNECTION LIMIT 3 "
    f"VALID UNTIL '2099-12-31 23:59:59.125+02' {LOGIN}",
    f"CREATE ROLE old VALID UNTIL '2001-02-03' {LOGIN}",
    f"CREATE ROLE forever VALID UNTIL 'infinity' {LOGIN}",
    f"CREATE ROLE nobody CONNECTION LIMIT 0 {LOGIN}",
    "CREATE ROLE without LOGIN",
    f"CREATE ROLE locked NOLOGIN PASSWORD {sql.Literal(PASSWORD).as_string(None)}",
    f"SET password_encryption = md5; CREATE ROLE oldhash {LOGIN}; RESET password_encryption",
    "COMMENT ON ROLE app IS 'it''s a \"comment\" \\ ü'",
    *(f"CREATE ROLE {name}" for name in ("reader", "writer", "boss")),
    *(f"CREATE ROLE {name} {LOGIN}" for name in ("member", "deputy", "a_last", "m_mid", "z_first")),
    "GRANT reader TO writer",
    "GRANT writer TO boss WITH ADMIN OPTION",
    "GRANT boss TO member",
    "GRANT pg_read_all_stats, pg_signal_backend TO member",
    "SET ROLE boss; GRANT writer TO deputy WITH ADMIN OPTION; RESET ROLE",
    "SET ROLE deputy; GRANT writer TO a_last; RESET ROLE",
    "ALTER ROLE app SET search_path = \"$user\", 'a b', crm, public",
    "ALTER ROLE app SET work_mem = '64MB'",
    "ALTER ROLE app SET app.tenant = 'it''s, \"x\"'",
    "ALTER ROLE reader SET search_path = ''",
    "ALTER ROLE ALL SET idle_in_transaction_session_timeout = '1h'",
)
OF_16 = (
    "GRANT reader TO app WITH INHERIT FALSE, SET FALSE",
    f"CREATE ROLE picky NOINHERIT {LOGIN}",
    "GRANT reader TO picky WITH INHERIT TRUE",
    "GRANT writer TO picky",
    "SET ROLE boss; GRANT writer TO picky WITH ADMIN OPTION, SET FALSE; RESET ROLE",
)
"""Memberships with options, and one that two roles have granted."""
GRANTS_OF_17 = ("GRANT MAINTAIN ON crm.customers TO writer", "GRANT pg_maintain TO member")
GRANTS_OF_18 = ("ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT SELECT ON LARGE OBJECTS TO reader",)

OBJECTS = (
    "CREATE SCHEMA crm AUTHORIZATION owner",
    'CREATE TABLE crm.customers (id int, name text, secret text, "it\'s" int)',
    "INSERT INTO crm.customers VALUES (1, 'a', 's', 2)",
    "CREATE VIEW crm.v AS SELECT id FROM crm.customers",
    "CREATE MATERIALIZED VIEW crm.m AS SELECT id FROM crm.customers",
    "CREATE SEQUENCE crm.numbers",
    'CREATE TABLE "t ""x"" ü" (id int)',
    "CREATE FUNCTION crm.f(a int, b text DEFAULT 'x') RETURNS int LANGUAGE sql AS 'SELECT 7'",
    "CREATE FUNCTION crm.f() RETURNS int LANGUAGE sql AS 'SELECT 8'",
    "CREATE PROCEDURE crm.p(a int, OUT b int) LANGUAGE plpgsql AS 'BEGIN b := a; END'",
    "CREATE AGGREGATE crm.total(int) (sfunc = int4pl, stype = int)",
    "CREATE TYPE crm.state AS ENUM ('new')",
    "CREATE DOMAIN crm.positive AS int CHECK (VALUE > 0)",
    "CREATE FUNCTION crm.takes(VARIADIC crm.state[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FOREIGN DATA WRAPPER wrapper",
    "CREATE SERVER elsewhere FOREIGN DATA WRAPPER wrapper",
    "SELECT lo_from_bytea(4711, 'x')",
    *(f"ALTER {kind} OWNER TO owner" for kind in ("TABLE crm.customers", "VIEW crm.v", "FUNCTION crm.f()")),
)
GRANTS = (
    "GRANT USAGE ON SCHEMA crm TO reader, app, a_last, m_mid, z_first, boss, oldhash",
    "GRANT CREATE ON SCHEMA crm TO writer WITH GRANT OPTION",
    'GRANT SELECT (id, name), UPDATE ("it\'s"), REFERENCES (id) ON crm.customers TO app',
    "GRANT SELECT, INSERT, TRUNCATE ON crm.customers TO reader",
    "GRANT SELECT ON crm.customers TO z_first WITH GRANT OPTION",
    "SET ROLE z_first; GRANT SELECT ON crm.customers TO m_mid WITH GRANT OPTION; RESET ROLE",
    "SET ROLE m_mid; GRANT SELECT ON crm.customers TO a_last; RESET ROLE",
    "SET ROLE z_first; GRANT SELECT (name) ON crm.customers TO oldhash; RESET ROLE",
    "GRANT SELECT ON crm.customers TO a_last",
    "REVOKE DELETE ON crm.customers FROM owner",
    "GRANT SELECT ON crm.v, crm.m TO reader",
    "GRANT SELECT ON crm.v TO PUBLIC, pg_monitor",
    "GRANT USAGE, SELECT ON SEQUENCE crm.numbers TO writer",
    'GRANT ALL ON "t ""x"" ü" TO "it\'s a ""name"" \\ $x", "ünï 日本"',
    "REVOKE EXECUTE ON FUNCTION crm.f(int, text) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION crm.f(int, text) TO app WITH GRANT OPTION",
    "REVOKE EXECUTE ON PROCEDURE crm.p(int) FROM PUBLIC",
    "GRANT EXECUTE ON PROCEDURE crm.p(int) TO app",
    "REVOKE EXECUTE ON FUNCTION crm.total(int) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION crm.total(int), crm.takes(crm.state[]) TO app",
    "REVOKE USAGE ON TYPE crm.state FROM PUBLIC",
    "GRANT USAGE ON TYPE crm.state TO app",
    "GRANT USAGE ON DOMAIN crm.positive TO app WITH GRANT OPTION",
    "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC",
    "GRANT USAGE ON LANGUAGE plpgsql TO owner, writer",
    "GRANT USAGE ON FOREIGN DATA WRAPPER wrapper TO app",
    "GRANT USAGE ON FOREIGN SERVER elsewhere TO app WITH GRANT OPTION",
    "GRANT SELECT, UPDATE ON LARGE OBJECT 4711 TO app",
    "GRANT EXECUTE ON FUNCTION pg_ls_dir(text) TO app",
    "GRANT SELECT (rolname) ON pg_authid TO app",
    "REVOKE SELECT ON pg_stat_database FROM PUBLIC",
    "GRANT INSERT ON information_schema.sql_features TO app",
    "ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA crm GRANT SELECT ON TABLES TO reader",
    "ALTER DEFAULT PRIVILEGES FOR ROLE owner IN SCHEMA crm GRANT USAGE ON SEQUENCES TO reader WITH GRANT OPTION",
    "ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT INSERT ON TABLES TO writer",
    "ALTER DEFAULT PRIVILEGES FOR ROLE owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    "ALTER DEFAULT PRIVILEGES FOR ROLE owner REVOKE USAGE ON TYPES FROM owner",
    "ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT USAGE ON SCHEMAS TO reader",
)
SHARED_GRANTS = (
    f"REVOKE CONNECT ON DATABASE {SHOP} FROM PUBLIC",
    f"GRANT CONNECT ON DATABASE {SHOP} TO app, owner, z_first, oldhash, member",
    f"GRANT CREATE, TEMPORARY ON DATABASE {quoted(OTHER)} TO app WITH GRANT OPTION",
    f"ALTER ROLE app IN DATABASE {SHOP} SET statement_timeout = '5s'",
    f"ALTER ROLE app IN DATABASE {quoted(OTHER)} SET search_path = 'x', \"it's\"",
    "GRANT CREATE ON TABLESPACE fast TO app WITH GRANT OPTION",
    "GRANT SET ON PARAMETER log_statement TO app WITH GRANT OPTION",
    "GRANT ALTER SYSTEM ON PARAMETER work_mem TO app",
    "GRANT SET ON PARAMETER app.tenant TO reader",
)


def version(server: Any) -> int:
    return int(server.run("postgres", "SHOW server_version_num")[0][0]) // 10000


def make_roles(server: Any) -> None:
    server.run("postgres", *ROLES, *(OF_16 if version(server) >= 16 else ()))


def make_databases(server: Any) -> None:
    """The databases with all objects, and no privilege on them."""
    if not server.run("postgres", "SELECT 1 FROM pg_tablespace WHERE spcname = 'fast'"):
        server.run("postgres", "SET allow_in_place_tablespaces = on", "CREATE TABLESPACE fast LOCATION ''")
    for name in (SHOP, OTHER):
        server.run("postgres", f"CREATE DATABASE {quoted(name)}")
    server.run(SHOP, *OBJECTS)


def grant(server: Any) -> None:
    server.run("postgres", *SHARED_GRANTS)
    newer = (*(GRANTS_OF_17 if version(server) >= 17 else ()), *(GRANTS_OF_18 if version(server) >= 18 else ()))
    server.run(SHOP, *GRANTS, *newer)


def drop_databases(server: Any) -> None:
    for name in (SHOP, OTHER):
        server.run("postgres", f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")


def roles(server: Any) -> list[str]:
    found = server.run("postgres", "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND oid <> 10 ORDER BY 1")
    return [row[0] for row in found]


def drop_roles(server: Any) -> None:
    """Drops every role with all that it has been given; what it owns goes to the superuser."""
    databases = [
        row[0] for row in server.run("postgres", "SELECT datname FROM pg_database WHERE datname !~ '^template'")
    ]
    listed = ", ".join(quoted(name) for name in roles(server))
    for database in databases if listed else ():
        server.run(database, f"REASSIGN OWNED BY {listed} TO postgres", f"DROP OWNED BY {listed} CASCADE")
    if listed:
        server.run("postgres", f"DROP ROLE {listed}")
    server.run("postgres", "ALTER ROLE ALL RESET ALL")


def accept_md5(server: Any) -> None:
    """Lets the role with an old hash log in: the others have to prove more."""
    path = server.run("postgres", "SHOW hba_file")[0][0]
    program = f"cat > {path}.new && cat {path} >> {path}.new && cp {path}.new {path}"
    copy = f"COPY (SELECT 'host all oldhash 127.0.0.1/32 md5') TO PROGRAM '{program}'"
    server.run("postgres", copy, "SELECT pg_reload_conf()")


def globals_of(server: Any) -> str:
    """What pg_dumpall says of roles and tablespaces, without what is another's on every server or new in every run."""
    folder = server.run("postgres", "SHOW unix_socket_directories")[0][0]
    options = [f"--host={folder}", f"--port={server.port}", "--username=postgres", "--globals-only"]
    if hasattr(server, "host"):
        text = server.host.run("pg_dumpall", *options)
    else:
        program = find_programs(["pg_dumpall"], [BINARIES])[0]
        text = subprocess.run([program, *options], check=True, capture_output=True).stdout
    own = r"^(\\(un)?restrict|ALTER ROLE postgres WITH|CREATE TABLESPACE) .*\n"
    return re.sub(own, "", text.decode(), flags=re.MULTILINE)


_LISTS = {
    "pg_namespace": ("nspname", "nspacl"),
    "pg_class": ("oid::regclass::text", "relacl"),
    "pg_attribute": ("attrelid::regclass || '.' || attname", "attacl"),
    "pg_proc": ("oid::regprocedure::text", "proacl"),
    "pg_type": ("oid::regtype::text", "typacl"),
    "pg_language": ("lanname", "lanacl"),
    "pg_foreign_data_wrapper": ("fdwname", "fdwacl"),
    "pg_foreign_server": ("srvname", "srvacl"),
    "pg_largeobject_metadata": ("oid::text", "lomacl"),
    "pg_default_acl": (
        "concat(defaclrole::regrole, ' ', defaclnamespace::regnamespace, ' ', defaclobjtype)",
        "defaclacl",
    ),
    "pg_database": ("datname", "nullif(datacl, acldefault('d', datdba))"),
    "pg_tablespace": ("spcname", "spcacl"),
    "pg_parameter_acl": ("parname", "paracl"),
}


def lists(server: Any) -> dict[str, list[str]]:
    """Every access control list of both databases, its entries in order."""
    query = " UNION ALL ".join(
        f"SELECT '{table}', {name}, ARRAY(SELECT unnest({column})::text ORDER BY 1) FROM {table} "
        f"WHERE {column} IS NOT NULL"
        for table, (name, column) in _LISTS.items()
    )
    return {
        f"{database} {row[0]} {row[1]}": row[2] for database in (SHOP, OTHER) for row in server.run(database, query)
    }


def login(server: Any, name: str, database: str = "postgres", password: str = PASSWORD) -> Any:
    return closing(
        psycopg.connect(
            host="127.0.0.1", port=server.port, user=name, password=password, dbname=database, autocommit=True,
            client_encoding="UTF8",
        )
    )  # fmt: skip


def may(server: Any, name: str, *statements: str, database: str = SHOP) -> list[Any]:
    """Logs in and runs statements; the rows of the last one."""
    with login(server, name, database) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []
