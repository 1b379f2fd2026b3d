# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines there are. Adding one is one folder and one line here."""

from __future__ import annotations

from ..config import Instance
from ..errors import InvalidConfigError
from .account import BackupAccount
from .base import Engine
from .mysql.account import MySQLAccount
from .mysql.engine import MySQL
from .postgresql.account import PostgreSQLAccount
from .postgresql.engine import PostgreSQL
from .sqlite.engine import SQLite

ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (MySQL, PostgreSQL, SQLite)}


BACKUP_ACCOUNTS: dict[str, type[BackupAccount]] = {"mysql": MySQLAccount, "postgresql": PostgreSQLAccount}
"""SQLite has no accounts."""


def engine_class(name: str) -> type[Engine]:
    """The engine of that name, for what takes no server. InvalidConfigError where a later version made the name up."""
    if name not in ENGINES:
        raise InvalidConfigError(f"This version of the collection knows no engine {name}. Update the collection.")
    return ENGINES[name]


def open_engine(instance: Instance) -> Engine:
    return ENGINES[instance.engine](instance)
