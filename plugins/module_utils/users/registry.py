# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of servers that have accounts. What reads them is imported when it is opened, as engines are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config import Instance
from ..errors import InvalidConfigError

if TYPE_CHECKING:
    from .base import UsersEngine

USERS_ENGINES = ("mysql", "postgresql")


def has_users(instance: Instance) -> bool:
    """SQLite has no accounts."""
    return instance.engine in USERS_ENGINES


def open_users(instance: Instance) -> UsersEngine:
    """The accounts of an instance. The caller closes it."""
    if instance.engine == "mysql":
        from .mysql.engine import MySQLUsers

        return MySQLUsers(instance)
    if instance.engine == "postgresql":
        from .postgresql.engine import PostgreSQLUsers

        return PostgreSQLUsers(instance)
    raise InvalidConfigError(f"Instance {instance.id} is of engine {instance.engine}, which has no accounts.")
