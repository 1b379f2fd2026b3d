# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the MySQL engine asks of the catalogue and the optimizer, on MariaDB 11.8 and MySQL 9.7."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa
from ansible_collections.vya.backupdb.plugins.module_utils.engines.connect import create_engine
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import catalog, ranges
from kit.suites import SuiteMySQL, suite_host

ROWS = 9000
COUNTED = f"WITH RECURSIVE up (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < {ROWS})"
UP_TO_ROWS = {
    "mysql": "SET SESSION cte_max_recursion_depth = 10000",
    "mariadb": "SET max_recursive_iterations = 10000",
}


@pytest.fixture(scope="module", params=["trixie", "sid"])
def server(request: pytest.FixtureRequest) -> Iterator[SuiteMySQL]:
    with suite_host(request.param) as host:
        yield SuiteMySQL(host)


@pytest.fixture
def connection(server: SuiteMySQL) -> Iterator[sa.Connection]:
    server.run("DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop")
    server.run(
        UP_TO_ROWS[server.flavour],
        "CREATE TABLE large (id bigint unsigned PRIMARY KEY, note varchar(100))",
        f"INSERT INTO large {COUNTED} SELECT n * n, repeat('x', 100) FROM up",
        "CREATE TABLE child (id int PRIMARY KEY, parent bigint unsigned, "
        "CONSTRAINT `of large` FOREIGN KEY (parent) REFERENCES large (id))",
        "INSERT INTO child VALUES (1, 4), (2, NULL)",
        "ANALYZE TABLE large",
        database="shop",
    )
    engine = create_engine(server.instance(), "shop")
    with closing(engine.connect()) as connected:
        yield connected
    engine.dispose()


def test_ranges_have_all_rows_once_and_about_as_many_each(server: SuiteMySQL, connection: sa.Connection) -> None:
    tables = catalog.tables(connection, "shop")
    column = tables["large"].range_column
    assert column
    assert (column.name, column.type.replace("(20)", ""), column.collation) == ("id", "bigint unsigned", None)
    conditions = ranges.cut(connection, "shop", tables, {"large": 3})["large"]
    counts = [server.run(f"SELECT count(*) FROM large WHERE {where}", database="shop")[0][0] for where in conditions]
    assert sum(counts) == ROWS
    assert len(counts) == 3
    assert min(counts) > ROWS / 6


KEYS = {
    "lithuanian": ("varchar(9) COLLATE {lithuanian}", "concat(char(97 + n % 26), char(97 + n DIV 26 % 26), n)"),
    "latin1": ("varchar(40) CHARACTER SET latin1", "concat('PO:2026/', lpad(n, 9, '0'))"),
    "bytes": ("binary(16)", "unhex(concat('00ff27', lpad(hex(n * 77), 26, '0')))"),
    "uuid": ("{uuid}", "concat('55a988df-b00a-4147-a7b3-', left(sha2(n, 256), 12))"),
}


@pytest.mark.parametrize("name", KEYS)
def test_limits_stand_in_the_order_of_the_server(server: SuiteMySQL, connection: sa.Connection, name: str) -> None:
    kind, value = KEYS[name]
    own = {
        "mariadb": {"lithuanian": "utf8mb4_lithuanian_ci", "uuid": "uuid"},
        "mysql": {"lithuanian": "utf8mb4_lt_0900_ai_ci", "uuid": "char(36) CHARACTER SET ascii"},
    }
    server.run(
        UP_TO_ROWS[server.flavour],
        f"CREATE TABLE keyed (id {kind.format(**own[server.flavour])} PRIMARY KEY)",
        f"INSERT INTO keyed {COUNTED} SELECT {value} FROM up",
        "ANALYZE TABLE keyed",
        database="shop",
    )
    tables = catalog.tables(connection, "shop")
    for pieces in range(2, 8):
        conditions = ranges.cut(connection, "shop", tables, {"keyed": pieces})["keyed"]
        counts = [
            server.run(f"SELECT count(*) FROM keyed WHERE {where}", database="shop")[0][0] for where in conditions
        ]
        assert (sum(counts), len(counts)) == (ROWS, pieces), counts


def test_foreign_keys_that_hold_and_that_do_not(server: SuiteMySQL, connection: sa.Connection) -> None:
    (key,) = catalog.foreign_keys(connection, "shop")
    assert (key.name, key.table, key.parent, key.columns) == ("of large", "child", "large", (("parent", "id"),))
    assert catalog.holds(connection, key)
    connection.rollback()
    server.run("SET foreign_key_checks = 0", "INSERT INTO child VALUES (3, 5)", database="shop")
    assert not catalog.holds(connection, key)
