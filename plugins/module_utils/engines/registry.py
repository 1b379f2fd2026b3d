# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines there are. Adding one is one folder and one function here.

Each is imported when it is needed: the drivers of the others would take a good part of a small backup's time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..config import Instance
from ..errors import InvalidConfigError
from .base import Engine

if TYPE_CHECKING:
    from .account import BackupAccount


def _mysql() -> type[Engine]:
    from .mysql.engine import MySQL

    return MySQL


def _postgresql() -> type[Engine]:
    from .postgresql.engine import PostgreSQL

    return PostgreSQL


def _sqlite() -> type[Engine]:
    from .sqlite.engine import SQLite

    return SQLite


def _mysql_account() -> type[BackupAccount]:
    from .mysql.account import MySQLAccount

    return MySQLAccount


def _postgresql_account() -> type[BackupAccount]:
    from .postgresql.account import PostgreSQLAccount

    return PostgreSQLAccount


ENGINES: dict[str, Callable[[], type[Engine]]] = {"mysql": _mysql, "postgresql": _postgresql, "sqlite": _sqlite}
BACKUP_ACCOUNTS: dict[str, Callable[[], type[BackupAccount]]] = {
    "mysql": _mysql_account,
    "postgresql": _postgresql_account,
}
"""SQLite has no accounts."""


def engine_class(name: str) -> type[Engine]:
    """The engine of that name, for what takes no server. InvalidConfigError where a later version made the name up."""
    if name not in ENGINES:
        raise InvalidConfigError(f"This version of the collection knows no engine {name}. Update the collection.")
    return ENGINES[name]()


def open_engine(instance: Instance) -> Engine:
    return ENGINES[instance.engine]()(instance)
