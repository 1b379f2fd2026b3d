"""MariaDB: who backs up and who restores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from kit import mariadb

from benchmark.contest import Contestant
from benchmark.data import MARIADB, Size
from benchmark.workplace import COPY, DATABASE, Workplace, found

TITLE = "MariaDB"
PROGRAMS = ("mariadb-dump", "mydumper")
SETTINGS = {
    "innodb_buffer_pool_size": "512M",
    "innodb_log_file_size": "512M",
    "innodb_flush_log_at_trx_commit": "1",
    "innodb_doublewrite": "1",
    "debug_no_sync": "0",
}


class Bench:
    """A private server with the data."""

    def __init__(self, server: mariadb.MariaDBServer, folder: Path, jobs: int, ansible: Path | None) -> None:
        self._server = server
        self.instance: Instance = server.instance(host=None, port=None, unix_socket=str(server.socket), password=None)
        self.place = Workplace(folder, self.instance, jobs, ansible)
        self._login = ("--no-defaults", f"--socket={server.socket}", "--user=root")

    @property
    def server_pid(self) -> int:
        return self._server.pid

    @property
    def conditions(self) -> str:
        settings = ", ".join(f"`{name} = {value}`" for name, value in SETTINGS.items())
        return f"MariaDB {self._server.value('SELECT version()').partition('-')[0]}, {settings}"

    def fill(self, size: Size, database: str = DATABASE) -> int:
        """Makes the data; returns the bytes that it takes on the server."""
        self._server.create(database)
        self._server.run(*MARIADB.statements(size), database=database)
        tables = ", ".join(size.rows)
        self._server.run(f"ANALYZE TABLE {tables}", database=database)
        where = f"FROM information_schema.tables WHERE table_schema = '{database}'"
        return int(self._server.value(f"SELECT sum(data_length + index_length) {where}"))

    def dump(self, database: str = DATABASE) -> tuple[str, ...]:
        """What users dump with today."""
        options = ("--single-transaction", "--quick", "--routines", "--events")
        return ("mariadb-dump", *self._login, *options, database)

    def backups(self) -> Iterator[Contestant]:
        place, dump = self.place, self.dump()
        yield place.ours()
        yield Contestant("mariadb-dump to nowhere", [dump], target=Path("/dev/null"))
        yield place.to_file("mariadb-dump | zstd -1", [dump, ("zstd", "-1", "-q")], "plain.zst")
        if found("age", "age-keygen"):
            yield place.to_file("mariadb-dump | zstd -1 | age", [dump, ("zstd", "-1", "-q"), place.age()], "age")
        if found("mydumper", "myloader"):
            yield self._mydumper("mydumper -c", "compressed", "--compress")
            yield self._mydumper("mydumper", "mydumper")
        if found("restic"):
            yield place.restic("mariadb-dump | restic", dump)
        if place.ansible:
            target = place.folder / "ansible.sql.gz"
            options = {"name": DATABASE, "state": "dump", "login_user": "root"}
            options |= {"login_unix_socket": str(self._server.socket), "single_transaction": True}
            yield place.with_ansible("community.mysql.mysql_db", options, target, stores=target)

    def _mydumper(self, name: str, folder: str, *options: str) -> Contestant:
        place = self.place
        argv = (
            "mydumper", f"--socket={self._server.socket}", "--user=root", f"--threads={place.jobs}",
            f"--database={DATABASE}", f"--outputdir={place.folder / folder}", "--rows=500000", *options,
        )  # fmt: skip
        return place.to_folder(f"{name} -t{place.jobs} --rows=500000", [argv], folder)

    def restores(self) -> Iterator[Contestant]:
        place = self.place
        around = {"before": self._make, "after": self._drop}
        yield place.our_restore(after=self._drop)
        client = ("mariadb", *self._login, f"--database={COPY}")
        yield Contestant("zstd -dc | mariadb", [("zstd", "-dc"), client], source=place.folder / "plain.zst", **around)
        if found("myloader"):
            argv = (
                "myloader", f"--socket={self._server.socket}", "--user=root", f"--threads={place.jobs}",
                f"--database={COPY}", f"--directory={place.folder / 'mydumper'}",
            )  # fmt: skip
            yield Contestant(f"myloader -t{place.jobs}", [argv], **around)
        if place.ansible:
            target = place.folder / "ansible.sql.gz"
            options = {"name": COPY, "state": "import", "login_user": "root"}
            options["login_unix_socket"] = str(self._server.socket)
            yield place.with_ansible("community.mysql.mysql_db", options, target, **around)

    def _make(self) -> None:
        self._server.create(COPY)

    def _drop(self) -> None:
        rows = f"SELECT count(*) FROM {next(iter(Size(1).rows))}"
        assert self._server.value(rows, database=COPY) == self._server.value(rows, database=DATABASE)
        self._server.drop(COPY)


@contextmanager
def bench(folder: Path, jobs: int, ansible: Path | None) -> Iterator[Bench]:
    with mariadb.running(**SETTINGS) as server:
        yield Bench(server, folder, jobs, ansible)
