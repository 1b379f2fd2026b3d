# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions, option files, and which process dumps which table."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance, Tls
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql import dump as mysql_dump
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.catalog import (
    Column,
    TableInfo,
    literal,
    quoted,
)
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.dump import (
    Group,
    lost_in_unicode,
    pieces_wanted,
)
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.tools import (
    FLAVOURS,
    option_file,
    parse_version,
    series,
)

MIB = 1 << 20
group_tables = partial(mysql_dump.group_tables, "mariadb")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)", ("mariadb", "10.11.19")),
        ("mariadb from 11.8.2-MariaDB, client 15.2 for debian-linux-gnu (x86_64)", ("mariadb", "11.8.2")),
        ("mysqldump  Ver 9.7.0 for Linux on x86_64 (Debian)", ("mysql", "9.7.0")),
        ("mysql  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))", ("mysql", "8.0.36")),
        ("mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)", ("mysql", "5.7.44")),
        ("pg_dump (PostgreSQL) 15.3", None),
    ],
)
def test_versions_of_tools(text: str, expected: tuple[str, str] | None) -> None:
    assert parse_version(text) == expected


def test_series() -> None:
    assert series("10.11.19-MariaDB-0+deb12u1-log") == (10, 11) < series("11.4.2") < series("11.10.1")
    assert series("unknown") == (0, 0)


def options(flavour: str, encrypted: bool = False, **changes: Any) -> dict[str, str]:
    instance = Instance(**{"id": "a", "engine": "mysql", "host": "db1", "username": "u", **changes})
    text = option_file(instance, FLAVOURS[flavour], encrypted)
    assert text.startswith("[client]\n")
    return dict(line.split("=", 1) for line in text.splitlines()[1:])


def test_an_option_file() -> None:
    found = options("mariadb", password="a\\b\"c'd\n#é", port=3307)
    assert found == {
        "password": '"a\\\\b\\"c\\\'d\\n#é"', "user": '"u"', "protocol": '"tcp"', "host": '"db1"', "port": '"3307"',
        "ssl": '"0"',
    }  # fmt: skip
    found = options("mysql", host=None, unix_socket="/run/x y.sock", username=None)
    assert found == {
        "password": '""', "protocol": '"socket"', "socket": '"/run/x y.sock"', "host": '"localhost"',
        "loose-get-server-public-key": '"1"', "ssl-mode": '"DISABLED"',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("flavour", "mode", "encrypted", "expected"),
    [
        ("mariadb", "disable", False, {"ssl": "0"}),
        ("mariadb", "prefer", False, {"ssl": "0"}),
        ("mariadb", "prefer", True, {"ssl": "1", "ssl-verify-server-cert": "0", "ssl-ca": "/ca", "ssl-cert": "/c"}),
        ("mariadb", "require", True, {"ssl": "1", "ssl-verify-server-cert": "0", "ssl-ca": "/ca", "ssl-cert": "/c"}),
        ("mariadb", "verify-ca", True, {"ssl": "1", "ssl-verify-server-cert": "1", "ssl-ca": "/ca", "ssl-cert": "/c"}),
        (
            "mariadb",
            "verify-full",
            True,
            {"ssl": "1", "ssl-verify-server-cert": "1", "ssl-ca": "/ca", "ssl-cert": "/c"},
        ),
        ("mysql", "disable", False, {"ssl-mode": "DISABLED"}),
        ("mysql", "prefer", True, {"ssl-mode": "PREFERRED", "ssl-cert": "/c"}),
        ("mysql", "require", True, {"ssl-mode": "REQUIRED", "ssl-cert": "/c"}),
        ("mysql", "verify-ca", True, {"ssl-mode": "VERIFY_CA", "ssl-ca": "/ca", "ssl-cert": "/c"}),
        ("mysql", "verify-full", True, {"ssl-mode": "VERIFY_IDENTITY", "ssl-ca": "/ca", "ssl-cert": "/c"}),
    ],
)
def test_tls_modes(flavour: str, mode: str, encrypted: bool, expected: dict[str, str]) -> None:
    found = options(flavour, encrypted, tls=Tls(mode=mode, ca="/ca", cert="/c"))
    assert {name: value.strip('"') for name, value in found.items() if name.startswith("ssl")} == expected


def test_quoting() -> None:
    assert quoted("a`b", "100%") == "`a``b`.`100%`"
    assert literal("it's \\ 100% :x") == "'it''s \\\\ 100% :x'"


def column(kind: str, name: str = "id", character_set: str | None = None) -> Column:
    return Column(1, name, kind, "NO", None, "", "", character_set, None, None)


def table(name: str, mib: int = 0, character_set: str = "utf8mb4", kind: str = "varchar") -> TableInfo:
    return TableInfo(name, "BASE TABLE", "InnoDB", "", (column(kind, "note", character_set),), size_bytes=mib * MIB)


def test_a_small_database_is_one_group() -> None:
    assert group_tables([table("a", 16), table("b", 15)], 4) == [Group()]
    assert group_tables([table("a", 100), table("b", 100)], 1) == [Group()]
    assert group_tables([], 4) == [Group()]


def test_tables_are_spread_by_size() -> None:
    tables = [table("a", 10), table("b", 90), table("c", 50), table("d", 40), table("e"), table("f")]
    groups = group_tables(tables, 2)
    assert groups == [Group(left_out=("c", "d", "e", "f")), Group(("c", "d", "e", "f"))]
    groups = group_tables(tables, 3)
    assert groups[1:] == [Group(("c", "e")), Group(("d", "a", "f"))]
    assert groups[0].left_out == ("c", "e", "d", "a", "f")


def keyed(name: str, mib: int, **changes: Any) -> TableInfo:
    """A table with a numeric primary key."""
    key = {"columns": (column("bigint(20) unsigned"),), "indexes": (("PRIMARY", 1, "id"), ("other", 1, "note"))}
    return replace(table(name, mib), **{**key, **changes})


def test_only_tables_that_would_run_on_alone_are_cut() -> None:
    assert pieces_wanted([keyed("a", 900), keyed("b", 100)], 2) == {"a": 2}
    assert pieces_wanted([keyed("a", 900), keyed("b", 100)], 4) == {"a": 4}
    assert pieces_wanted([keyed("a", 500), keyed("b", 500)], 2) == {}
    assert pieces_wanted([keyed("a", 500), keyed("b", 500)], 4) == {"a": 2, "b": 2}
    assert pieces_wanted([keyed("a", 900), keyed("b", 100)], 1) == {}
    assert pieces_wanted([keyed("a", 30)], 4) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "MyISAM"},
        {"kind": "SYSTEM VERSIONED"},
        {"indexes": (("PRIMARY", 1, "note"), ("PRIMARY", 2, "id"))},
        {"indexes": (("id", 1, "id"),)},
        {"columns": (column("datetime"),)},
        {"columns": (column("point"),)},
    ],
)
def test_tables_without_ranges_are_not_cut(changes: dict[str, Any]) -> None:
    assert pieces_wanted([keyed("a", 900, **changes)], 4) == {}


def test_a_cut_table_has_a_process_for_each_piece() -> None:
    tables, ranges = [keyed("a", 900), table("b", 50), table("c", 50)], {"a": ["id < 5", "id >= 5"]}
    assert group_tables(tables, 2, ranges) == [
        Group(left_out=("a",)),
        Group(("a",), where="id < 5"),
        Group(("a",), where="id >= 5"),
    ]
    four = group_tables(tables, 4, ranges)
    assert four[0].left_out == ("c", "a")
    assert [group.tables for group in four[1:]] == [("c",), ("a",), ("a",)]
    lossy = replace(tables[0], columns=(column("bigint"), column("varchar", "note", "gbk")))
    assert [group.binary for group in group_tables([lossy, *tables[1:]], 2, ranges)] == [False, True, True]


def test_only_so_many_tables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_dump, "NAMED_TABLES", 3)
    groups = group_tables([table(f"t{number}", 10) for number in range(8)], 2)
    assert [len(group.tables) for group in groups] == [0, 3]


def test_text_that_unicode_would_change_goes_as_bytes() -> None:
    lossy, both, plain = table("g", 1, "gbk"), table("u", 1, "gbk", "uuid"), table("p", 1)
    assert group_tables([lossy, plain, table("q")], 2) == [Group(left_out=("g",)), Group(("g",), binary=True)]
    assert group_tables([lossy, table("h", 1, "sjis"), plain], 2) == [
        Group(left_out=("p",), binary=True),
        Group(("p",)),
    ]
    assert group_tables([lossy, plain], 1) == [Group(binary=True)]
    assert group_tables([lossy, both], 1) == [Group()]
    for jobs, lost in ((1, ["g", "u"]), (2, ["u"])):
        assert lost_in_unicode("mariadb", [lossy, both, plain], group_tables([lossy, both, plain], jobs)) == lost


def test_what_unicode_changes_depends_on_the_flavour() -> None:
    tables = [table("a", 1, "ascii"), table("u", 1, "ucs2"), table("l", 1, "latin1")]
    for flavour, changed in (("mariadb", "a"), ("mysql", "u")):
        groups = mysql_dump.group_tables(flavour, tables, 2)
        assert [group.tables for group in groups if group.binary] == [(changed,)]
