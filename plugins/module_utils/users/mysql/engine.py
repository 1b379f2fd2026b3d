# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The accounts of MySQL and MariaDB servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property

from ...config import Instance
from ...engines.base import Inventory
from ...engines.connect import create_engine, run_quoted, translated_errors
from ...engines.mysql.visible import covers
from ...engines.sentences import driver_sentence
from ...errors import NotFoundError, PermissionDeniedError, QueryFailedError
from ...security.redact import Redactor
from ..base import Changes, Statement, UsersEngine
from ..model import Account, Accounts, Grant
from . import statements
from .carry import Target, carry, label_on, no_place
from .reading import read_accounts

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

# "Server Error Message Reference" of the MySQL manual, "MariaDB Error Codes" of MariaDB's.
_MISSING = {1049, 1054, 1146, 1305, 1959, 3523}
"""Unknown database, column, table, routine, MariaDB's and MySQL's unknown role."""
_DENIED = {1044, 1045, 1142, 1143, 1227, 1370, 1410, 1698}


class MySQLUsers(UsersEngine):
    """Statements of these servers commit by themselves: what ran before a failure stays."""

    name = "mysql"
    transactional = False

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self._engine = create_engine(instance)
        self._connection: sa.Connection | None = None

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """One session for all: there are thousands of statements."""
        with translated_errors(self.instance):
            if self._connection is None or self._connection.invalidated:
                self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                # Backslashes in strings are escapes, double quotes are strings, and names are shown in backticks.
                run_quoted(self._connection, "SET SESSION sql_mode = '', sql_quote_show_create = 1")
            yield self._connection

    @cached_property
    def _target(self) -> Target:
        with self._connected() as connection:
            return Target.of(connection)

    def read(self) -> Accounts:
        try:
            with self._connected() as connection:
                return read_accounts(connection)
        except PermissionDeniedError as error:
            raise PermissionDeniedError(
                f"{error.message} To read the accounts of the server it needs the privilege SELECT on mysql.*."
            ) from None

    def changes(self, source: Accounts, wanted: Account, current: Account | None, revoke: bool) -> Changes:
        reason = no_place(self._target, source, wanted)
        if reason:
            return Changes([], [reason])
        carried = carry(self._target, source, wanted)
        needed = statements.statements(self._target, carried, current, revoke)
        if needed and current and carried.account.label == self._target.me:
            return Changes([], ["It is the account that restores, and is left as it is."])
        lost = carried.lost
        if current is None and {"PASSWORD HISTORY", "PASSWORD REUSE INTERVAL"} & {*carried.account.attributes}:
            lost = [*lost, "Its earlier passwords: the server takes no hashes of them, and they may be used again."]
        return Changes(needed, lost)

    def same_identity(self, source: Accounts, wanted: Account, current: Account) -> bool:
        return statements.same_identity(carry(self._target, source, wanted), current)

    def label_here(self, source: Accounts, account: Account) -> str:
        return "" if no_place(self._target, source, account) else label_on(self._target, source, account)

    def concerns(self, grant: Grant, database: str) -> bool:
        if grant.kind == "database":
            return covers(grant.name[0], database)
        return grant.kind != "account" and super().concerns(grant, database)

    def execute(self, statements: Sequence[Statement]) -> None:
        with self._connected() as connection:
            for statement in statements:
                try:
                    run_quoted(connection, statement.sql).close()
                except sa.exc.DBAPIError as error:
                    if error.connection_invalidated or error.orig is None:
                        raise
                    raise self._failure(statement, error.orig) from None

    def _failure(self, statement: Statement, error: BaseException) -> Exception:
        number = error.args[0] if error.args else 0
        said = Redactor([*statement.secrets, self.instance.password])(driver_sentence(error))
        sentence = f"Instance {self.instance.id} refused this: {statement.shown}. It said: {said}."
        if number in _DENIED:
            return PermissionDeniedError(f"{sentence} Log in as an account that may grant that.")
        return (NotFoundError if number in _MISSING else QueryFailedError)(sentence)

    def named_in(self, inventory: Inventory) -> set[str]:
        return set(inventory.notes["definers"])

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()
