# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of PostgreSQL servers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from itertools import groupby

from ...config import Instance
from ...engines.base import Inventory
from ...engines.connect import run_quoted
from ...engines.postgresql.sql import quoted
from ...errors import BackupdbError, NotFoundError, PermissionDeniedError, QueryFailedError
from ...security.redact import Redactor
from ..base import DELEGATED, Changes, Statement, UsersEngine
from ..model import Account, Accounts, Grant
from . import statements
from .carry import Target, carry, unseen
from .grants import SHARED
from .reading import Owners, read_accounts
from .sessions import Sessions

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

# PostgreSQL manual, appendix A.
_MISSING = ("3D000", "3F000", "42703", "42704", "42883", "42P01")
"""Unknown database, schema, column, object (a role or type, say), function, and table."""
_NO_SUCH_SETTING = "22023"
"""What SET ROLE says of an unknown role: to the server it is a setting like others (variable.c, check_role)."""
_DENIED = "42501"
_NOTHING_DONE = ("01006", "01007")
"""Warnings that privileges were not revoked, or not granted: the statement has done nothing, or not all."""


class PostgreSQLUsers(UsersEngine):
    """Roles belong to the server, and most privileges to one of its databases: there is a transaction for each."""

    name = "postgresql"
    transactional = True

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self._sessions = Sessions(instance)
        self._owners: Owners = {}

    @cached_property
    def _target(self) -> Target:
        with self._sessions.transaction() as connection:
            return Target.of(connection)

    def read(self) -> Accounts:
        accounts, self._owners = read_accounts(self._sessions)
        return accounts

    def changes(self, source: Accounts, wanted: Account, current: Account | None, revoke: bool) -> Changes:
        carried = carry(self._target, self._owners, source, wanted)
        needed = statements.statements(self._target, carried, current, revoke)
        if needed and current and wanted.name == self._target.me:
            return Changes([], ["It is the account that restores, and is left as it is."])
        return Changes(needed, [*carried.lost, *unseen(carried.account, current)])

    def same_identity(self, source: Accounts, wanted: Account, current: Account) -> bool:
        return statements.same_identity(carry(self._target, self._owners, source, wanted), current)

    def concerns(self, grant: Grant, database: str) -> bool:
        if grant.kind in SHARED and grant.kind != "database":
            return False
        return super().concerns(grant, database)

    def entering(self, database: str | None) -> str:
        """For psql."""
        return f"\\connect {quoted(database or 'postgres')}"

    def execute(self, statements: Sequence[Statement]) -> None:
        """One transaction for each database, one after the other: none of its statements has an effect if one fails.
        What earlier databases have is harmless to repeat."""
        for database, group in groupby(sorted(statements, key=_database), key=_database):
            with self._sessions.transaction(database or None) as connection:
                for statement in group:
                    self._run(connection, statement)

    def _run(self, connection: sa.Connection, statement: Statement) -> None:
        notices = connection.info["notices"]
        notices.clear()
        try:
            run_quoted(connection, statement.sql).close()
        except sa.exc.DBAPIError as error:
            if error.connection_invalidated or error.orig is None:
                raise
            said = getattr(error.orig, "diag", None)
            raise self._failure(statement, said, getattr(error.orig, "sqlstate", None) or "") from None
        for notice in notices:
            if notice.sqlstate in _NOTHING_DONE:
                raise self._failure(statement, notice, _DENIED)

    def _failure(self, statement: Statement, said: object, state: str) -> BackupdbError:
        """Only what the server says, without the line of the statement that it shows, where a hash may be cut off."""
        parts = [getattr(said, name, None) for name in ("message_primary", "message_detail", "message_hint")]
        words = ". ".join(str(part).strip().rstrip(".") for part in parts if part)
        words = Redactor([*statement.secrets, self.instance.password])(words)
        where = f" in database {statement.database}" if statement.database else ""
        sentence = f"Instance {self.instance.id} refused this{where}: {statement.shown}. It said: {words}."
        if state == _DENIED:
            return PermissionDeniedError(f"{sentence} Log in as a superuser, or as a role that may grant that.")
        missing = state in _MISSING or (state == _NO_SUCH_SETTING and statement.phase == DELEGATED)
        return (NotFoundError if missing else QueryFailedError)(sentence)

    def named_in(self, inventory: Inventory) -> set[str]:
        """Owners, roles with privileges or settings, and those that policies name."""
        notes, properties = inventory.notes["roles"], inventory.properties
        grantees = {grant["grantee"] for grant in properties["acl"] or ()}
        settings = {group["role"] for group in properties["settings"]}
        named = {properties["owner"], *grantees, *settings, *(name for names in notes.values() for name in names)}
        return {name for name in named if name is not None}

    def close(self) -> None:
        self._sessions.close()


def _database(statement: Statement) -> str:
    return statement.database or ""
