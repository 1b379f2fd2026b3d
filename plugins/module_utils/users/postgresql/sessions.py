# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions for work on roles: one for what belongs to the server as a whole, and one in each database."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ...config import Instance
from ...engines.connect import create_engine, translated_errors
from ...engines.postgresql import catalog
from ...errors import NotFoundError, PermissionDeniedError

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

_MOST_DATABASES = 8
"""So many databases at most have an open connection."""
_SILENT = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_min_error_statement": "panic",
    "pg_stat_statements.track_utility": "off",
    "track_activities": "off",
}
"""Settings with which no statement, and so no hash, gets into the server's log or the views of its activity (PostgreSQL
manual, "What To Log", "Run-time Statistics")."""
_SETTLE = """
    SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO, YMD', false)"""
_SILENCE = """
    SELECT set_config(name, value, false) FROM jsonb_each_text(CAST(:values AS jsonb)) AS s(name, value)
    WHERE name IN (SELECT name FROM pg_settings) AND {allowed}"""
_NAMED_PRIVILEGES = 150000


@dataclass(frozen=True)
class Notice:
    """What the server remarks on a statement."""

    sqlstate: str
    message_primary: str


def version_of(connection: sa.Connection) -> int:
    """The server's version as a number: 150004 is 15.4."""
    return int(connection.execute(sa.text("SHOW server_version_num")).scalar_one())


def is_superuser(connection: sa.Connection) -> bool:
    return bool(connection.execute(sa.text("SHOW is_superuser")).scalar_one() == "on")


class Sessions:
    """Connections of one instance. Transactions on the same database share one, and the oldest are closed.

    None is left at template1, where it would keep others from making databases.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._engines: OrderedDict[str, sa.Engine] = OrderedDict()

    def close(self) -> None:
        while self._engines:
            self._engines.popitem()[1].dispose()

    @contextmanager
    def transaction(self, database: str | None = None) -> Iterator[sa.Connection]:
        """A transaction in a database, or, for what belongs to no database, in one that is always there.

        The server's notices are in the connection's ``info["notices"]``. Raises as ``translated_errors`` does.
        """
        try:
            with translated_errors(self._instance), self._connected(database) as connection:
                if "notices" not in connection.info:
                    _settle(connection)
                with connection.begin():
                    yield connection
        finally:
            self.leave("template1")

    def leave(self, database: str) -> None:
        """Closes what is open to a database."""
        if database in self._engines:
            self._engines.pop(database).dispose()

    def _connected(self, database: str | None) -> sa.Connection:
        if database is not None:
            return self._connect(database)
        try:
            return self._connect("postgres")
        except (NotFoundError, PermissionDeniedError):
            return self._connect("template1")

    def _connect(self, database: str) -> sa.Connection:
        if database not in self._engines:
            self._engines[database] = create_engine(self._instance, database)
        self._engines.move_to_end(database)
        if len(self._engines) > _MOST_DATABASES:
            self._engines.popitem(last=False)[1].dispose()
        with translated_errors(self._instance):
            return self._engines[database].connect()


def _settle(connection: sa.Connection) -> None:
    """Makes a session write nothing into logs, as far as the account may say so, and keep what the server remarks."""
    catalog.settle(connection)
    connection.execute(sa.text(_SETTLE))
    if is_superuser(connection):
        allowed = "true"
    elif version_of(connection) >= _NAMED_PRIVILEGES:
        allowed = "has_parameter_privilege(name, 'SET')"
    else:
        allowed = "false"
    connection.execute(sa.text(_SILENCE.format(allowed=allowed)), {"values": json.dumps(_SILENT)})
    connection.commit()
    notices: list[Notice] = []

    def keep(diagnostic: Any) -> None:  # which is empty once this returns
        notices.append(Notice(diagnostic.sqlstate or "", diagnostic.message_primary or ""))

    connection.connection.driver_connection.add_notice_handler(keep)  # type: ignore[union-attr]
    connection.info["notices"] = notices
