# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private MariaDB servers for tests: own data folder, socket and port, stopped and removed at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance

from .barehost import free_port

SETTINGS = {
    "innodb_buffer_pool_size": "64M",
    "innodb_flush_log_at_trx_commit": "0",
    "innodb_doublewrite": "0",
    "debug_no_sync": "1",
    "sync_frm": "0",
    "innodb_log_file_size": "32M",
    "skip_name_resolve": "1",
    "log_bin": "binlog",
    "server_id": "1",
    "performance_schema": "0",
}


def quoted(*names: str) -> str:
    """A qualified name in backticks."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)


def _programs() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


class MariaDBServer:
    """A running server whose account ``root`` needs no password on the socket and one over TCP."""

    flavour = "mariadb"
    client = "mariadb"
    daemon = "mariadbd"
    defaults = SETTINGS

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.password = 'it\'s a \\secret: "%s" $@#'
        self._user = "mysql" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._settings = {**self.defaults, **settings}
        shutil.chown(folder, self._user)
        self.initialize()
        self.socket.unlink(missing_ok=True)
        self.port = free_port()
        self.start()
        account = f"root@'127.0.0.1' IDENTIFIED BY '{pymysql.converters.escape_string(self.password)}'"
        self.run(
            "DROP USER IF EXISTS root@'127.0.0.1'",
            f"CREATE USER {account}",
            "GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION",
        )

    def initialize(self) -> None:
        """Makes the data folder."""
        self._as_user(
            "mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--skip-test-db", "--skip-name-resolve",
            "--auth-root-authentication-method=normal",
        ).wait(120)  # fmt: skip

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    def _as_user(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        path = shutil.which(program, path=_programs()) or program
        become = [f"--reuid={self._user}", f"--regid={self._user}", "--init-groups"] if os.geteuid() == 0 else []
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                ["setpriv", *become, "--pdeathsig=TERM", path, *arguments],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def start(self) -> None:
        settings = [f"--{name.replace('_', '-')}={value}" for name, value in self._settings.items()]
        self._process = self._as_user(
            self.daemon, "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}", f"--port={self.port}",
            "--bind-address=127.0.0.1", f"--pid-file={self.folder / 'pid'}",
            f"--tmpdir={self.folder}",  # a starting server removes what it takes for leftovers in its own
            *settings,
        )  # fmt: skip
        for _turn in range(600):
            with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket))
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def instance(self, **changes: Any) -> Instance:
        """The server as an instance, over TCP with the password."""
        instance = Instance(
            id="maria", engine="mysql", host="127.0.0.1", port=self.port, username="root", password=self.password
        )
        return replace(instance, **changes)

    def connect(self, database: str | None = None, user: str = "root", **arguments: Any) -> Any:
        return pymysql.connect(
            unix_socket=str(self.socket), user=user, database=database, autocommit=True, charset="utf8mb4", **arguments
        )

    def run(self, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Runs statements in one session; the rows of the last one."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def value(self, statement: str, database: str | None = None) -> Any:
        return self.run(statement, database=database)[0][0]

    def script(self, text: str, database: str) -> None:
        """Runs a script, with DELIMITER lines where needed, as a person would."""
        done = subprocess.run(
            [self.client, "--no-defaults", f"--socket={self.socket}", "--user=root", "--comments",
             "--default-character-set=utf8mb4", "--max-allowed-packet=1G", f"--database={database}"],
            input=text.encode(), env={k: v for k, v in os.environ.items() if not k.startswith("MYSQL_")},
            capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace"))

    def databases(self) -> set[str]:
        system = {"information_schema", "performance_schema", "mysql", "sys"}
        return {str(row[0]) for row in self.run("SHOW DATABASES")} - system

    def create(self, database: str, script: str = "", options: str = "") -> None:
        """Makes a database afresh and runs a script in it."""
        self.drop(database)
        self.run(f"CREATE DATABASE {quoted(database)} {options}")
        if script:
            self.script(script, database)

    def drop(self, *databases: str) -> None:
        for database in databases:
            self.run(f"DROP DATABASE IF EXISTS {quoted(database)}")


@contextmanager
def private_folder() -> Iterator[str]:
    # Not below tmp_path: pytest makes that unreadable for other users, and a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="vya-my-") as folder:
        yield folder


@contextmanager
def running(**settings: str) -> Iterator[MariaDBServer]:
    with private_folder() as folder:
        server = MariaDBServer(Path(folder), **settings)
        try:
            yield server
        finally:
            server.stop()


COLLATION = "utf8mb4_vya_only_here_ci"
CHARACTER_SETS = (Path("/usr/share/mariadb/charsets"), Path("/usr/share/mysql/charsets"))  # since 11, and before


def _character_sets(folder: Path) -> Path:
    """The server's character sets and one collation more (MariaDB manual, "Setting Character Sets and Collations")."""
    original = next(path for path in CHARACTER_SETS if path.is_dir())
    shutil.copytree(original, folder, dirs_exist_ok=True)
    index = folder / "Index.xml"
    text = index.read_text()
    collation = f'<collation name="{COLLATION}" id="2000"><rules><reset>a</reset><p>x</p></rules></collation>'
    index.write_text(text.replace("</charsets>", f'<charset name="utf8mb4">{collation}</charset></charsets>'))
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    return folder


@contextmanager
def source() -> Iterator[MariaDBServer]:
    """The source server: a collation of its own, a plugin engine, another time zone, a larger packet."""
    with tempfile.TemporaryDirectory(prefix="vya-my-cs-") as folder:
        Path(folder).chmod(0o755)
        sets = _character_sets(Path(folder) / "charsets")
        with running(
            character_sets_dir=f"{sets}", plugin_load_add="ha_archive", default_time_zone="+05:30", event_scheduler="0",
            max_allowed_packet="64M", character_set_server="utf8mb4",
        ) as server:  # fmt: skip
            yield server


@contextmanager
def other() -> Iterator[MariaDBServer]:
    """A fresh server with nothing but what the package brings."""
    with running(default_time_zone="-08:00") as target:
        yield target
