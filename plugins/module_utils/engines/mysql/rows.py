# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the data dumps of mariadb-dump and mysqldump as they pass: whose rows, how many, and how long a statement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# No possessive repeat around a choice: Python before 3.11.5 matches those wrongly (CPython issue 106052).
_NAME = rb"`([^`]*(?:``[^`]*)*)`"
_HEAD = re.compile(
    rb"(?:INSERT INTO " + _NAME + rb" (?:\((?:[^`)]|`[^`]*(?:``[^`]*)*`)*\) )?VALUES\s"
    rb"|(?:LOCK TABLES|/\*!40000 ALTER TABLE) " + _NAME + rb" [A-Z */]+;\n)"
)
_HEAD_STARTS = (b"INSERT INTO ", b"LOCK TABLES ", b"/*!40000 ALTER TABLE ")
_END_OF_ROWS = re.compile(rb"\n[^(]")
_STRING = re.compile(rb"'[^'\\]*+(?:\\.[^'\\]*+)*+'", re.DOTALL)
_STRING_REST = re.compile(rb"[^'\\]*+(?:\\.[^'\\]*+)*+'", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A run of bytes of a data dump: a statement about ``table`` or its beginning, or ``rows`` of it, or, with None
    for the table, a line about no table. Long runs of rows come in several pieces; one of them ``ends`` the statement.
    """

    table: str | None
    rows: bool
    data: bytes
    ends: bool = False


class Scanner:
    """Cuts a data dump into pieces without keeping more of it than the head of one statement.

    It relies on how the tools write (mysqldump.c, ``dump_table``): each statement begins on a line of its own, values
    hold no bare newline, and a line within an INSERT begins with the parenthesis of a row. Names may hold anything.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._table: str | None = None

    def feed(self, data: bytes) -> Iterator[Piece]:
        """The pieces that end in ``data``; what can't be judged yet is kept for the next call."""
        return self._cut(data, last=False)

    def finish(self) -> Iterator[Piece]:
        """The pieces that were kept back."""
        return self._cut(b"", last=True)

    def _cut(self, data: bytes, last: bool) -> Iterator[Piece]:
        buffer = self._rest + data if self._rest else data
        at, size = 0, len(buffer)
        while at < size:
            if self._table is not None:
                found = _END_OF_ROWS.search(buffer, at)
                end = found.start() + 1 if found else size - (buffer.endswith(b"\n") and not last)
                if end > at:
                    yield Piece(self._table, True, buffer[at:end], ends=bool(found) or last)
                at = end
                if not found:
                    break
                self._table = None
                continue
            found = _HEAD.match(buffer, at)
            if found:
                name = found[found.lastindex or 0]
                table = name.replace(b"``", b"`").decode()
                yield Piece(table, False, found[0])
                if found[1] is not None:
                    self._table = table
                at = found.end()
                continue
            line_end = buffer.find(b"\n", at) + 1
            maybe_head = any(buffer.startswith(start[: size - at], at) for start in _HEAD_STARTS)
            if not last and (maybe_head or not line_end):
                break
            end = line_end or size
            yield Piece(None, False, buffer[at:end])
            at = end
        self._rest = buffer[at:]


@dataclass
class RowCounter:
    """Counts the rows of each table of a data dump, exactly, from the dump itself.

    ``row_per_line`` says that each row begins on its own line, as mariadb-dump writes it, which is counted an order
    of magnitude faster than the rows of mysqldump, where the strings must be left out first.
    """

    row_per_line: bool
    rows: dict[str, int] = field(default_factory=dict)
    longest_statement: int = 0
    _scanner: Scanner = field(default_factory=Scanner)
    _statement: int = 0
    _in_string: bool = False
    _escape: bytes = b""

    def feed(self, data: bytes) -> None:
        for piece in self._scanner.feed(data):
            self._count(piece)

    def finish(self) -> None:
        for piece in self._scanner.finish():
            self._count(piece)

    def _count(self, piece: Piece) -> None:
        if piece.table is None:
            return
        if not piece.rows:
            self.rows.setdefault(piece.table, 0)
            self._statement = len(piece.data)
            if self.row_per_line and piece.data.startswith(b"INSERT"):
                self.rows[piece.table] += 1
            return
        self._statement += len(piece.data)
        self.longest_statement = max(self.longest_statement, self._statement)
        if self.row_per_line:
            self.rows[piece.table] += piece.data.count(b"\n") - (piece.ends and piece.data.endswith(b"\n"))
        else:
            self.rows[piece.table] += self._without_strings(piece.data).count(b"(")

    def _without_strings(self, data: bytes) -> bytes:
        data, self._escape = self._escape + data, b""
        if self._in_string:
            found = _STRING_REST.match(data)
            if not found:
                self._keep_escape(data)
                return b""
            data, self._in_string = data[found.end() :], False
        data = _STRING.sub(b"", data)
        before, quote, string = data.partition(b"'")
        if quote:
            self._in_string = True
            self._keep_escape(string)
        return before

    def _keep_escape(self, string: bytes) -> None:
        """A backslash at the end belongs to the first byte of what comes next."""
        if (len(string) - len(string.rstrip(b"\\"))) % 2:
            self._escape = b"\\"
