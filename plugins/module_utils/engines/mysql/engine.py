# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL and MariaDB: out through mysqldump or mariadb-dump, back through mysql or mariadb.

What backs up and restores is imported when it is used: most backups are not due, and that takes less time to find out.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING

from ...config import Instance
from ..base import SCRATCH_PREFIX, Database, Engine, Restored, RestoreRequest, Server, Snapshot, dropped_after
from ..connect import create_engine, run_quoted, translated_errors
from . import catalog

if TYPE_CHECKING:
    import sqlalchemy as sa

    from .tools import Flavour, Tool

# mysqldump.c, ``write_footer``: the last statement gives a variable back what it was before; comments are off.
_END_OF_SCRIPT = re.compile(rb"=@OLD_\w+ \*/;\s*\Z")


class MySQL(Engine):
    """A MySQL or MariaDB server; which of the two is asked of the server."""

    name = "mysql"
    replaces_atomically = False

    def __init__(self, instance: Instance) -> None:
        super().__init__(instance)
        self._engine = create_engine(instance)

    def server(self) -> Server:
        with translated_errors(self.instance), self._engine.connect() as connection:
            version = catalog.server_version(connection)
        return Server("mariadb" if "MariaDB" in version else "mysql", version)

    def dump_tool(self, server: Server) -> tuple[str, str]:
        from .tools import FLAVOURS, find_tool

        flavour = FLAVOURS[server.flavour]
        find_tool(flavour, flavour.client_programs, server.version)
        tool = find_tool(flavour, flavour.dump_programs, server.version)
        return tool.path.rpartition("/")[2], tool.version

    def database_names(self) -> list[str]:
        with translated_errors(self.instance), self._engine.connect() as connection:
            found = catalog.names_of_databases(connection)
        return [name for name in found if not catalog.SCRATCH_NAME.match(name)]

    def databases(self, names: Collection[str] | None = None, count_tables: bool = True) -> list[Database]:
        there = [name for name in self.database_names() if names is None or name in names]
        with translated_errors(self.instance), self._engine.connect() as connection:
            return [catalog.described(connection, name) for name in there]

    def exists(self, database: str) -> bool:
        with translated_errors(self.instance), self._engine.connect() as connection:
            return catalog.stored_name(connection, database) is not None

    def existing_tables(self, database: str) -> list[str]:
        with translated_errors(self.instance), self._engine.connect() as connection:
            kinds = catalog.names_of_tables(connection, database)
        return sorted(name for name, kind in kinds.items() if kind in catalog.TABLE_KINDS)

    def snapshot(self, database: str, jobs: int) -> AbstractContextManager[Snapshot]:
        from .snapshot import open_snapshot

        return open_snapshot(self.instance, database, jobs)

    def check_restore(self, request: RestoreRequest) -> list[str]:
        from .check import check_target

        self._client_tool()
        with translated_errors(self.instance), self._engine.connect() as connection:
            connection.detach()  # the checks try settings of the session
            return check_target(connection, self.instance, request)

    def restore(self, request: RestoreRequest) -> Restored:
        from ...commands import SecretFile
        from .restore import Client, Restore
        from .tools import Login, option_file

        self.check_restore(request)
        flavour, tool = self._client_tool()
        with translated_errors(self.instance), self._engine.connect() as connection:
            connection.detach()
            options = option_file(self.instance, flavour, catalog.encrypted(connection))
            loading = catalog.accepted(connection, flavour.loading)
        with closing(SecretFile(options)) as secret:
            client = Client(self.instance, flavour, tool, Login(secret), loading)
            return Restore(self._engine, client, request).run()

    @contextmanager
    def scratch(self) -> Iterator[str]:
        name = SCRATCH_PREFIX + secrets.token_hex(6)
        with closing(self._claimed(name)) as connection:
            with translated_errors(self.instance):
                leftovers = catalog.unclaimed(connection, catalog.SCRATCH_NAME)
            for leftover in leftovers:
                self._drop(leftover)
            with dropped_after(self.instance, name, lambda: self._drop(name)):
                yield name

    def _claimed(self, name: str) -> sa.Connection:
        """A connection that holds the server-wide lock of that name, and that the server keeps while it idles."""
        with translated_errors(self.instance):
            connection = self._engine.connect()
            connection.detach()
            run_quoted(connection, "SET SESSION wait_timeout = 604800")
            catalog.claim(connection, name)
        return connection

    def _drop(self, database: str) -> None:
        with translated_errors(self.instance), self._engine.connect() as connection:
            run_quoted(connection, f"DROP DATABASE IF EXISTS {catalog.quoted(database)}")

    @classmethod
    def flaw(cls, kind: str, raw_bytes: int, head: bytes, tail: bytes) -> str | None:
        return None if _END_OF_SCRIPT.search(tail) else "ends in the middle of the script"

    def close(self) -> None:
        self._engine.dispose()

    def _client_tool(self) -> tuple[Flavour, Tool]:
        from .tools import FLAVOURS, find_tool

        server = self.server()
        flavour = FLAVOURS[server.flavour]
        return flavour, find_tool(flavour, flavour.client_programs, server.version)
