# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines there are. Adding one is one folder and one line here.

An engine is imported when it is opened: the libraries of all of them take longer to load than a backup that is not due.
"""

from __future__ import annotations

from ..config import Instance
from ..errors import InvalidConfigError
from .base import Engine


def engine_class(name: str) -> type[Engine]:
    """The engine of that name, for what takes no server. InvalidConfigError where a later version made the name up."""
    if name == "mysql":
        from .mysql.engine import MySQL

        return MySQL
    if name == "postgresql":
        from .postgresql.engine import PostgreSQL

        return PostgreSQL
    if name == "sqlite":
        from .sqlite.engine import SQLite

        return SQLite
    raise InvalidConfigError(f"This version of the collection knows no engine {name}. Update the collection.")


def open_engine(instance: Instance) -> Engine:
    return engine_class(instance.engine)(instance)
