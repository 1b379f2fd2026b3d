# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts of MySQL and MariaDB for tests, and logins with them."""

from __future__ import annotations

import json
import re
from contextlib import closing
from typing import Any

import pymysql

PREFIX = "vyau"
SECOND = "another"
PASSWORD = "pa'ss \"w\\ord %s ü"
KEPT = ("root", "mysql", "mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys")
DATABASES = {
    f"{PREFIX}_shop": (
        "CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(20), secret VARCHAR(20))",
        "INSERT INTO customers VALUES (1, 'a', 's')",
        "CREATE TABLE orders (id INT PRIMARY KEY)",
        "CREATE PROCEDURE p() SELECT 1",
        "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 7",
    ),
    f"{PREFIX}Xshop": ("CREATE TABLE t (id INT)",),
    f"{PREFIX}_locked": ("CREATE TABLE t (id INT)", "CREATE TABLE open (id INT)"),
    f"{PREFIX}_public": ("CREATE TABLE t (id INT)",),
}
NAMES = (
    ("plain", "%"),
    ("plain", "127.0.0.1"),
    ('it\'s a "name" \\ `x`', "%"),
    ("at@sign", "%"),
    ("per%cent s", "127.0.0.%"),
    ("ünï 日本", "%"),
    ("", "127.0.0.2"),
)


def text(value: str) -> str:
    return f"'{pymysql.converters.escape_string(value)}'"


def account(name: str, host: str = "%") -> str:
    return f"{text(PREFIX + name if name else name)}@{text(host)}"


def _named() -> list[str]:
    return [f"CREATE USER {account(name, host)} IDENTIFIED BY {text(PASSWORD)}" for name, host in NAMES]


def _rights() -> list[str]:
    shop = f"{PREFIX}_shop"
    who, column, routine, grants = account("who"), account("column"), account("routine"), account("grants")
    return [
        *(f"CREATE USER {name} IDENTIFIED BY {text(PASSWORD)}" for name in (who, column, routine, grants)),
        f"GRANT SELECT, INSERT ON `{PREFIX}\\_shop`.* TO {who}",
        f"GRANT SELECT ON `{PREFIX}_locked`.`open` TO {who}",
        f"GRANT SELECT (id, name), UPDATE (name) ON `{shop}`.`customers` TO {column}",
        f"GRANT EXECUTE ON PROCEDURE `{shop}`.`p` TO {routine}",
        f"GRANT EXECUTE, ALTER ROUTINE ON FUNCTION `{shop}`.`f` TO {routine} WITH GRANT OPTION",
        f"GRANT RELOAD, PROCESS ON *.* TO {routine}",
        f"GRANT ALL PRIVILEGES ON `{shop}`.* TO {grants} WITH GRANT OPTION",
        f"GRANT USAGE ON `{PREFIX}_locked`.* TO {grants} WITH GRANT OPTION",
        f"GRANT PROXY ON {who} TO {grants} WITH GRANT OPTION",
    ]


def _limits() -> list[str]:
    base = f"IDENTIFIED BY {text(PASSWORD)}"
    return [
        f"CREATE USER {account('ssl')} {base} REQUIRE SSL",
        f"CREATE USER {account('x509')} {base} REQUIRE X509",
        f"CREATE USER {account('issuer')} {base} REQUIRE ISSUER '/CN=a ''b' AND SUBJECT '/CN=\\\\c' "
        "AND CIPHER 'AES256'",
        f"CREATE USER {account('limits')} {base} WITH MAX_QUERIES_PER_HOUR 90 MAX_UPDATES_PER_HOUR 80 "
        "MAX_CONNECTIONS_PER_HOUR 70 MAX_USER_CONNECTIONS 6",
        f"CREATE USER {account('gone')} {base} ACCOUNT LOCK",
        f"CREATE USER {account('old')} {base} PASSWORD EXPIRE",
        f"CREATE USER {account('days')} {base} PASSWORD EXPIRE INTERVAL 42 DAY",
        f"CREATE USER {account('never')} {base} PASSWORD EXPIRE NEVER",
        f"CREATE USER {account('nothing')}",
    ]


def role(flavour: str, name: str) -> str:
    return text(PREFIX + name) if flavour == "mariadb" else account(name)


def _roles(flavour: str) -> list[str]:
    reader, writer, boss, empty = (role(flavour, name) for name in ("reader", "writer", "boss", "empty"))
    member = account("member")
    default = f"SET DEFAULT ROLE {boss} {'FOR' if flavour == 'mariadb' else 'TO'} {member}"
    return [
        *(f"CREATE ROLE {name}" for name in (boss, writer, reader, empty)),
        f"GRANT SELECT ON `{PREFIX}_shop`.* TO {reader}",
        f"GRANT INSERT, UPDATE ON `{PREFIX}_shop`.* TO {writer}",
        f"GRANT {reader} TO {writer}",
        f"GRANT {writer} TO {boss} WITH ADMIN OPTION",
        f"CREATE USER {member} IDENTIFIED BY {text(PASSWORD)}",
        f"GRANT {boss} TO {member} WITH ADMIN OPTION",
        f"GRANT {empty} TO {member}",
        default,
    ]


OF_MARIADB = (
    f"CREATE USER {account('two')} IDENTIFIED VIA unix_socket OR mysql_native_password "
    f"USING PASSWORD({text(PASSWORD)})",
    f"CREATE USER {account('socket', 'localhost')} IDENTIFIED VIA unix_socket",
    f"CREATE USER {account('invalid')} IDENTIFIED VIA mysql_native_password USING 'invalid'",
    f"CREATE USER {account('slow')} IDENTIFIED BY {text(PASSWORD)} WITH MAX_STATEMENT_TIME 1.5",
    f"GRANT DELETE HISTORY, SHOW VIEW ON `{PREFIX}_shop`.* TO {account('slow')}",
    f"GRANT BINLOG MONITOR, SLAVE MONITOR, READ_ONLY ADMIN ON *.* TO {account('slow')}",
    f"GRANT SELECT ON `{PREFIX}_public`.* TO PUBLIC",
)
ED25519 = f"CREATE USER {account('ed')} IDENTIFIED VIA ed25519 USING PASSWORD({text(PASSWORD)})"
OF_MYSQL = (
    f"CREATE USER {account('sha256')} IDENTIFIED WITH sha256_password BY {text(PASSWORD)}",
    f"CREATE USER {account('history')} IDENTIFIED BY {text(PASSWORD)} PASSWORD HISTORY 5 "
    "PASSWORD REUSE INTERVAL 365 DAY PASSWORD REQUIRE CURRENT FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME UNBOUNDED "
    "COMMENT 'it''s a comment'",
    f"CREATE USER {account('optional')} IDENTIFIED BY {text(PASSWORD)} PASSWORD REQUIRE CURRENT OPTIONAL "
    'ATTRIBUTE \'{"team": "db\\\\"a", "n": 3}\'',
    f"GRANT BINLOG_ADMIN, CONNECTION_ADMIN ON *.* TO {account('history')} WITH GRANT OPTION",
    f"GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO {account('history')}",
    f"GRANT SYSTEM_VARIABLES_ADMIN, SELECT ON *.* TO {account('optional')}",
    f"GRANT SELECT ON *.* TO {account('optional')} WITH GRANT OPTION",
    f"ALTER USER {account('boss')} COMMENT 'the boss'",
    f"CREATE USER {account('second')} IDENTIFIED BY {text(SECOND)}",
    f"ALTER USER {account('second')} IDENTIFIED BY {text(PASSWORD)} RETAIN CURRENT PASSWORD",
    f"CREATE USER {account('factors')} IDENTIFIED BY {text(PASSWORD)} AND IDENTIFIED WITH auth_socket",
)
PREPARE_MYSQL = ("INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'", "SET GLOBAL authentication_policy = '*,,'")
PARTIAL = (
    "SET GLOBAL partial_revokes = ON",
    f"CREATE USER {account('partial')} IDENTIFIED BY {text(PASSWORD)}",
    f"GRANT SELECT, INSERT ON *.* TO {account('partial')}",
    f"REVOKE INSERT ON `{PREFIX}_locked`.* FROM {account('partial')}",
    f"REVOKE SELECT ON `{PREFIX}_locked`.* FROM {account('partial')}",
)


def make_databases(server: Any) -> None:
    for name, statements in DATABASES.items():
        server.run(f"DROP DATABASE IF EXISTS `{name}`", f"CREATE DATABASE `{name}`")
        server.run(*statements, database=name)


def drop_databases(server: Any) -> None:
    for name in DATABASES:
        server.run(f"DROP DATABASE IF EXISTS `{name}`")


def make_accounts(server: Any, flavour: str) -> None:
    """Every kind of account that FIDELITY names, and the databases that they have rights in."""
    make_databases(server)
    server.run(*_named(), *_rights(), *_limits(), *_roles(flavour))
    server.run(*(OF_MARIADB if flavour == "mariadb" else OF_MYSQL))


def listed(server: Any) -> list[tuple[str, str]]:
    """Names and hosts of all accounts and roles but the administrator's and the server's own."""
    rows = server.run("SELECT User, Host FROM mysql.user")
    found = [tuple(part.decode() if isinstance(part, bytes) else part for part in row) for row in rows]
    return [(name, host) for name, host in found if name not in KEPT]


def written(name: str, host: str) -> str:
    return f"{text(name)}@{text(host)}" if host else "PUBLIC" if name == "PUBLIC" else text(name)


def drop_accounts(server: Any) -> None:
    with closing(server.connect()) as session:
        for name, host in listed(server):
            if name == "PUBLIC":
                rows(session, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM PUBLIC")
            else:
                rows(session, f"DROP {'USER' if host else 'ROLE'} {written(name, host)}")


def login(server: Any, name: str, password: str = PASSWORD, **options: Any) -> Any:
    """A session of one of these accounts, over TCP."""
    options = {"charset": "utf8mb4", "autocommit": True, **options}
    user = PREFIX + name if name else ""
    return closing(
        pymysql.connect(host="127.0.0.1", port=server.port, user=user, password=password.encode(), **options)
    )


def rows(session: Any, *statements: str) -> list[tuple[Any, ...]]:
    with session.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall()) if statements else []


def may(server: Any, name: str, *statements: str, **options: Any) -> list[tuple[Any, ...]]:
    """Logs in and runs statements; the rows of the last one."""
    with login(server, name, **options) as session:
        return rows(session, *statements)


def refusal(server: Any, name: str, *statements: str, **options: Any) -> int:
    """The number of the error with which the server refuses a login or a statement; 0 where it refuses nothing."""
    try:
        may(server, name, *statements, **options)
    except pymysql.MySQLError as error:
        return int(error.args[0])
    return 0


def is_mariadb(server: Any) -> bool:
    return "MariaDB" in server.run("SELECT VERSION()")[0][0]


def _sorted_columns(line: str) -> str:
    """The servers list columns in the order in which they were granted."""
    return re.sub(r"\((`[^)]*)\)", lambda found: f"({', '.join(sorted(found[1].split(', ')))})", line)


def shown(server: Any) -> dict[str, list[str]]:
    """What the server itself shows of every account, without our code."""
    found = {}
    with closing(server.connect()) as session:
        if not is_mariadb(server):
            rows(session, "SET print_identified_with_as_hex = 1")
        for name, host in listed(server):
            who = written(name, host)
            lines = [_sorted_columns(row[0]) for row in rows(session, f"SHOW GRANTS FOR {who}")]
            if host:
                lines += [row[0] for row in rows(session, f"SHOW CREATE USER {who}")]
            if who != "PUBLIC" or [line for line in lines if "USAGE" not in line]:
                found[who] = sorted(str(line) for line in lines)
    return found


def hashes(server: Any) -> set[str]:
    """Every hash that the server keeps, as it is, in hex, and as JSON has it."""
    if is_mariadb(server):
        texts = [row[0] for row in server.run("SELECT Priv FROM mysql.global_priv")]
        return set(re.findall(r'"authentication_string":"([^"]{9,})"', " ".join(texts)))
    found = set()
    for stored, more in server.run("SELECT authentication_string, User_attributes FROM mysql.user"):
        second = json.loads(more or "{}").get("additional_password", "")
        for secret in (stored.decode() if isinstance(stored, bytes) else stored or "", second):
            found |= {secret, json.dumps(secret)[1:-1], secret.encode().hex(), secret.encode().hex().upper()}
    return {secret for secret in found if secret}


def fingerprint(server: Any) -> dict[str, list[str]]:
    """What ``shown`` does not tell: MariaDB's privileges of roles' members, MySQL's second passwords and factors."""
    if is_mariadb(server):
        return {"": sorted(map(str, server.run("SELECT * FROM mysql.roles_mapping WHERE User <> 'root'")))}
    kept = ", ".join(text(name) for name in KEPT)
    attributes = server.run(f"SELECT User, Host, User_attributes FROM mysql.user WHERE User NOT IN ({kept})")
    edges = server.run("SELECT * FROM mysql.role_edges")
    return {"": sorted(map(str, [*attributes, *edges, *server.run("SELECT * FROM mysql.default_roles")]))}
