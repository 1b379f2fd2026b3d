# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account that backs up MySQL and MariaDB servers, and restores them where that is asked for.

The privileges of MariaDB are measured: tests/integration/test_accounts.py takes each away in turn and sees what breaks.
Those of MySQL are the same ones under their names there, and what its manual says that mysqldump and mysql need
(MySQL manual, "6.5.4 mysqldump", "8.2.2 Privileges Provided by MySQL").
"""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import AuthenticationFailedError
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
    "mysql": ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "RELOAD", "REPLICATION CLIENT", "PROCESS"),
}
RESTORE = {
    "mariadb": ("CREATE", "DROP", "ALTER", "INSERT", "CREATE VIEW", "CREATE ROUTINE", "SET USER", "SUPER"),
    "mysql": (
        "CREATE", "DROP", "ALTER", "INDEX", "INSERT", "REFERENCES", "CREATE VIEW", "CREATE ROUTINE", "ALTER ROUTINE",
        "SET_ANY_DEFINER", "ALLOW_NONEXISTENT_DEFINER", "SYSTEM_VARIABLES_ADMIN", "SUPER",
    ),
}  # fmt: skip
OLDER_NAMES = {"SET_ANY_DEFINER": "SET_USER_ID", "ALLOW_NONEXISTENT_DEFINER": "SET_USER_ID"}
"""What MySQL 8.0 and 8.1 call them."""
_MASK = "********"


class MySQLAccount(BackupAccount):
    """An account ``'name'@'host'``."""

    @property
    def _account(self) -> str:
        return f"{catalog.literal(self.wanted.username)}@{catalog.literal(self.wanted.host)}"

    def _with_password(self, verb: str) -> list[Change]:
        statement = f"{verb} USER {self._account} IDENTIFIED BY "
        return [Change(statement + catalog.literal(self.wanted.password), f"{statement}'{_MASK}'")]

    def prepare(self, connection: sa.Connection) -> None:
        run_quoted(connection, "SET SESSION sql_mode = ''")  # backslashes in strings are escapes, quotes are not names

    def exists(self, connection: sa.Connection) -> bool:
        query = sa.text("SELECT COUNT(*) FROM mysql.user WHERE BINARY User = :name AND Host = :host")
        values = {"name": self.wanted.username, "host": self.wanted.host}
        return bool(connection.execute(query, values).scalar_one())

    def creation(self, connection: sa.Connection) -> list[Change]:
        return self._with_password("CREATE")

    def password_change(self, connection: sa.Connection) -> list[Change]:
        return self._with_password("ALTER")

    def has_password(self, connection: sa.Connection) -> bool:
        """Tried by a login, from where the administrator's comes."""
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

    def grants(self, connection: sa.Connection, exists: bool) -> list[Change]:
        version = catalog.server_version(connection)
        flavour = "mariadb" if "MariaDB" in version else "mysql"
        wanted = [*BACKUP[flavour], *(RESTORE[flavour] if self.wanted.restore else ())]
        if flavour == "mysql":
            known = {str(row[0]).upper() for row in run_quoted(connection, "SHOW PRIVILEGES")}
            wanted = [name if name in known else OLDER_NAMES.get(name, name) for name in wanted]
        rows = run_quoted(connection, f"SHOW GRANTS FOR {self._account}") if exists else ()
        held = held_privileges([str(row[0]) for row in rows], "")[0]
        # SHOW GRANTS of MariaDB says the newer names of privileges, and takes the older ones.
        lacking = [] if "ALL PRIVILEGES" in held else [name for name in dict.fromkeys(wanted) if name not in held]
        if not lacking:
            return []
        statement = f"GRANT {', '.join(lacking)} ON *.* TO {self._account}"
        return [Change(statement, statement)]

    def removal(self, connection: sa.Connection) -> list[Change]:
        statement = f"DROP USER {self._account}"
        return [Change(statement, statement)]

    def execute(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        for change in changes:
            run_quoted(connection, change.sql)
        connection.commit()
