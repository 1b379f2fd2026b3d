# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private MySQL servers for tests, as kit.mariadb has MariaDB's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .mariadb import MariaDBServer, private_folder

SETTINGS = {
    "innodb_buffer_pool_size": "64M",
    "innodb_flush_log_at_trx_commit": "0",
    "innodb_doublewrite": "OFF",
    "innodb_redo_log_capacity": "32M",
    "sync_binlog": "0",
    "skip_name_resolve": "1",
    "server_id": "1",
    "performance_schema": "0",
    "mysqlx": "OFF",
    "event_scheduler": "OFF",
    "secure_file_priv": "",
}


class MySQLServer(MariaDBServer):
    """A running server whose account ``root`` needs no password on the socket and one over TCP."""

    flavour = "mysql"
    client = "mysql"
    daemon = "mysqld"
    defaults = SETTINGS

    def initialize(self) -> None:
        self._as_user("mysqld", "--no-defaults", f"--datadir={self.data}", "--initialize-insecure").wait(120)


@contextmanager
def running(**settings: str) -> Iterator[MySQLServer]:
    with private_folder() as folder:
        server = MySQLServer(Path(folder), **settings)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def source() -> Iterator[MySQLServer]:
    """The source server: another time zone, a larger packet."""
    with running(default_time_zone="+05:30", max_allowed_packet="64M") as server:
        yield server


@contextmanager
def other() -> Iterator[MySQLServer]:
    """A fresh server with nothing but what the package brings, and MariaDB's smaller packet."""
    with running(default_time_zone="-08:00", max_allowed_packet="16M") as target:
        yield target
