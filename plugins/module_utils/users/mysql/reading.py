# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the accounts of a MySQL or MariaDB server.

MariaDB keeps them as JSON in ``mysql.global_priv``, of which ``mysql.user`` is a view without the second and further
authentication plugins (MariaDB manual, "mysql.global_priv Table"). MySQL keeps them in ``mysql.user`` (MySQL manual,
"Grant Tables"). Hashes may be any bytes, so that MySQL's are read in hex.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ...engines.connect import run_quoted
from ...engines.mysql import catalog
from ..model import Account, Accounts, Authentication, Grant, Membership
from .grants import PUBLIC, parse_grants
from .names import SYSTEM_ACCOUNTS, identity, label

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

NATIVE = "mysql_native_password"
LIMITS = {
    "max_questions": "MAX_QUERIES_PER_HOUR",
    "max_updates": "MAX_UPDATES_PER_HOUR",
    "max_connections": "MAX_CONNECTIONS_PER_HOUR",
    "max_user_connections": "MAX_USER_CONNECTIONS",
    "max_statement_time": "MAX_STATEMENT_TIME",
}
"""Columns, and what the statements call them."""
_TLS_TYPES = {1: "SSL", 2: "X509", "ANY": "SSL", "X509": "X509"}
_TLS_DETAILS = {"ssl_cipher": "REQUIRE CIPHER", "x509_issuer": "REQUIRE ISSUER", "x509_subject": "REQUIRE SUBJECT"}
_NO_SUCH_GRANT = 1141
"""ER_NONEXISTING_GRANT: said of accounts with a host name, too, where MariaDB looks up no host names."""
SECOND_PASSWORD = "second password"  # noqa: S105 - no password but what stands for a method
"""The ``method`` of MySQL's second password, which lets in by the same method as the first."""
_STORED = {
    "access", "version_id", "plugin", "authentication_string", "auth_or", "password_last_changed", "password_lifetime",
    "account_locked", "is_role", "default_role", "ssl_type", *LIMITS, *_TLS_DETAILS,
}  # fmt: skip
"""What is known of MariaDB's JSON, and what of MySQL's User_attributes (SHOW GRANTS tells the Restrictions)."""
_USER_ATTRIBUTES = {
    "additional_password", "metadata", "multi_factor_authentication", "Password_locking", "Restrictions",
}  # fmt: skip


def escaped_pattern(name: str) -> str:
    """A database's name as a pattern that fits it alone: ``shop\\_x``."""
    return "".join("\\" + letter if letter in "\\%_" else letter for letter in name)


def _common(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Resource limits and TLS requirements, which both servers store under the same names."""
    attributes: dict[str, Any] = {
        words: int(number) if number.is_integer() else number
        for name, words in LIMITS.items()
        if (number := float(stored.get(name) or 0))
    }
    if stored.get("ssl_type") in _TLS_TYPES:
        attributes["REQUIRE"] = _TLS_TYPES[stored["ssl_type"]]
    return attributes | {words: stored[name] for name, words in _TLS_DETAILS.items() if stored.get(name)}


def _mariadb_account(name: str, host: str, stored: Mapping[str, Any]) -> Account:
    if stored.get("is_role"):
        return Account(label(name, None), name, None, is_role=True)
    attributes = _common(stored)
    if stored.get("account_locked"):
        attributes["ACCOUNT LOCK"] = True
    if stored.get("password_last_changed") == 0:
        attributes["PASSWORD EXPIRE"] = True
    if stored.get("password_lifetime", -1) >= 0:
        attributes["PASSWORD EXPIRE INTERVAL"] = stored["password_lifetime"]
    methods = [entry or stored for entry in stored.get("auth_or") or [{}]]  # an empty one stands for the outer one
    authentication = tuple(
        Authentication(entry.get("plugin") or NATIVE, entry.get("authentication_string") or None) for entry in methods
    )
    return Account(label(name, host), name, host, is_role=False, authentication=authentication, attributes=attributes)


def _unknown(who: str, stored: Mapping[str, Any], known: set[str]) -> list[str]:
    names = ", ".join(sorted({*stored} - known))
    return [f"{who} has attributes that are unknown here and left out: {names}."] if names else []


def _mariadb_accounts(connection: sa.Connection, warnings: list[str]) -> list[Account]:
    rows = connection.execute(sa.text("SELECT User, Host, Priv FROM mysql.global_priv")).all()
    stored = [(str(user), str(host), json.loads(text)) for user, host, text in rows]
    for user, host, value in stored:
        warnings += _unknown(label(user, host), value, _STORED)
    defaults = {(user, host): value.get("default_role") for user, host, value in stored}
    memberships: dict[tuple[str, str], list[Membership]] = {}
    edges = connection.execute(sa.text("SELECT User, Host, Role, Admin_option FROM mysql.roles_mapping"))
    for user, host, role, admin in edges:
        own = memberships.setdefault((user, host), [])
        own.append(Membership(label(role, None), admin == "Y", defaults.get((user, host)) == role))
    return [
        replace(_mariadb_account(user, host, value), memberships=tuple(sorted(memberships.get((user, host), ()))))
        for user, host, value in stored
    ]


def as_text(stored: bytes) -> str | None:
    """What a server stores of a password: as text where it is printable, else as ``0x…``; None for nothing."""
    text = stored.decode("latin-1")
    as_is = text.isascii() and text.isprintable() and not text.startswith("0x")
    return None if not stored else text if as_is else "0x" + stored.hex()


def as_bytes(secret: str | None) -> bytes:
    """The reverse of ``as_text``."""
    if secret is None:
        return b""
    return bytes.fromhex(secret[2:]) if secret.startswith("0x") else secret.encode()


def _mysql_account(row: Mapping[str, Any]) -> Account:
    name, host, secret = str(row["user"]), str(row["host"]), bytes.fromhex(row["secret"] or "")
    locked, expired = (row[name] == "Y" for name in ("account_locked", "password_expired"))
    is_role = locked and expired and not secret  # what CREATE ROLE makes, and nobody can log in as
    attributes = _common(row)
    values = {
        "ACCOUNT LOCK": (locked and not is_role) or None,
        "PASSWORD EXPIRE": (expired and not is_role) or None,
        "PASSWORD EXPIRE INTERVAL": row["password_lifetime"],
        "PASSWORD HISTORY": row["password_reuse_history"],
        "PASSWORD REUSE INTERVAL": row["password_reuse_time"],
        "PASSWORD REQUIRE CURRENT": {"Y": True, "N": False}.get(row["password_require_current"] or ""),
    }
    more = json.loads(row["user_attributes"] or "{}")
    tracking = more.get("Password_locking", {})
    values["FAILED_LOGIN_ATTEMPTS"] = tracking.get("failed_login_attempts") or None
    values["PASSWORD_LOCK_TIME"] = tracking.get("password_lock_time_days") or None
    described = dict(more.get("metadata", {}))
    comment = described.pop("comment", None)
    values["ATTRIBUTE"] = json.dumps(described, sort_keys=True) if described else None
    attributes |= {words: value for words, value in values.items() if value is not None}
    ways = [Authentication(str(row["plugin"]), as_text(secret))]
    ways += [
        Authentication(factor["plugin"], as_text(factor.get("authentication_string", "").encode()))
        for factor in more.get("multi_factor_authentication", ())
    ]
    if "additional_password" in more:
        ways.append(Authentication(SECOND_PASSWORD, as_text(more["additional_password"].encode())))
    return Account(
        label(name, host),
        name,
        host,
        is_role=is_role,
        authentication=() if is_role else tuple(ways),
        attributes=attributes,
        comment=comment,
    )


def _mysql_accounts(connection: sa.Connection, warnings: list[str]) -> list[Account]:
    result = connection.execute(
        sa.text("""
            SELECT User AS user, Host AS host, plugin, HEX(authentication_string) AS secret, ssl_type,
                   CONVERT(ssl_cipher USING utf8mb4) AS ssl_cipher, CONVERT(x509_issuer USING utf8mb4) AS x509_issuer,
                   CONVERT(x509_subject USING utf8mb4) AS x509_subject, max_questions, max_updates, max_connections,
                   max_user_connections, password_expired, password_lifetime, account_locked,
                   Password_reuse_history AS password_reuse_history, Password_reuse_time AS password_reuse_time,
                   Password_require_current AS password_require_current, User_attributes AS user_attributes
            FROM mysql.user""")
    )
    rows: list[dict[str, Any]] = [{**row} for row in result.mappings()]
    accounts = [_mysql_account(row) for row in rows]
    for account, row in zip(accounts, rows, strict=True):
        warnings += _unknown(account.label, json.loads(row["user_attributes"] or "{}"), _USER_ATTRIBUTES)
    chosen = connection.execute(
        sa.text("SELECT USER, HOST, DEFAULT_ROLE_USER, DEFAULT_ROLE_HOST FROM mysql.default_roles")
    )
    defaults = {tuple(row) for row in chosen}
    edges = connection.execute(
        sa.text("SELECT TO_USER, TO_HOST, FROM_USER, FROM_HOST, WITH_ADMIN_OPTION FROM mysql.role_edges")
    ).all()
    memberships: dict[tuple[str, str | None], list[Membership]] = {}
    for user, host, role, role_host, admin in edges:
        is_default = (user, host, role, role_host) in defaults
        own = memberships.setdefault((user, host), [])
        own.append(Membership(label(role, role_host), admin == "Y", is_default))
    for user, host, role, role_host in sorted(defaults - {tuple(edge[:4]) for edge in edges}):
        who, what = label(user, host), label(role, role_host)
        warnings.append(f"That {what} is a default role of {who} is left out: it has it by mandatory_roles only.")
    return [replace(account, memberships=tuple(sorted(memberships.get(identity(account), ())))) for account in accounts]


def _grants(connection: sa.Connection, account: Account, literal_names: bool) -> tuple[Grant, ...] | None:
    """The privileges of an account; None where the server does not tell them."""
    try:
        lines = list(run_quoted(connection, f"SHOW GRANTS FOR {account.label}").scalars())
    except sa.exc.DBAPIError as error:
        if error.orig is None or error.orig.args[0] != _NO_SUCH_GRANT:
            raise
        return None
    grants = [grant for line in lines for grant in parse_grants(str(line), identity(account))]
    if literal_names:
        grants = [
            replace(grant, name=(escaped_pattern(grant.name[0]),)) if grant.kind == "database" else grant
            for grant in grants
        ]
    return tuple(sorted(grants, key=lambda grant: (grant.kind, grant.name, grant.privilege, grant.columns)))


def literal_database_names(connection: sa.Connection) -> bool:
    """Whether ``%`` and ``_`` in the database names of grants are no wildcards (MySQL manual, "partial_revokes")."""
    return bool(catalog.variable(connection, "partial_revokes") == "ON")


def read_accounts(connection: sa.Connection) -> Accounts:
    """All accounts and roles but SYSTEM_ACCOUNTS, sorted by label. Those whose privileges the server does not tell are
    left out, too: to be brought back with none would look as if they had had none."""
    version = catalog.server_version(connection)
    flavour = "mariadb" if "MariaDB" in version else "mysql"
    warnings: list[str] = []
    found = (_mariadb_accounts if flavour == "mariadb" else _mysql_accounts)(connection, warnings)
    literal_names = literal_database_names(connection)
    accounts, ignored = [], []
    for account in found:
        if identity(account) in SYSTEM_ACCOUNTS:
            continue
        grants = _grants(connection, account, literal_names)
        if grants is None:
            ignored.append(account.label)
            continue
        accounts.append(replace(account, grants=grants))
    if ignored:
        warnings.append(
            "The server ignores accounts with a host name (skip_name_resolve) and tells no privileges of them. "
            f"Left out: {', '.join(sorted(ignored))}."
        )
    # PUBLIC is always there and can't be made: it says something only where it was granted something.
    kept = [account for account in accounts if account.label != PUBLIC or account.grants or account.memberships]
    return Accounts("mysql", flavour, version, sorted(kept, key=lambda account: account.label), warnings)
