"""The playbooks over an inventory of hosts with several instances each, as a new user runs them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from kit import mariadb, postgres
from kit.plays import Controller, Play

WRONG = "wrong: %s$@#'\" Mañana"


@dataclass
class Fleet:
    """Two hosts: alpha has an instance of each engine, beta one that works and one whose password is wrong."""

    controller: Controller
    folder: Path
    postgres: postgres.PostgresServer
    mariadb: mariadb.MariaDBServer

    @property
    def secrets(self) -> list[str]:
        return [WRONG, self.postgres.password, self.mariadb.password]

    def set_folders(self, host: str) -> list[Path]:
        return sorted(path.parent for path in (self.folder / host / "repository").glob("*/*/*/*/*/manifest.json"))


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[postgres.PostgresServer, mariadb.MariaDBServer]]:
    with postgres.running({}) as pg, mariadb.running() as maria:
        yield pg, maria


@pytest.fixture
def fleet(tmp_path: Path, servers: tuple[postgres.PostgresServer, mariadb.MariaDBServer]) -> Iterator[Fleet]:
    pg, maria = servers
    pg.create(
        "shop",
        "CREATE TABLE item (id int PRIMARY KEY, name text)",
        "INSERT INTO item SELECT g, 'item ' || g FROM generate_series(1, 500) g",
    )
    pg.create("crm", "CREATE TABLE customer (id int PRIMARY KEY)")
    maria.create(
        "wiki", "CREATE TABLE page (id int PRIMARY KEY, body text); INSERT INTO page VALUES (1, 'x'), (2, 'y');"
    )
    for host in ("alpha", "beta"):
        (tmp_path / host / "files").mkdir(parents=True)
        with closing(sqlite3.connect(tmp_path / host / "files" / "app.db")) as connection:
            connection.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")
            connection.execute("INSERT INTO note (text) VALUES ('a'), ('b'), ('c')")
            connection.commit()

    def files(host: str) -> dict[str, object]:
        return {"id": "files", "engine": "sqlite", "path": str(tmp_path / host / "files")}

    def server(instance_id: str, engine: str, port: int, username: str, password: str) -> dict[str, object]:
        address = {"host": "127.0.0.1", "port": port}
        return {"id": instance_id, "engine": engine, "username": username, "password": password, **address}

    instances = {
        "alpha": [
            server("pg-main", "postgresql", pg.port, "postgres", pg.password),
            server("maria-main", "mysql", maria.port, "root", maria.password),
            files("alpha"),
        ],
        "beta": [server("pg-other", "postgresql", pg.port, "postgres", WRONG), files("beta")],
    }
    hosts = {
        host: {
            "backupdb_instances": instances[host],
            "backupdb_repository": str(tmp_path / host / "repository"),
            "backupdb_keyring": str(tmp_path / host / "keyring.json"),
        }
        for host in instances
    }
    yield Fleet(Controller(tmp_path, hosts), tmp_path, pg, maria)
    pg.drop("shop", "crm", "shop_copy")
    maria.drop("wiki", "wiki_copy")


def assert_silent(play: Play, fleet: Fleet) -> None:
    for secret in fleet.secrets:
        forms = (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
        assert not [form for form in forms if form in play.output]


def test_the_whole_way(fleet: Fleet) -> None:
    play = fleet.controller.play

    plan = play("vya.backupdb.backup", "--check", "--diff", "--limit", "alpha")
    assert plan.status == 0, plan.output
    assert [line.split()[:3] for line in plan.table()] == [
        ["files", "app.db", "due"],
        ["maria-main", "(users)", "due"],
        ["maria-main", "wiki", "due"],
        ["pg-main", "(users)", "due"],
        ["pg-main", "crm", "due"],
        ["pg-main", "shop", "due"],
    ]
    assert "-pg-main/shop: no backup yet" in plan.output
    assert not (fleet.folder / "alpha" / "repository").exists()
    assert not (fleet.folder / "alpha" / "keyring.json").exists()

    first = play("vya.backupdb.backup", "-vvv", max_age="24h")
    assert first.status == 2, first.output
    assert (first.recap("alpha")["failed"], first.recap("beta")["failed"]) == (0, 1)
    lines = [line for line in first.table() if " warning " not in line]  # on accounts that this MariaDB ignores
    assert len(lines) == 8, "\n".join(lines)
    assert sum(" backed up " in line for line in lines) == 7
    (failed,) = (line for line in lines if "FAILED" in line)
    assert failed.startswith("pg-other FAILED authentication_failed: Instance pg-other at 127.0.0.1:")
    assert 'password authentication failed for user "postgres"' in failed
    assert '"msg": "1 failed. Instance pg-other at' in first.output
    assert len(fleet.set_folders("alpha")) == 6
    assert [path.parts[-4:-2] for path in fleet.set_folders("beta")] == [("files", "app.db")]
    assert_silent(first, fleet)

    second = play("vya.backupdb.backup", "--limit", "alpha", max_age="24h")
    assert (second.status, second.recap("alpha")["changed"]) == (0, 0), second.output
    assert all(" not due " in line for line in second.table())

    status = play("vya.backupdb.status")
    assert status.status == 0, status.output
    assert any(line.startswith("pg-other UNREACHABLE authentication_failed: ") for line in status.table())
    assert any(line.startswith("pg-main shop shop_") and " 500 1" in line for line in status.table())


def test_restores(fleet: Fleet) -> None:
    play = fleet.controller.play
    play("vya.backupdb.backup", "--limit", "alpha")

    for instance, database, rows in (("pg-main", "shop", 500), ("maria-main", "wiki", 2), ("files", "app.db", 3)):
        target = "copy.db" if instance == "files" else f"{database}_copy"
        done = play(
            "vya.backupdb.restore",
            "--limit",
            "alpha",
            "-vvv",
            instance=instance,
            database=database,
            target_database=target,
        )
        assert done.status == 0, done.output
        assert done.table()[0].startswith(f"{instance} {target} restored 1 {rows}, as backed up ")
        assert_silent(done, fleet)
    assert fleet.postgres.value("shop_copy", "SELECT count(*) FROM item") == 500
    assert fleet.mariadb.value("SELECT count(*) FROM wiki_copy.page") == 2
    with closing(sqlite3.connect(fleet.folder / "alpha" / "files" / "copy.db")) as connection:
        assert connection.execute("SELECT count(*) FROM note").fetchone() == (3,)

    refused = play("vya.backupdb.restore", "--limit", "alpha", instance="maria-main", database="wiki")
    assert refused.status == 2
    assert "Database wiki of instance maria-main exists. Restore under another name" in refused.output
    assert '"code": "target_exists"' in refused.output

    fleet.mariadb.run("DELETE FROM wiki.page WHERE id = 2", "INSERT INTO wiki.page VALUES (3, 'new')")
    planned = play(
        "vya.backupdb.restore", "--limit", "alpha", "--check", "--diff",
        instance="maria-main", database="wiki", existing="replace",
    )  # fmt: skip
    assert "-wiki of maria-main: there" in planned.output
    assert fleet.mariadb.value("SELECT count(*) FROM wiki.page WHERE id = 3") == 1
    replaced = play(
        "vya.backupdb.restore", "--limit", "alpha", instance="maria-main", database="wiki", existing="replace"
    )
    assert replaced.status == 0, replaced.output
    assert any("replaced the database as it was is in wiki_" in line for line in replaced.table())
    assert fleet.mariadb.run("SELECT id FROM wiki.page ORDER BY id") == [(1,), (2,)]

    unsaid = play("vya.backupdb.restore", "--limit", "alpha")
    assert "Say which instance: set backupdb_instance to one of pg-main, maria-main, files." in unsaid.output


def test_a_database_that_was_lost_comes_back_under_its_own_name(fleet: Fleet) -> None:
    play = fleet.controller.play
    play("vya.backupdb.backup", "--limit", "alpha")
    fleet.postgres.drop("shop")
    done = play("vya.backupdb.restore", "--limit", "alpha", instance="pg-main", database="shop")
    assert done.status == 0, done.output
    assert fleet.postgres.value("shop", "SELECT count(*) FROM item") == 500


def test_the_roles_in_somebody_elses_play_and_a_configuration_file_on_the_host(fleet: Fleet) -> None:
    config = fleet.folder / "config.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "repository": str(fleet.folder / "configured"),
                "compression": {"method": "gzip", "level": 9},
                "instances": [
                    {"id": "files", "engine": "sqlite", "path": str(fleet.folder / "alpha" / "files")},
                    {"id": "off", "engine": "postgresql", "port": 1, "enabled": False},
                ],
            }
        )
    )
    playbook = fleet.folder / "own.yml"
    playbook.write_text(
        yaml.safe_dump(
            [
                {
                    "hosts": "alpha",
                    "gather_facts": False,
                    "module_defaults": {"group/vya.backupdb.backupdb": {"config_file": str(config)}},
                    "tasks": [
                        {
                            "ansible.builtin.include_role": {"name": "vya.backupdb.backup"},
                            "vars": {
                                "backup_instances": [],
                                "backup_config_file": str(config),
                                "backup_repository": "",
                                "backup_verify": True,
                                "backup_databases": ["app*"],
                            },
                        },
                        {"vya.backupdb.backup_info": {"database": "app.db"}, "register": "found"},
                        {
                            "ansible.builtin.assert": {
                                "that": [
                                    "found.backups | length == 1",
                                    "found.backups[0].compression == {'method': 'gzip', 'level': 9}",
                                ]
                            }
                        },
                        {
                            "ansible.builtin.include_role": {"name": "vya.backupdb.restore"},
                            "vars": {
                                "restore_instances": [],
                                "restore_config_file": str(config),
                                "restore_repository": "",
                                "restore_instance": "files",
                                "restore_target_database": "second.db",
                            },
                        },
                    ],
                }
            ]
        )
    )
    done = fleet.controller.play(str(playbook))
    assert done.status == 0, done.output
    assert (fleet.folder / "alpha" / "files" / "second.db").exists()
    assert len(list((fleet.folder / "configured").glob("*/*/*/*/*/manifest.json"))) == 1


def test_a_host_whose_python_lacks_the_libraries(fleet: Fleet) -> None:
    bare = fleet.folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    play = fleet.controller.play(
        "vya.backupdb.backup", "--limit", "beta", "-e", f"ansible_python_interpreter={bare}/bin/python"
    )
    assert play.status == 2
    assert f"{bare}/bin/python on the host lacks Python libraries: sqlalchemy >= 2.0, pymysql >= 1.1," in play.output
    assert "Traceback" not in play.output
