# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup sets of one version, restored by another. Runs inside one host after the other; a folder goes round.

``VYA_EXCHANGE`` is that folder and ``VYA_PLACE`` the host's Debian suite. Each host adds its sets below its name, with
what a comparison has to find; then each restores those of all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import BackupdbError
from ansible_collections.vya.backupdb.plugins.module_utils.repository.catalog import Selection
from kit import mariadb, mariadb_cases, mysql, mysql_cases, postgres
from kit.mariadb_compare import facts
from kit.portable_cases import GENERATED, LATE, PORTABLE
from kit.postgres_cases import CASES, PROBES, ROLES
from kit.postgres_compare import large_objects, rows
from kit.workshop import HOST, Workshop

EXCHANGE = Path(os.environ["VYA_EXCHANGE"])
PLACE = os.environ["VYA_PLACE"]
PLACES = sorted({path.name for path in EXCHANGE.iterdir()} | {PLACE})
SCRIPTS = {"own": "", "portable": PORTABLE, "generated": GENERATED, "late": LATE}
"""A database with what only this flavour understands, one that both do, one with generated columns, and one with the
latest time that this server takes."""
LACKING = {
    ("bookworm", "sid", "portable"): "lacks SQL modes .* NO_AUTO_CREATE_USER",
    ("trixie", "sid", "portable"): "lacks SQL modes .* NO_AUTO_CREATE_USER.*lacks collations .* utf8mb4_uca1400_ai_ci",
    ("sid", "bookworm", "portable"): "lacks collations .* utf8mb4_0900_ai_ci",
    ("trixie", "bookworm", "generated"): "keeps times up to 2038: .* of computed",
}
"""What is said of restores from one suite to another, of routines and views that are made otherwise than they were."""
MYSQL = mysql if shutil.which("mysqld") and not shutil.which("mariadbd") else mariadb


@pytest.fixture(scope="module")
def pg() -> Iterator[postgres.PostgresServer]:
    with postgres.source() as server:
        for role in ROLES:
            server.role(role)
        yield server


@pytest.fixture(scope="module")
def my() -> Iterator[mariadb.MariaDBServer]:
    with MYSQL.source() as server:
        yield server


def remembered(place: str) -> dict[str, Any]:
    path = EXCHANGE / place / "expected.json"
    return json.loads(path.read_text()) if path.exists() else {}


def remember(name: str, found: Any) -> None:
    (EXCHANGE / PLACE / "expected.json").write_text(json.dumps({**remembered(PLACE), name: found}))


def workshop(place: str) -> Workshop:
    folder = EXCHANGE / place
    if not folder.exists():
        folder.mkdir()
        return Workshop(folder)
    opened = Workshop.__new__(Workshop)
    opened.root, opened.keyring = folder / "repository", str(folder / "keyring.json")
    return opened


def plain(value: Any) -> Any:
    """As it looks when it has been through JSON."""
    return json.loads(json.dumps(value, default=str))


def postgres_facts(server: postgres.PostgresServer, database: str) -> Any:
    """What is the same in all versions: rows, values of sequences, large objects. Texts of definitions are not."""
    found = rows(server, database)
    return plain([found, large_objects(server, database)])


def mysql_facts(server: mariadb.MariaDBServer, database: str) -> Any:
    """Likewise: what there is by kind and name, and the digests of all rows."""
    found = facts(server, database)
    return {f"{kind} {name}": plain(v) if kind in ("rows", "value") else "" for (kind, name), v in found.items()}


def test_out_postgresql(pg: postgres.PostgresServer) -> None:
    pg.create("everything", *(statement for statements in CASES.values() for statement in statements))
    workshop(PLACE).back_up_one(pg.instance(), databases=["everything"])
    remember("everything", postgres_facts(pg, "everything"))


@pytest.mark.parametrize("what", SCRIPTS)
def test_out_mysql(my: mariadb.MariaDBServer, what: str) -> None:
    cases = mysql_cases if my.flavour == "mysql" else mariadb_cases
    database = cases.NAME if what == "own" else what
    my.create(database, SCRIPTS[what] or cases.CASES, "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    workshop(PLACE).back_up_one(my.instance(), databases=[database])
    remember(what, mysql_facts(my, database))
    remember(f"name of {what}", database)


@pytest.mark.parametrize("place", PLACES)
def test_in_postgresql(pg: postgres.PostgresServer, place: str) -> None:
    selection = Selection(host=HOST, instance="pg", database="everything", kind="database")
    try:
        workshop(place).restore(pg.instance(), selection=selection, target_database=f"from {place}")
    except BackupdbError as error:
        pytest.fail(f"{error.code}: {error.message}", pytrace=False)
    assert postgres_facts(pg, f"from {place}") == remembered(place)["everything"]
    found = {
        line: [pg.value(f"from {place}", query) for query, _expected in probes]
        for line, probes in PROBES.items()
        if line != "29_sequences"  # these take numbers
    }
    assert found == {line: [expected for _query, expected in PROBES[line]] for line in found}


@pytest.mark.parametrize("what", SCRIPTS)
@pytest.mark.parametrize("place", PLACES)
def test_in_mysql(my: mariadb.MariaDBServer, place: str, what: str) -> None:
    selection = Selection(host=HOST, instance="maria", database=remembered(place)[f"name of {what}"], kind="database")
    target = f"{what} from {place}"
    try:
        restored = workshop(place).restore(my.instance(), selection=selection, target_database=target)
    except BackupdbError as error:
        assert target not in my.databases()
        pytest.fail(f"{error.code}: {error.message}", pytrace=False)
    expected = remembered(place)[what]
    found = mysql_facts(my, target)
    assert {name for name in expected if found.get(name) != expected[name]} <= {"view l11_above", "view l11_broken"}
    told = " ".join(restored["warnings"])
    expected = LACKING.get((place, PLACE, what), "")
    assert re.search(expected, told) if expected else "lacks " not in told.replace("lacks accounts", "")
