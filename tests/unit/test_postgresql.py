# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the PostgreSQL engine that need no server: statements, tools, contents of archives, shares of jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql import tools
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql.catalog import Relation
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql.counting import counting
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql.sql import (
    copy_in,
    copy_out,
    literal,
    quoted,
)
from ansible_collections.vya.backupdb.plugins.module_utils.engines.postgresql.toc import choose, parse
from ansible_collections.vya.backupdb.plugins.module_utils.errors import (
    DatabaseBusyError,
    ToolFailedError,
    ToolMissingError,
)


def test_names_and_values_are_quoted_to_the_letter() -> None:
    assert quoted("S", 'a"b%:c') == '"S"."a""b%:c"'
    assert literal("it's \\ 100% :x") == "'it''s \\ 100% :x'"


@pytest.mark.parametrize(
    ("pages", "statement"),
    [
        ((0, None), """COPY "s"."t%" ("a", "b:c") TO STDOUT WITH (ENCODING 'UTF8')"""),
        (
            (0, 9),
            """COPY (SELECT "a", "b:c" FROM ONLY "s"."t%" WHERE ctid >= '(0,0)' AND ctid < '(9,0)') """
            """TO STDOUT WITH (ENCODING 'UTF8')""",
        ),
        (
            (9, 12),
            """COPY (SELECT "a", "b:c" FROM ONLY "s"."t%" WHERE ctid >= '(9,0)' AND ctid < '(12,0)') """
            """TO STDOUT WITH (ENCODING 'UTF8')""",
        ),
        (
            (12, None),
            """COPY (SELECT "a", "b:c" FROM ONLY "s"."t%" WHERE ctid >= '(12,0)') TO STDOUT WITH (ENCODING 'UTF8')""",
        ),
    ],
)
def test_copy_out(pages: tuple[int, int | None], statement: str) -> None:
    assert " ".join(copy_out("s", "t%", ["a", "b:c"], "UTF8", pages).split()) == statement


def test_copy_in() -> None:
    assert copy_in("s", "t", ["a"], "LATIN1") == """COPY "s"."t" ("a") FROM STDIN WITH (ENCODING 'LATIN1')"""


def test_counts_leave_out_what_inherits() -> None:
    (text,) = counting({0: Relation(1, "s", "a", "r", False), 1: Relation(2, "s", "b", "p", False)})
    assert 'FROM ONLY "s"."a"' in text
    assert 'FROM "s"."b"' in text
    assert len(counting({n: Relation(n, "s", "a", "r", False) for n in range(250)})) == 3


def install(folder: Path, version: str, name: str = "pg_dump") -> None:
    folder.mkdir(parents=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
    (folder / name).chmod(0o755)


def test_the_lowest_version_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("9.6.24", "14.9", "16.1 (Debian 16.1-1)", "17beta2"):
        install(tmp_path / version.split()[0], version)
    monkeypatch.setattr(tools, "FOLDERS", (f"{tmp_path}/*",))
    monkeypatch.setenv("PATH", "")
    assert tools.find_tool("pg_dump", 15, "A test").version == "16.1"
    assert tools.find_tool("pg_dump", 14, "A test").major == 14
    assert tools.find_tool("pg_dump", 17, "A test").version == "17beta2"
    assert tools.find_tool("pg_dump", 17, "A test").sibling("psql").path == str(tmp_path / "17beta2" / "psql")
    with pytest.raises(ToolMissingError) as error:
        tools.find_tool("pg_dump", 18, "A test")
    assert "A test needs pg_dump 18 or newer" in error.value.message
    assert f"{tmp_path}/9.6.24/pg_dump is version 9.6.24" in error.value.message
    assert "postgresql-client-18" in error.value.message


def test_versions() -> None:
    assert [tools.major(version) for version in ("15.20 (Debian)", "18beta1", "9.6.24", "devel")] == [15, 18, 9, 0]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            'pg_restore: error: could not execute query: ERROR:  relation "t" exists\nCommand was: CREATE TABLE t',
            'It failed: relation "t" exists.',
        ),
        (
            "psql ended with status 3: psql:<stdin>:5: ERROR:  no such thing\nDETAIL:  Because.\nHINT:  Make one.\n"
            "ERROR:  another\nHINT: Of the other.",
            "It failed: no such thing DETAIL:  Because. HINT:  Make one.",
        ),
        ("ERROR:  duplicate key\nDETAIL:  Key (mail)=(a@b.c) already exists.", "It failed: duplicate key."),
        ("pg_dump: error: could not open it\nmore", "It failed: could not open it."),
        (
            "pg_dump was ended by signal 9 and said nothing.",
            "It failed: pg_dump was ended by signal 9 and said nothing.",
        ),
    ],
)
def test_a_failure_is_one_sentence(said: str, sentence: str) -> None:
    with pytest.raises(ToolFailedError) as error, tools.told("It"):
        raise ToolFailedError(said)
    assert error.value.message == sentence


def test_a_lock_timeout_is_said_as_such() -> None:
    with pytest.raises(DatabaseBusyError, match="It waited too long for a lock"), tools.told("It"):
        raise ToolFailedError("ERROR:  canceling statement due to lock timeout")


LISTING = """;
; Archive created at 2026-11-23 02:23:42 UTC
;
8; 2615 16571 SCHEMA - s postgres
3; 3079 16404 EXTENSION - hstore
;\tdepends on: 8
924; 1247 16533 TYPE s mood my owner
;\tdepends on: 8
289; 1255 16553 FUNCTION s f() postgres
3600; 0 0 ACL s FUNCTION f() postgres
;\tdepends on: 289
219; 1259 16395 SEQUENCE s a_id_seq postgres
;\tdepends on: 220
220; 1259 16396 TABLE s a postgres
;\tdepends on: 8 924 924
221; 1259 16400 TABLE s a b postgres
;\tdepends on: 8
223; 1259 16556 VIEW s v postgres
;\tdepends on: 220
3519; 0 0 SEQUENCE OWNED BY s a_id_seq postgres
;\tdepends on: 219
3336; 2604 16399 DEFAULT s a id postgres
;\tdepends on: 219 220
3500; 0 16396 TABLE DATA s a postgres
;\tdepends on: 220
3501; 0 16400 TABLE DATA s a b postgres
;\tdepends on: 221
3523; 0 0 SEQUENCE SET s a_id_seq postgres
;\tdepends on: 219
3341; 2606 16403 CONSTRAINT s a a_pkey postgres
;\tdepends on: 220
3342; 1259 16404 INDEX s a_v postgres
;\tdepends on: 220 289
3349; 2620 16554 TRIGGER s a tr postgres
;\tdepends on: 289 220
3524; 0 0 COMMENT s TRIGGER tr ON a postgres
;\tdepends on: 3349
3348; 2606 16541 FK CONSTRAINT s a b fk postgres
;\tdepends on: 3341 221 220
3525; 0 0 COMMENT s CONSTRAINT fk ON a b postgres
;\tdepends on: 3348
3350; 3256 16555 POLICY s a b looks_at_a postgres
;\tdepends on: 220 221
3351; 2618 16556 RULE s v away postgres
;\tdepends on: 223 220
3498; 6106 16577 PUBLICATION TABLE s p a postgres
;\tdepends on: 3497 220
"""

NAMES = {16396: ("s", "a"), 16400: ("s", "a b")}
OF_A = {219, 220, 3519, 3336, 3500, 3523, 3341, 3342, 3349, 3524}
OF_A_B = {221, 3501, 3348, 3525, 3350}


def test_table_into_an_existing_database() -> None:
    chosen = choose(parse(LISTING.splitlines()), [16396], NAMES, (), new_database=False, utf8=True)
    assert set(chosen.numbers) == OF_A
    assert chosen.numbers[0] == 219
    assert chosen.warnings == ["The membership in publication s p a is left out: add the table to it again."]


def test_table_into_a_new_database_brings_what_it_needs() -> None:
    chosen = choose(parse(LISTING.splitlines()), [16396], NAMES, (), new_database=True, utf8=True)
    assert set(chosen.numbers) == OF_A | {8, 924, 289}
    assert chosen.grants == [3600]


@pytest.mark.parametrize("utf8", [True, False])
def test_foreign_key_to_what_stays_out(utf8: bool) -> None:
    entries = parse(LISTING.splitlines())
    alone = choose(entries, [16400], NAMES, (), new_database=False, utf8=utf8)
    assert set(alone.numbers) == OF_A_B - {3348, 3525}
    assert alone.warnings == ["The foreign key s a b fk is left out: it leads to a table that the database lacks."]
    there = choose(entries, [16400], NAMES, [16396], new_database=False, utf8=utf8)
    assert (set(there.numbers), there.warnings) == (OF_A_B, [])
    both = choose(entries, [16400, 16396], NAMES, (), new_database=False, utf8=utf8)
    assert set(both.numbers) == OF_A | OF_A_B
