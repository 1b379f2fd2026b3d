# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private PostgreSQL servers for tests: own data folder, socket and port, stopped and removed at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from ansible_collections.vya.backupdb.plugins.module_utils.commands import find_programs
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from psycopg import sql

from .barehost import free_port

BINARIES = "/usr/lib/postgresql/*/bin"
SETTINGS = {
    "fsync": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_wal_size": "4GB",
    "max_prepared_transactions": "5",
    "wal_level": "logical",
    "log_min_messages": "fatal",
}


def quoted(*names: str) -> str:
    """A qualified name as the driver quotes it."""
    return sql.Identifier(*names).as_string(None)


class PostgresServer:
    """A running server whose superuser is ``postgres``: trusted on the socket, asked for a password over TCP.

    The programs are copied so that the server has a folder of extensions of its own (``extensions``: file name to
    content), which PostgreSQL looks for relative to its executable. With a ``primary`` it is that one's standby.
    """

    def __init__(
        self, folder: Path, extensions: dict[str, str], primary: PostgresServer | None = None, **settings: str
    ) -> None:
        self.folder = folder
        self.password = "it's a \\secret: %s$@#"
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._programs = self._copy_programs(extensions)
        (folder / "password").write_text(self.password)
        for path in (folder, folder / "password"):
            shutil.chown(path, self._user)
        if primary:
            self._as_user(
                "pg_basebackup", "--pgdata", self.data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
                "-h", primary.folder, "-p", str(primary.port), "--username=postgres",
            ).wait(60)  # fmt: skip
        else:
            self._as_user(
                "initdb", "--pgdata", self.data, "--username=postgres", f"--pwfile={folder / 'password'}", "--no-sync",
                "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8",
            ).wait(60)  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in {**SETTINGS, **settings}.items())
        self.port = free_port()
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def _copy_programs(self, extensions: dict[str, str]) -> Path:
        config = find_programs(["pg_config"], [BINARIES])[0]
        asked = subprocess.run(
            [config, "--bindir", "--pkglibdir", "--sharedir"], capture_output=True, text=True, check=True
        )
        binaries, libraries, share = (Path(line) for line in asked.stdout.splitlines())
        own = [self.folder / "usr" / path.relative_to("/usr") for path in (binaries, libraries, share)]
        for path in (own[0], own[2] / "extension"):
            path.mkdir(parents=True)
        for program in ("postgres", "initdb", "pg_basebackup"):
            shutil.copy(binaries / program, own[0])
        own[1].symlink_to(libraries)
        for source, target in ((share, own[2]), (share / "extension", own[2] / "extension")):
            for path in source.iterdir():
                if not (target / path.name).exists():
                    (target / path.name).symlink_to(path)
        for name, content in extensions.items():
            (own[2] / "extension" / name).write_text(content)
        return own[0]

    def _as_user(self, program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        become = [f"--reuid={self._user}", f"--regid={self._user}", "--init-groups"] if os.geteuid() == 0 else []
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                ["setpriv", *become, "--pdeathsig=INT", self._programs / program, *arguments],
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def start(self) -> None:
        self._process = self._as_user(
            "postgres", "-D", self.data, "-k", self.folder, "-p", str(self.port), "-h", "127.0.0.1"
        )
        for _turn in range(300):
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError((self.folder / "log").read_text())

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """Ends the server as `pg_ctl stop -m fast` does."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def instance(self, **changes: Any) -> Instance:
        """The server as an instance, over TCP with the password."""
        instance = Instance(
            id="pg", engine="postgresql", host="127.0.0.1", port=self.port, username="postgres", password=self.password
        )
        return replace(instance, **changes)

    def connect(self, database: str, user: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=str(self.folder), port=self.port, user=user, dbname=database, autocommit=True, client_encoding="UTF8"
        )

    def run(self, database: str, *statements: str) -> list[tuple[Any, ...]]:
        """Runs statements; the rows of the last one."""
        with self.connect(database) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def value(self, database: str, statement: str) -> Any:
        return self.run(database, statement)[0][0]

    @property
    def major(self) -> int:
        return int(self.value("postgres", "SHOW server_version_num")) // 10000

    def databases(self) -> set[str]:
        return {str(row[0]) for row in self.run("postgres", "SELECT datname FROM pg_database")}

    def create(self, database: str, *statements: str, options: str = "") -> None:
        """Makes a database afresh and runs statements in it, one by one."""
        self.drop(database)
        self.run("postgres", f"CREATE DATABASE {quoted(database)} {options}")
        if statements:
            self.run(database, *statements)

    def drop(self, *databases: str) -> None:
        for database in databases:
            self.run("postgres", f"DROP DATABASE IF EXISTS {quoted(database)} WITH (FORCE)")

    def tablespace(self, name: str) -> None:
        folder = self.folder / name
        folder.mkdir()
        shutil.chown(folder, self._user)
        self.run("postgres", f"CREATE TABLESPACE {quoted(name)} LOCATION '{folder}'")

    def role(self, name: str, options: str = "") -> None:
        if not self.run("postgres", f"SELECT 1 FROM pg_roles WHERE rolname = {sql.Literal(name).as_string(None)}"):
            self.run("postgres", f"CREATE ROLE {quoted(name)} {options}")


SETTINGS_EXTENSION = {
    "vya_settings.control": "default_version = '1.0'\nrelocatable = true\n",
    "vya_settings--1.0.sql": """
CREATE TABLE setting (name text PRIMARY KEY, value text, builtin boolean NOT NULL DEFAULT false);
INSERT INTO setting VALUES ('shipped', 'with the extension', true);
CREATE SEQUENCE setting_numbers;
SELECT pg_catalog.pg_extension_config_dump('setting', 'WHERE NOT builtin');
SELECT pg_catalog.pg_extension_config_dump('setting_numbers', '');
""",
}
ONLY_HERE_EXTENSION = {"vya_only_here.control": "default_version = '1'\n", "vya_only_here--1.sql": "\n"}


@contextmanager
def running(
    extensions: dict[str, str], primary: PostgresServer | None = None, **settings: str
) -> Iterator[PostgresServer]:
    # Not below tmp_path: pytest makes that unreadable for other users, and a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="vya-pg-") as folder:
        server = PostgresServer(Path(folder), extensions, primary, **settings)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def source() -> Iterator[PostgresServer]:
    """The source server."""
    with running({**SETTINGS_EXTENSION, **ONLY_HERE_EXTENSION}) as server:
        yield server


@contextmanager
def other() -> Iterator[PostgresServer]:
    """A fresh server, with other roles, extensions and tablespaces than the source."""
    with running(SETTINGS_EXTENSION) as target:
        yield target
