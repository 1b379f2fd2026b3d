# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account that backs up MySQL and MariaDB servers, and restores them where that is asked for.

The privileges are measured, on MariaDB 10.11 and 11.8 and on MySQL 9.7, by taking each away in turn and seeing what
breaks; tests/integration/test_accounts.py does so for MariaDB. What they are called: MySQL manual, "Privileges Provided
by MySQL"; MariaDB manual, "GRANT".
"""

from __future__ import annotations

import hashlib
import hmac
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import AuthenticationFailedError, PermissionDeniedError
from ..account import BackupAccount, Change
from ..connect import create_engine, run_quoted, translated_errors
from . import catalog
from .visible import held_privileges

if TYPE_CHECKING:
    from collections.abc import Sequence

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

BACKUP = {
    "mariadb": ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "RELOAD", "BINLOG MONITOR"),
    "mysql": ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "RELOAD", "REPLICATION CLIENT"),
}
RESTORE = {
    "mariadb": ("CREATE", "DROP", "ALTER", "INSERT", "CREATE VIEW", "CREATE ROUTINE", "SET USER"),
    "mysql": (
        "CREATE", "DROP", "ALTER", "INSERT", "REFERENCES", "CREATE VIEW", "CREATE ROUTINE", "SET_ANY_DEFINER",
        "ALLOW_NONEXISTENT_DEFINER",
    ),
}  # fmt: skip
RESTORE_LOGGED = "SUPER"
"""Besides, where the binary log is on and log_bin_trust_function_creators is off: for triggers and functions."""
OLDER_NAMES = {"SET_ANY_DEFINER": "SET_USER_ID", "ALLOW_NONEXISTENT_DEFINER": "SET_USER_ID"}
"""What MySQL 8.0 and 8.1 call them."""
NATIVE = "mysql_native_password"
_MASK = "********"
_DENIED = (1044, 1045, 1227)
"""ER_DBACCESS_DENIED_ERROR, ER_ACCESS_DENIED_ERROR (of logins, too) and ER_SPECIFIC_ACCESS_DENIED_ERROR."""


def native_hash(password: str) -> str:
    """What the authentication plugin mysql_native_password stores (MariaDB manual, of that name)."""
    once = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()


def _flavour(connection: sa.Connection) -> str:
    return "mariadb" if "MariaDB" in catalog.server_version(connection) else "mysql"


class MySQLAccount(BackupAccount):
    """An account ``'name'@'host'``."""

    @property
    def _account(self) -> str:
        return f"{catalog.literal(self.wanted.username)}@{catalog.literal(self.wanted.host)}"

    def _with_password(self, connection: sa.Connection, verb: str) -> list[Change]:
        """MariaDB writes the statement to its logs as it is, and so gets a hash; MySQL masks the password there."""
        statement, secret = f"{verb} USER {self._account} IDENTIFIED BY ", self.wanted.password
        if _flavour(connection) == "mariadb":
            statement = f"{verb} USER {self._account} IDENTIFIED VIA {NATIVE} USING "
            secret = native_hash(self.wanted.password)
        return [Change(statement + catalog.literal(secret), f"{statement}'{_MASK}'")]

    def prepare(self, connection: sa.Connection) -> None:
        run_quoted(connection, "SET SESSION sql_mode = ''")  # backslashes in strings are escapes, quotes are not names

    def exists(self, connection: sa.Connection) -> bool:
        query = sa.text("SELECT COUNT(*) FROM mysql.user WHERE BINARY User = :name AND Host = :host")
        values = {"name": self.wanted.username, "host": self.wanted.host}
        return bool(connection.execute(query, values).scalar_one())

    def creation(self, connection: sa.Connection) -> list[Change]:
        return self._with_password(connection, "CREATE")

    def password_change(self, connection: sa.Connection) -> list[Change]:
        return self._with_password(connection, "ALTER")

    def has_password(self, connection: sa.Connection) -> bool:
        """Seen from the hash, or tried by a login from where the administrator's comes.

        Of MariaDB's plugins the driver knows this one alone, so that no account with another is of use here.
        """
        query = sa.text(
            "SELECT plugin, authentication_string FROM mysql.user WHERE BINARY User = :name AND Host = :host"
        )
        values = {"name": self.wanted.username, "host": self.wanted.host}
        plugin, stored = connection.execute(query, values).one()
        if plugin == NATIVE:
            return hmac.compare_digest(str(stored), native_hash(self.wanted.password))
        return _flavour(connection) == "mysql" and self._logs_in()

    def _logs_in(self) -> bool:
        wanted = self.wanted
        instance = replace(self.administrator, username=wanted.username, password=wanted.password)
        engine = create_engine(instance)
        try:
            with translated_errors(instance), closing(engine.connect()):
                return True
        except AuthenticationFailedError:
            return False
        finally:
            engine.dispose()

    def _wanted_privileges(self, connection: sa.Connection) -> list[str]:
        flavour = _flavour(connection)
        names = list(BACKUP[flavour])
        if self.wanted.restore:
            names += RESTORE[flavour]
            logged = run_quoted(connection, "SELECT @@log_bin AND NOT @@log_bin_trust_function_creators").scalar_one()
            names += [RESTORE_LOGGED] if logged else []
        if flavour == "mysql":
            known = {str(row[0]).upper() for row in run_quoted(connection, "SHOW PRIVILEGES")}
            names = [name if name in known else OLDER_NAMES.get(name, name) for name in names]
        return list(dict.fromkeys(names))

    def grants(self, connection: sa.Connection, exists: bool) -> list[Change]:
        rows = run_quoted(connection, f"SHOW GRANTS FOR {self._account}") if exists else ()
        held = held_privileges([str(row[0]) for row in rows], "")[0]
        if "ALL PRIVILEGES" in held:
            return []
        lacking = [name for name in self._wanted_privileges(connection) if name not in held]
        if not lacking:
            return []
        statement = f"GRANT {', '.join(lacking)} ON *.* TO {self._account}"
        return [Change(statement, statement)]

    def beyond(self, connection: sa.Connection) -> list[str]:
        grants = [str(row[0]) for row in run_quoted(connection, f"SHOW GRANTS FOR {self._account}")]
        everywhere = [grant for grant in grants if " ON *.* TO " in grant]
        wanted = {"USAGE", *self._wanted_privileges(connection)}
        extra = sorted(held_privileges(everywhere, "")[0] - wanted)
        if any(grant.endswith("WITH GRANT OPTION") for grant in everywhere):
            extra.append("GRANT OPTION")
        return extra + [grant for grant in grants if grant not in everywhere]

    def removal(self, connection: sa.Connection) -> list[Change]:
        statement = f"DROP USER {self._account}"
        return [Change(statement, statement)]

    def execute(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        for change in changes:
            try:
                run_quoted(connection, change.sql)
            except sa.exc.DBAPIError as error:
                if error.orig is None or error.orig.args[0] not in _DENIED:
                    raise
                raise PermissionDeniedError(
                    f"The administrator of instance {self.administrator.id} may not run this: {change.shown}. "
                    "Log in as an account with all privileges and the grant option."
                ) from None
        connection.commit()
