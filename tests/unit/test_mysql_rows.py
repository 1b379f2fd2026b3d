# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of a data dump are counted exactly, whatever the values and however the stream is cut."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.rows import RowCounter, Scanner
from ansible_collections.vya.backupdb.plugins.module_utils.engines.mysql.script import data_script
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.text(st.sampled_from("a`'\"\\\n(); é,"), min_size=1, max_size=6) | st.just("t\nINSERT INTO `x` VALUES (1)")
TRICKY = st.sampled_from(
    ["),\n(", "'),('", "\\'", "\\", "''", "\n(", ";\n", "INSERT INTO `a` VALUES (", "(", ")", "\0", "\x1a", '"', "é"]
)
VALUES = (
    st.just(b"NULL")
    | st.integers().map(lambda number: str(number).encode())
    | st.binary(max_size=6).map(lambda data: b"0x" + data.hex().encode() if data else b"''")
    | st.lists(TRICKY | st.text(max_size=3), max_size=5).map(lambda parts: _string("".join(parts)))
    | st.text(max_size=4).map(lambda text: b"_binary " + _string(text))
)
ROWS = st.lists(st.lists(VALUES, min_size=1, max_size=3), max_size=6)
TABLES = st.lists(st.tuples(NAMES, NAMES, ROWS), max_size=4)
CUTS = st.lists(st.integers(0, 3000), max_size=12)


def _string(text: str) -> bytes:
    """As mysql_real_escape_string writes it."""
    escapes = {"\0": "\\0", "\n": "\\n", "\r": "\\r", "\\": "\\\\", "'": "\\'", '"': '\\"', "\x1a": "\\Z"}
    return b"'" + "".join(escapes.get(letter, letter) for letter in text).encode() + b"'"


def _name(name: str) -> bytes:
    return b"`" + name.replace("`", "``").encode() + b"`"


def dump(tables: list[tuple[str, str, list[list[bytes]]]], per_line: bool, rows_a_statement: int = 2) -> bytes:
    """A dump of tables (name, name of a column, rows) as mariadb-dump (a row a line) or mysqldump writes it."""
    text = b"/*!40101 SET NAMES utf8mb4 */;\n\n"
    for table, column, rows in tables:
        name = _name(table)
        text += b"\n/*!40000 ALTER TABLE %s DISABLE KEYS */;\n" % name
        for first in range(0, len(rows), rows_a_statement):
            tuples = [b"(" + b",".join(row) + b")" for row in rows[first : first + rows_a_statement]]
            head = b"INSERT INTO %s (%s, row_start) VALUES " % (name, _name(column))
            text += head + (b",\n" if per_line else b",").join(tuples) + b";\n"
        text += b"/*!40000 ALTER TABLE %s ENABLE KEYS */;\n" % name
    return text + b"/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n"


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[start:end] for start, end in pairwise(edges)]


def counted(data: bytes, cuts: list[int], per_line: bool) -> RowCounter:
    counter = RowCounter(per_line)
    for piece in pieces_of(data, cuts):
        counter.feed(piece)
    counter.finish()
    return counter


@pytest.mark.parametrize("per_line", [True, False])
@given(tables=TABLES, cuts=CUTS)
def test_rows_are_counted_exactly(
    per_line: bool, tables: list[tuple[str, str, list[list[bytes]]]], cuts: list[int]
) -> None:
    expected: dict[str, int] = {}
    for name, _text, rows in tables:
        expected[name] = expected.get(name, 0) + len(rows)
    counter = counted(dump(tables, per_line), cuts, per_line)
    assert counter.rows == expected


@given(tables=TABLES, cuts=CUTS)
def test_a_row_per_line_can_be_counted_either_way(
    tables: list[tuple[str, str, list[list[bytes]]]], cuts: list[int]
) -> None:
    data = dump(tables, per_line=True)
    one, other = counted(data, cuts, True), counted(data, [], False)
    assert (one.rows, one.longest_statement) == (other.rows, other.longest_statement)


@given(tables=TABLES, cuts=CUTS)
def test_the_pieces_are_the_dump(tables: list[tuple[str, str, list[list[bytes]]]], cuts: list[int]) -> None:
    data = dump(tables, per_line=True)
    scanner = Scanner()
    found = [piece.data for part in pieces_of(data, cuts) for piece in scanner.feed(part)]
    found += [piece.data for piece in scanner.finish()]
    assert b"".join(found) == data


@pytest.mark.parametrize("per_line", [True, False])
@given(tables=TABLES)
def test_a_selection_holds_the_wanted_tables_only(
    per_line: bool, tables: list[tuple[str, str, list[list[bytes]]]]
) -> None:
    wanted = {name for number, (name, _text, _rows) in enumerate(tables) if number % 2}
    data = dump(tables, per_line)
    selected = b"".join(data_script(io.BytesIO(data), wanted.__contains__))
    everything = counted(data, [], per_line).rows
    assert counted(selected, [], per_line).rows == {name: everything[name] for name in wanted}
    assert selected.startswith(b"/*!40101 SET NAMES utf8mb4 */;\n")
    assert selected.endswith(b"/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n")


def test_newer_tools_break_the_line_after_values() -> None:
    data = b"INSERT INTO `t` VALUES\n(1,'x'),\n(2,'y');\nLOCK TABLES `u` WRITE;\n"
    assert counted(data, [3, 24, 25, 40], True).rows == {"t": 2, "u": 0}


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_strings_that_are_cut_anywhere(size: int) -> None:
    data = rb"INSERT INTO `t` (`a`) VALUES ('(\'),(\\'),('\\\'('),(NULL),('');" + b"\n"
    assert counted(data, list(range(0, len(data), size)), False).rows == {"t": 4}


def test_the_longest_statement_is_known() -> None:
    statement = b"INSERT INTO `t` (`a`) VALUES (1),\n(2);\n"
    assert counted(
        statement * 2 + b"/*!40000 ALTER TABLE `t` ENABLE KEYS */;\n", [5, 36], True
    ).longest_statement == len(statement)


def test_a_cut_off_dump_is_counted_as_far_as_it_goes() -> None:
    assert counted(b"INSERT INTO `t` (`a`) VALUES (1),\n(2", [], True).rows == {"t": 2}
    assert counted(b"INSERT INTO `t` (`a`", [], True).rows == {}
