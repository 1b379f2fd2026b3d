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
import stringprep
import unicodedata
from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import PermissionDeniedError, TargetUnfitError
from ..account import BackupAccount, Change
from ..connect import run_quoted
from .sql import literal, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

READER = "pg_read_all_data"
INHERIT_PER_GRANT = 160000
"""From this version on each membership says for itself whether it is inherited (release notes of PostgreSQL 16)."""
_MASK = "********"
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(?P<rounds>\d+):(?P<salt>[^$]+)\$(?P<stored>[^:]+):.+")


def verifies(verifier: str, password: str) -> bool:
    """Whether a SCRAM-SHA-256 verifier is of a password; False for a verifier of another kind.

    libpq takes the password through SASLprep (RFC 4013), or as it is where that forbids a character in it.
    """
    found = _VERIFIER.fullmatch(verifier)
    if not found:
        return False
    prepared = "".join(letter for letter in password if not stringprep.in_table_b1(letter))
    for form in (unicodedata.normalize("NFKC", prepared), password):
        salted = hashlib.pbkdf2_hmac("sha256", form.encode(), base64.b64decode(found["salt"]), int(found["rounds"]))
        stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        if hmac.compare_digest(stored_key, base64.b64decode(found["stored"])):
            return True
    return False


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
        if not run_quoted(connection, "SELECT has_table_privilege('pg_authid', 'SELECT')").scalar_one():
            raise PermissionDeniedError(
                f"The administrator of instance {self.administrator.id} may not read pg_authid, which tells whether "
                f"{self.wanted.username} has the password. Use a superuser, or set update_password to on_create."
            )
        query = sa.text("SELECT rolpassword FROM pg_authid WHERE rolname = :name")
        stored = connection.execute(query, {"name": self.wanted.username}).scalar_one()
        return verifies(stored or "", self.wanted.password)

    def grants(self, connection: sa.Connection, exists: bool) -> list[Change]:
        name = quoted(self.wanted.username)
        query = sa.text("SELECT current_setting('server_version_num')::int, to_regrole(:reader) IS NOT NULL")
        version, known = connection.execute(query, {"reader": READER}).one()
        if not known:
            raise TargetUnfitError(
                f"Instance {self.administrator.id} has no role {READER}, which came with PostgreSQL 14. "
                "Back it up as a superuser."
            )
        query = sa.text("""
            SELECT rolcanlogin AS login, rolbypassrls AS bypassrls, rolcreatedb AS createdb, rolinherit AS inherits,
                   pg_has_role(oid, :reader, 'USAGE') AS reads, rolsuper AS super
            FROM pg_roles WHERE rolname = :name""")
        row = connection.execute(query, {"name": self.wanted.username, "reader": READER}).one_or_none()
        per_grant = version >= INHERIT_PER_GRANT
        wanted = {"LOGIN": row and row.login, "BYPASSRLS": row and (row.bypassrls or row.super)}
        if row and not per_grant:
            wanted["INHERIT"] = row.inherits or row.reads
        if self.wanted.restore:
            wanted["CREATEDB"] = row and (row.createdb or row.super)
        lacking = [option for option, held in wanted.items() if not held]
        statements = [f"ALTER ROLE {name} {' '.join(lacking)}"] if lacking else []
        if not (row and (row.reads or row.super)):
            statements.append(f"GRANT {READER} TO {name}{' WITH INHERIT TRUE' if per_grant else ''}")
        return [Change(statement, statement) for statement in statements]

    def beyond(self, connection: sa.Connection) -> list[str]:
        query = sa.text("""
            SELECT rolsuper AS "SUPERUSER", rolcreaterole AS "CREATEROLE", rolreplication AS "REPLICATION",
                   rolcreatedb AND NOT :restore AS "CREATEDB",
                   ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                         WHERE m.member = r.oid AND g.rolname <> :reader ORDER BY 1) AS memberships
            FROM pg_roles r WHERE rolname = :name""")
        values = {"name": self.wanted.username, "reader": READER, "restore": self.wanted.restore}
        held = dict(connection.execute(query, values).one()._mapping)
        memberships = [f"member of {quoted(role)}" for role in held.pop("memberships")]
        return [name for name, holds in held.items() if holds] + memberships

    def removal(self, connection: sa.Connection) -> list[Change]:
        statement = f"DROP ROLE {quoted(self.wanted.username)}"
        return [Change(statement, statement)]

    def execute(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        for change in changes:
            run_quoted(connection, change.sql)
        connection.commit()
