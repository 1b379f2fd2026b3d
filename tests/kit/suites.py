# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers of other versions: those of another Debian suite, running in a bare host and reached on loopback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pymysql
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance

from .barehost import BareHost, bare_host, free_port

PACKAGES = {
    "trixie": ("mariadb-server", "postgresql"),
    "sid": ("mysql-server", "postgresql"),
}
PASSWORD = "it's a secret: $@#"


def _wait(connect: Any, log: Any) -> None:
    for _turn in range(600):
        try:
            connect().close()
            return
        except (pymysql.err.OperationalError, psycopg.OperationalError):
            time.sleep(0.1)
    raise RuntimeError(log()[-2000:])


class SuiteMySQL:
    """MariaDB or MySQL, as kit.mariadb.MariaDBServer as far as tests of accounts go."""

    def __init__(self, host: BareHost) -> None:
        self.host, self.port, self.password = host, free_port(), PASSWORD
        data, logged = f"/var/tmp/my-{self.port}", f"/var/tmp/my-{self.port}.log"
        self.flavour = "mariadb" if host.run("sh", "-c", "command -v mariadbd", check=False) else "mysql"
        common = f"--no-defaults --user=mysql --datadir={data}"
        if self.flavour == "mariadb":
            made = f"mariadb-install-db {common} --skip-test-db --auth-root-authentication-method=normal"
            daemon = "mariadbd"
        else:
            made, daemon = f"mysqld {common} --initialize-insecure", "mysqld"
        host.run("sh", "-c", f"install -d -o mysql -g mysql {data} && {made}")
        start = f"{daemon} {common} --bind-address=127.0.0.1 --port={self.port} --socket={data}/s --skip-name-resolve"
        extra = " --innodb-flush-log-at-trx-commit=0"
        extra += " --mysqlx=OFF --skip-log-bin --innodb-doublewrite=OFF" if self.flavour == "mysql" else ""
        host.run("sh", "-c", f"setsid {start}{extra} --pid-file={data}/pid --server-id=1 >{logged} 2>&1 </dev/null &")
        client = "mariadb" if self.flavour == "mariadb" else "mysql"
        account, password = "root@'127.0.0.1'", pymysql.converters.escape_string(PASSWORD)
        script = (
            f"CREATE USER IF NOT EXISTS {account}; ALTER USER {account} IDENTIFIED BY '{password}';"
            f"GRANT ALL ON *.* TO {account} WITH GRANT OPTION; GRANT PROXY ON ''@'' TO {account} WITH GRANT OPTION;"
        )
        for _turn in range(600):
            if host.run("sh", "-c", f"test -S {data}/s && echo there", check=False):
                break
            time.sleep(0.1)
        host.run(client, "--no-defaults", "--user=root", f"--socket={data}/s", "-e", script)
        _wait(self.connect, lambda: host.read(logged))

    def instance(self, **changes: Any) -> Instance:
        instance = Instance(
            id="suite", engine="mysql", host="127.0.0.1", port=self.port, username="root", password=PASSWORD
        )
        return replace(instance, **changes)

    def connect(self, database: str | None = None) -> Any:
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", password=PASSWORD, database=database, autocommit=True
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


class SuitePostgres:
    """PostgreSQL, as kit.postgres.PostgresServer as far as tests of roles go."""

    def __init__(self, host: BareHost) -> None:
        self.host, self.port, self.password = host, free_port(), PASSWORD
        data = f"/var/tmp/pg-{self.port}"
        programs = host.run("sh", "-c", "echo /usr/lib/postgresql/*/bin").decode().strip()
        become = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")
        host.run("install", "-d", "-o", "postgres", "-g", "postgres", data)
        host.run("sh", "-c", f"cat > {data}.pw", content=PASSWORD.encode())
        host.run("chmod", "644", f"{data}.pw")
        host.run(
            *become, f"{programs}/initdb", "-D", f"{data}/d", "--username=postgres", f"--pwfile={data}.pw", "--no-sync",
            "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8",
        )  # fmt: skip
        options = f"-c fsync=off -k {data} -p {self.port} -h 127.0.0.1"
        host.run(*become, f"{programs}/pg_ctl", "-D", f"{data}/d", "-l", f"{data}/log", "-o", options, "-w", "start")
        _wait(lambda: self.connect("postgres"), lambda: host.read(f"{data}/log"))

    def instance(self, **changes: Any) -> Instance:
        instance = Instance(
            id="suite", engine="postgresql", host="127.0.0.1", port=self.port, username="postgres", password=PASSWORD
        )
        return replace(instance, **changes)

    def connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", password=PASSWORD, dbname=database, autocommit=True
        )

    def run(self, database: str, *statements: str) -> list[tuple[Any, ...]]:
        """Runs statements; the rows of the last one."""
        with self.connect(database) as connection:
            for statement in statements:
                cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []


@contextmanager
def suite_host(suite: str) -> Iterator[BareHost]:
    """A host with the database servers of a Debian suite, none of them running."""
    with bare_host(f"servers-{suite}", suite, PACKAGES[suite]) as host:
        yield host
