# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification by restore into scratch databases of real servers, which are gone afterwards, however it ends."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.engines.base import SCRATCH_PREFIX, Inventory, RestoreRequest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.registry import open_engine
from ansible_collections.vya.backupdb.plugins.module_utils.operations.maker import Filled, SetMaker, Subject
from ansible_collections.vya.backupdb.plugins.module_utils.operations.parts import PartStore, open_set
from ansible_collections.vya.backupdb.plugins.module_utils.operations.verify import (
    VerifyOutcome,
    VerifyRun,
    VerifyWanted,
)
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import BackupSet
from ansible_collections.vya.backupdb.plugins.module_utils.repository.records import RESTORE
from ansible_collections.vya.backupdb.plugins.module_utils.security.keyring import load_keyring
from kit import mariadb, postgres, sqlite
from kit.modules import ModuleRun, run_module
from kit.workshop import HOST, Workshop

Server = postgres.PostgresServer | mariadb.MariaDBServer
ROWS = 20_000


def fill(server: Server, rows: int = ROWS) -> Instance:
    """A database ``shop`` with rows and more than rows."""
    if isinstance(server, postgres.PostgresServer):
        server.create(
            "shop",
            "CREATE TABLE item (id int PRIMARY KEY, name text)",
            f"INSERT INTO item SELECT g, 'item ' || g FROM generate_series(1, {rows}) g",
            "CREATE VIEW cheap AS SELECT * FROM item WHERE id < 10",
        )
    else:
        server.create(
            "shop",
            "CREATE TABLE item (id int PRIMARY KEY, name varchar(40));"
            f"INSERT INTO item SELECT seq, concat('item ', seq) FROM seq_1_to_{rows};"
            "CREATE VIEW cheap AS SELECT * FROM item WHERE id < 10;"
            "CREATE EVENT tidy ON SCHEDULE EVERY 1 SECOND DO DELETE FROM shop.item WHERE id = 1;",
        )
    return server.instance(databases=("shop",))


@pytest.fixture(params=["postgresql", "mysql"])
def server(request: pytest.FixtureRequest) -> Server:
    fixture = {"postgresql": "postgres_other", "mysql": "mariadb_other"}[request.param]
    found: Server = request.getfixturevalue(fixture)
    return found


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def scratch(server: Server) -> set[str]:
    """What stands on a server and is none of its users' business."""
    return {name for name in server.databases() if name.startswith(("vya_", "vya-"))}


def rehearse(shop: Workshop, instance: Instance, **wanted: Any) -> VerifyOutcome:
    options = VerifyWanted(Selection(), RESTORE, **{"jobs": 2, "instance_of": lambda _: instance, **wanted})
    return VerifyRun(shop.repository, shop.keyring, options).run()


def test_a_restore_is_compared_and_dropped(shop: Workshop, server: Server) -> None:
    instance = fill(server)
    shop.back_up_one(instance)
    before = server.databases()
    (done,) = rehearse(shop, instance).verified
    assert (done["level"], done["rows"], done["warnings"]) == (RESTORE, ROWS, [])
    assert server.databases() == before


def test_a_target_serves_all_instances_of_its_engine(shop: Workshop, server: Server, tmp_path: Path) -> None:
    instance = fill(server)
    shop.back_up_one(instance)
    sqlite.make(tmp_path / "a.db", *sqlite.numbers(5))
    shop.back_up_one(sqlite.instance(tmp_path / "a.db"))
    outcome = rehearse(shop, instance, target=dataclasses.replace(instance, id="elsewhere"))
    assert [entry["database"] for entry in outcome.verified] == ["shop"]
    assert [(entry["database"], entry["code"]) for entry in outcome.failures] == [("a.db", "invalid_config")]
    assert scratch(server) == set()


def forged(shop: Workshop, backup: BackupSet, change: Callable[[Inventory], None], facts: dict[str, Any]) -> BackupSet:
    """The same parts in another set, whose inventory says something else."""
    source = open_set(shop.repository, backup, shop.keyring)
    inventory = source.inventory
    change(inventory)

    def fill(store: PartStore) -> Filled:
        records = []
        for number, part in enumerate(source.parts):
            with source.open(part) as stream:
                records.append(store.store_bytes(number, part.name, part.kind, stream.read()))
        records.append(store.store_inventory(len(records), inventory))
        names = ("engine", "flavour", "server_version", "tool", "tool_version", "tables", "views", "routines", "events")
        same = {name: getattr(backup.manifest, name) for name in (*names, "triggers", "schema_sha256")}
        return Filled(records, {**same, **facts})

    maker = SetMaker(shop.repository, load_keyring(shop.keyring), "zstd", 1)
    return maker.make(Subject("database", HOST, "forged", "shop"), (), fill)


def test_rows_that_are_missing_are_found_and_nothing_stays(shop: Workshop, server: Server) -> None:
    instance = fill(server)
    shop.back_up_one(instance)
    whole = shop.repository.read_set(shop.folders()[0])

    def one_more(inventory: Inventory) -> None:
        inventory.tables = [dataclasses.replace(table, rows=table.rows + 1) for table in inventory.tables]

    forged(shop, whole, one_more, {"rows": ROWS + 1})
    outcome = rehearse(shop, instance)
    assert [entry["code"] for entry in outcome.failures] == ["row_count_mismatch"]
    assert f"has {ROWS} rows instead of {ROWS + 1}" in outcome.failures[0]["error"]
    assert len(outcome.verified) == 1
    assert scratch(server) == set()


def test_a_server_that_is_down_says_nothing_of_the_set(shop: Workshop, server: Server) -> None:
    instance = fill(server)
    shop.back_up_one(instance)
    outcome = rehearse(shop, dataclasses.replace(instance, port=1))
    assert [entry["code"] for entry in outcome.failures] == ["connection_failed"]
    assert list(shop.root.rglob(".records/*.json")) == []


def test_a_killed_run_is_cleared_up_by_the_next(shop: Workshop, server: Server, tmp_path: Path) -> None:
    instance = fill(server, 150_000)
    shop.back_up_one(instance)
    config = tmp_path / "config.yml"
    login = {name: getattr(instance, name) for name in ("id", "engine", "host", "port", "username", "password")}
    config.write_text(yaml.safe_dump({"repository": str(shop.root), "instances": [login]}))
    config.chmod(0o600)
    options = {"config_file": str(config), "keyring": shop.keyring, "level": RESTORE, "jobs": 2}
    before = scratch(server)
    run = ModuleRun("verify", **options)
    deadline = time.monotonic() + 60
    while not scratch(server) - before:
        assert run.process.poll() is None, run.output()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    run.kill()
    with closing(open_engine(instance)) as engine:
        assert not [item for item in engine.databases() if item.name.startswith("vya")]
    done = run_module("verify", **options)
    assert [entry["rows"] for entry in done["verified"]] == [150_000]
    deadline = time.monotonic() + 10  # a server goes on for a while with what a client that is gone has asked for
    while scratch(server) and time.monotonic() < deadline:
        time.sleep(0.5)
        with closing(open_engine(instance)) as engine, engine.scratch():
            pass
    assert scratch(server) == set()


def test_scratch_databases_of_others_stay(server: Server) -> None:
    with closing(open_engine(server.instance())) as first, closing(open_engine(server.instance())) as second:
        with first.scratch() as one:
            server.create(one)
            with second.scratch() as other:
                assert one != other
                assert one.startswith(SCRATCH_PREFIX)
            assert scratch(server) == {one}
        assert scratch(server) == set()


def test_events_are_not_restored_where_they_would_act(shop: Workshop, mariadb_other: mariadb.MariaDBServer) -> None:
    """They would do their work a second time, on whatever database they name."""
    instance = fill(mariadb_other, 10)
    shop.back_up_one(instance)
    source = open_set(shop.repository, shop.repository.read_set(shop.folders()[0]), shop.keyring)
    for idle, events in ((True, 0), (False, 1)):
        with closing(open_engine(instance)) as engine, engine.scratch() as name:
            restored = engine.restore(RestoreRequest(source=source, database=name, idle=idle))
            found = mariadb_other.value(f"SELECT count(*) FROM information_schema.events WHERE event_schema = '{name}'")
        assert (found, [warning for warning in restored.warnings if "events" in warning]) == (events, [])
