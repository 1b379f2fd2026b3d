# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role that backs up PostgreSQL servers, and restores into databases of its own where that is asked for.

``pg_read_all_data`` reads every table, view and sequence (PostgreSQL manual, "Predefined Roles"; 14 and newer), and
``BYPASSRLS`` keeps pg_dump from stopping at tables with row security. Large objects of other roles need a superuser.
Passwords are sent as SCRAM verifiers, so that no log of the server can show one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from contextlib import suppress
from typing import TYPE_CHECKING

from ..account import BackupAccount, Change
from ..connect import run_quoted
from .sql import literal, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

READER = "pg_read_all_data"
_MASK = "********"
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(?P<rounds>\d+):(?P<salt>[^$]+)\$(?P<stored>[^:]+):.+")


class PostgreSQLAccount(BackupAccount):
    """A role that may log in."""

    def exists(self, connection: sa.Connection) -> bool:
        query = sa.text("SELECT count(*) FROM pg_roles WHERE rolname = :name")
        return bool(connection.execute(query, {"name": self.wanted.username}).scalar_one())

    def creation(self, connection: sa.Connection) -> list[Change]:
        statement = f"CREATE ROLE {quoted(self.wanted.username)}"
        return [Change(statement, statement), *self.password_change(connection)]

    def password_change(self, connection: sa.Connection) -> list[Change]:
        libpq = connection.connection.driver_connection.pgconn  # type: ignore[union-attr]
        name, password = self.wanted.username.encode(), self.wanted.password.encode()
        verifier = libpq.encrypt_password(password, name, b"scram-sha-256").decode()
        statement = f"ALTER ROLE {quoted(self.wanted.username)} PASSWORD "
        return [Change(statement + literal(verifier), f"{statement}'{_MASK}'")]

    def has_password(self, connection: sa.Connection) -> bool:
        """Compared with the stored verifier, as RFC 5802 and RFC 7677 derive it from a password."""
        query = sa.text("SELECT rolpassword FROM pg_authid WHERE rolname = :name")
        stored = connection.execute(query, {"name": self.wanted.username}).scalar_one()
        found = _VERIFIER.fullmatch(stored or "")
        if not found:
            return False
        password = unicodedata.normalize("NFKC", self.wanted.password).encode()
        salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(found["salt"]), int(found["rounds"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        return hmac.compare_digest(hashlib.sha256(client_key).digest(), base64.b64decode(found["stored"]))

    def grants(self, connection: sa.Connection, exists: bool) -> list[Change]:
        name = quoted(self.wanted.username)
        query = sa.text("""
            SELECT rolcanlogin AS login, rolbypassrls AS bypassrls, rolcreatedb AS createdb,
                   pg_has_role(oid, :reader, 'USAGE') AS reads, rolsuper AS super
            FROM pg_roles WHERE rolname = :name""")
        row = connection.execute(query, {"name": self.wanted.username, "reader": READER}).one_or_none()
        wanted = {"LOGIN": row and row.login, "BYPASSRLS": row and (row.bypassrls or row.super)}
        if self.wanted.restore:
            wanted["CREATEDB"] = row and (row.createdb or row.super)
        lacking = [option for option, held in wanted.items() if not held]
        statements = [f"ALTER ROLE {name} {' '.join(lacking)}"] if lacking else []
        if not (row and (row.reads or row.super)):
            statements.append(f"GRANT {READER} TO {name}")
        return [Change(statement, statement) for statement in statements]

    def removal(self, connection: sa.Connection) -> list[Change]:
        statement = f"DROP ROLE {quoted(self.wanted.username)}"
        return [Change(statement, statement)]

    def execute(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        for change in changes:
            run_quoted(connection, change.sql)
        connection.commit()
