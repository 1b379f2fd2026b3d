"""PostgreSQL: who backs up and who restores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from kit import postgres

from benchmark.contest import Contestant
from benchmark.data import POSTGRESQL, Size
from benchmark.workplace import COPY, DATABASE, Workplace, found

TITLE = "PostgreSQL"
PROGRAMS = ("pg_dump",)
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "8GB", "wal_level": "replica", "fsync": "on"}


class Bench:
    """A private server with the data."""

    def __init__(self, server: postgres.PostgresServer, folder: Path, jobs: int, ansible: Path | None) -> None:
        self._server = server
        self.instance: Instance = server.instance(host=None, unix_socket=str(server.folder), password=None)
        self.place = Workplace(folder, self.instance, jobs, ansible)
        os.environ.update(PGHOST=str(server.folder), PGPORT=str(server.port), PGUSER="postgres")

    @property
    def server_pid(self) -> int:
        return self._server.pid

    @property
    def conditions(self) -> str:
        settings = ", ".join(f"`{name} = {value}`" for name, value in SETTINGS.items())
        return f"PostgreSQL {self._server.value('postgres', 'SHOW server_version').split()[0]}, {settings}"

    def fill(self, size: Size, database: str = DATABASE) -> int:
        """Makes the data; returns the bytes that it takes on the server."""
        self._server.create(database, *POSTGRESQL.statements(size))
        self._server.run(database, "VACUUM ANALYZE", "CHECKPOINT")
        return int(self._server.value(database, f"SELECT pg_database_size('{database}')"))

    def dump(self, database: str = DATABASE) -> tuple[str, ...]:
        """What users dump with today."""
        return ("pg_dump", database)

    def _login(self) -> dict[str, object]:
        return {"login_host": str(self._server.folder), "login_port": self._server.port, "login_user": "postgres"}

    def backups(self) -> Iterator[Contestant]:
        place, dump = self.place, self.dump()
        yield place.ours()
        yield Contestant("pg_dump to nowhere", [dump], target=Path("/dev/null"))
        yield place.to_file("pg_dump | zstd -1", [dump, ("zstd", "-1", "-q")], "plain.zst")
        if found("age", "age-keygen"):
            yield place.to_file("pg_dump | zstd -1 | age", [dump, ("zstd", "-1", "-q"), place.age()], "age")
        options = [f"--jobs={place.jobs}", f"--file={place.folder / 'folder'}"]
        yield place.to_folder(
            f"pg_dump -Fd -j{place.jobs}", [("pg_dump", "--format=directory", *options, DATABASE)], "folder"
        )
        archive = f"--file={place.folder / 'custom'}"
        yield place.to_folder("pg_dump -Fc", [("pg_dump", "--format=custom", archive, DATABASE)], "custom")
        if found("restic"):
            yield place.restic("pg_dump | restic", dump)
        if place.ansible:
            target = place.folder / "ansible.sql.gz"
            options = {"name": DATABASE, "state": "dump", **self._login()}
            yield place.with_ansible("community.postgresql.postgresql_db", options, target, stores=target)

    def restores(self) -> Iterator[Contestant]:
        place = self.place
        around = {"before": self._make, "after": self._drop}
        yield place.our_restore(after=self._drop)
        folder, plain = place.folder / "folder", place.folder / "plain.zst"
        yield Contestant(
            f"pg_restore -j{place.jobs}",
            [("pg_restore", f"--jobs={place.jobs}", f"--dbname={COPY}", str(folder))],
            **around,
        )
        psql = ("psql", "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--dbname={COPY}")
        yield Contestant("zstd -dc | psql", [("zstd", "-dc"), psql], source=plain, **around)
        if place.ansible:
            target = place.folder / "ansible.sql.gz"
            options = {"name": COPY, "state": "restore", **self._login()}
            yield place.with_ansible("community.postgresql.postgresql_db", options, target, **around)

    def _make(self) -> None:
        self._server.create(COPY)

    def _drop(self) -> None:
        rows = f"SELECT count(*) FROM {next(iter(Size(1).rows))}"
        assert self._server.value(COPY, rows) == self._server.value(DATABASE, rows)
        self._server.drop(COPY)
        self._server.run("postgres", "CHECKPOINT")


@contextmanager
def bench(folder: Path, jobs: int, ansible: Path | None) -> Iterator[Bench]:
    before = dict(os.environ)
    with postgres.running({}, **SETTINGS) as server:
        try:
            yield Bench(server, folder, jobs, ansible)
        finally:
            os.environ.clear()
            os.environ.update(before)
