# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts of mariadb-dump and mysqldump on their way into a server: limited to chosen tables, under another name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from ...streams import read_chunks
from .rows import Scanner

# No possessive repeat around a choice: Python before 3.11.5 matches those wrongly (CPython issue 106052).
_NAME = rb"`[^`]*(?:``[^`]*)*`"
_BACKTICKED = re.compile(_NAME)
_QUOTED = _NAME + rb"|'[^'\\]*(?:\\.[^'\\]*)*'"
_ANY_QUOTED = re.compile(_QUOTED, re.DOTALL)
_SETTING = re.compile(rb"\s*+(?:/\*M?!\d++ SET\s|SET\s|DELIMITER |\Z)")
_TABLE = re.compile(rb"\s*+CREATE TABLE (" + _NAME + rb")")
_SEQUENCE = re.compile(rb"\s*+(?:CREATE SEQUENCE |DO SETVAL\()")
_VIEW = re.compile(rb"\s*+/\*!\d++ CREATE ALGORITHM=")
_VIEW_BEGINS = re.compile(rb"\s*+/\*!\d++ DROP VIEW IF EXISTS (" + _NAME + rb")")
_VIEW_ENDS = re.compile(rb"\s*+/\*!\d++ SET collation_connection += @saved_col_connection")
_CHECK_OPTION = re.compile(rb" WITH (?:CASCADED|LOCAL) CHECK OPTION")
_ALTER_DATABASE = re.compile(rb"\A(\s*+ALTER DATABASE )" + _NAME)
_FOREIGN_KEY = re.compile(rb",\n  (CONSTRAINT " + _NAME + rb" FOREIGN KEY (?:" + _QUOTED + rb"|[^`'\n])*?)(?=,?\n)")
_INDEX = re.compile(
    rb",\n  ((?:UNIQUE )?KEY " + _NAME + rb" \((?:" + _QUOTED + rb"|[^`'\n])*?)(?=,?\n)|" + _QUOTED, re.DOTALL
)
_PRIMARY = re.compile(rb"\n  PRIMARY KEY \((" + _NAME + rb")")
_TABLESPACE = re.compile(rb"\bTABLESPACE[ =]+(" + _NAME + rb")|" + _QUOTED, re.DOTALL)
_COUNTER = re.compile(rb"\n  (" + _NAME + rb") (?:" + _QUOTED + rb"|[^`'\n])*?\bAUTO_INCREMENT\b")
_INDEXES_STAY = re.compile(rb"\n  (?:FULLTEXT|SPATIAL) KEY |USING HASH|WITHOUT OVERLAPS|WITH SYSTEM VERSIONING")
# Here a column follows ``from``, whose table may have the database's name.
_NO_TABLE_FOLLOWS = (
    rb"\bextract\(\w++ from |\btrim\((?:leading|trailing|both) (?:" + _QUOTED + rb"|(?!\(select )[^'`])*? from "
)
_SPACE = rb"(?:\s|/\*.*?\*/|(?:--\s|#)[^\n]*\n)"
_GAP, _MAYBE = _SPACE + rb"+", _SPACE + rb"*"
_IDENTIFIER = rb"(" + _NAME + rb"|\"[^\"]*(?:\"\"[^\"]*)*\"|[0-9A-Za-z$_\x80-\xff]++)"
_QUALIFIED = rb"(?:" + _IDENTIFIER + _MAYBE + rb"\." + _MAYBE + rb")?" + _IDENTIFIER
_EVENT = rb"(?:INSERT|UPDATE|DELETE)"
_TRIGGER = re.compile(
    rb"(?P<before>.*?/\*!50003 " + _MAYBE + rb"TRIGGER" + _GAP
    + rb"(?:IF" + _GAP + rb"NOT" + _GAP + rb"EXISTS" + _GAP + rb")?)"
    + _QUALIFIED
    + rb"(?P<between>" + _GAP + rb"(?:BEFORE|AFTER)" + _GAP + _EVENT + _GAP
    + rb"(?:OR" + _GAP + _EVENT + _GAP + rb")*ON" + _GAP + rb")"
    + _QUALIFIED,
    re.IGNORECASE | re.DOTALL,
)  # fmt: skip

Wanted = Callable[[str], bool]


def _name(identifier: bytes) -> str:
    """The name that an identifier stands for, with or without quotes."""
    quote = identifier[:1]
    if quote in (b"`", b'"'):
        identifier = identifier[1:-1].replace(quote * 2, quote)
    return identifier.decode()


def constraint_name(clause: str) -> str:
    """The name of a constraint that is written as in CREATE TABLE."""
    found = _BACKTICKED.search(clause.encode())
    return _name(found[0]) if found else ""


def _quote(name: str) -> bytes:
    return b"`" + name.replace("`", "``").encode() + b"`"


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    rest = b""
    for chunk in read_chunks(stream):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest


@dataclass(frozen=True)
class Statement:
    """One statement of a script with the line breaks around it, as text; ``body`` where it stands between DELIMITER
    lines, which the tools write around everything whose text people typed: routines, triggers, events."""

    text: bytes
    body: bool


def _is_whole(text: bytes) -> bool:
    """Whether no quote is left open."""
    rest = _ANY_QUOTED.sub(b"", text)
    return b"`" not in rest and b"'" not in rest


def statements(stream: BinaryIO) -> Iterator[Statement]:
    """The statements of a schema or objects script made without comments, one in memory at a time.

    Outside DELIMITER lines everything is printed by the server, so that backticks and apostrophes quote and a
    backslash escapes whatever the sql_mode; inside, a statement ends with ``;;`` at the end of a line.
    """
    text, body = b"", False
    for line in _lines(stream):
        if not text and line.startswith(b"DELIMITER "):
            body = line.startswith(b"DELIMITER ;;")
            yield Statement(line, False)
            continue
        text += line
        stripped = line.rstrip()
        if stripped.endswith(b";;") if body else stripped.endswith(b";") and _is_whole(text):
            yield Statement(text, body)
            text = b""
    if text:
        yield Statement(text, body)


@dataclass
class Needs:
    """What the tables of a schema script need of the server: those in ``keyless`` that it takes tables without a
    primary key, others that it has the tablespaces."""

    keyless: list[str] = field(default_factory=list)
    tablespaces: set[str] = field(default_factory=set)


def needs_of(stream: BinaryIO, wanted: Wanted) -> Needs:
    """What the wanted tables need."""
    needs = Needs()
    for statement in statements(stream):
        found = None if statement.body else _TABLE.match(statement.text)
        if not found or not wanted(name := _name(found[1])):
            continue
        if not _PRIMARY.search(statement.text):
            needs.keyless.append(name)
        needs.tablespaces.update(_name(one[1]) for one in _TABLESPACE.finditer(statement.text) if one[1])
    return needs


def without_indexes(text: bytes) -> tuple[bytes, list[str]]:
    """A CREATE TABLE statement without its secondary indexes, and these as clauses for ALTER TABLE.

    All stay where one of them can't come later without the table being built anew, and where the table needs them: as
    the place of its rows, or to count up.
    """
    bare = _ANY_QUOTED.sub(b"", text)
    primary, counter = _PRIMARY.search(text), _COUNTER.search(text)
    if b" ENGINE=InnoDB" not in bare or _INDEXES_STAY.search(bare) or not primary:
        return text, []
    if counter and counter[1] != primary[1]:
        return text, []
    clauses: list[str] = []

    def take(found: re.Match[bytes]) -> bytes:
        if found[1] is None:  # a name or a string, which may hold what looks like an index
            return found[0]
        clauses.append(found[1].decode())
        return b""

    return _INDEX.sub(take, text), clauses


@dataclass
class SchemaScript:
    """A schema script made to fit its target.

    ``tables`` limits it to these tables (None: everything). The default of a column may name a sequence together with
    its database: the name of the source is replaced by the target's; ``sequences`` says whether the target needs them
    made. With ``foreign_keys_apart`` the tables are created without their foreign keys, which are then in
    ``foreign_keys``, for ALTER TABLE, by table. Those in ``large`` are created without secondary indexes, which are
    then in ``indexes``, likewise.
    """

    source: str
    target: str
    tables: frozenset[str] | None = None
    large: frozenset[str] = frozenset()
    foreign_keys_apart: bool = False
    sequences: bool = True
    foreign_keys: dict[str, list[str]] = field(default_factory=dict)
    indexes: dict[str, list[str]] = field(default_factory=dict)

    def read(self, stream: BinaryIO) -> Iterator[bytes]:
        return _ordered_views(text for statement in statements(stream) for text in self._fitting(statement))

    def _fitting(self, statement: Statement) -> Iterable[bytes]:
        text = statement.text
        found = None if statement.body else _TABLE.match(text)
        if not found:
            if not statement.body and _VIEW.match(text):
                text = renamed_view(text, self.source, self.target)
            text = _with_database(text, self.target)
            return (text,) if self.tables is None or _SETTING.match(text) or self._is_wanted_sequence(text) else ()
        table = _name(found[1])
        if self.tables is not None and table not in self.tables:
            return ()
        text = _replaced(text, self.source, self.target, before=rb"val\(")
        if self.foreign_keys_apart:
            self.foreign_keys[table] = [clause.decode() for clause in _FOREIGN_KEY.findall(text)]
            text = _FOREIGN_KEY.sub(b"", text)
        if table in self.large:
            text, self.indexes[table] = without_indexes(text)
        return (text,)

    def _is_wanted_sequence(self, text: bytes) -> bool:
        """A new database needs the sequences that defaults of its tables name; one that exists has its own."""
        return self.sequences and bool(_SEQUENCE.match(text))


def _ordered_views(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Puts each view WITH CHECK OPTION after those it is built on.

    The tools go by the alphabet, with stand-ins that such a view does not accept. The others keep their order: a
    stand-in serves them even where the real view can't be opened because its definer is missing.
    """
    views: dict[bytes, list[bytes]] = {}
    current: list[bytes] | None = None
    for text in texts:
        begins = _VIEW_BEGINS.match(text)
        if begins:
            current = views.setdefault(begins[1], [])
        if current is None:
            yield from _by_need(views)
            views = {}
            yield text
        else:
            current.append(text)
            if _VIEW_ENDS.match(text):
                current = None
    yield from _by_need(views)


def _by_need(views: dict[bytes, list[bytes]]) -> Iterator[bytes]:
    done: set[bytes] = set()

    def needed_first(name: bytes, needs: bool) -> Iterator[bytes]:
        if name in views and name not in done:
            done.add(name)
            for other in _BACKTICKED.findall(b"".join(views[name])) if needs else ():
                yield from needed_first(other, needs)
            yield from views[name]

    for name, texts in views.items():
        yield from needed_first(name, any(_CHECK_OPTION.search(text) for text in texts))


def _with_database(text: bytes, target: str) -> bytes:
    """The tools change the database's collation around routines, triggers and events that were made under another."""
    return _ALTER_DATABASE.sub(lambda found: found[1] + _quote(target), text, count=1)


def renamed_view(text: bytes, source: str, target: str) -> bytes:
    """A view's definition, as the server prints it, for a database of another name.

    The server leaves its own name out in front of tables, unless the view shows tables of another database as well. It
    never does so in front of functions, nor in front of a table's column where it could not open the view.
    """
    text = _replaced(text, source, target, before=rb"\b(?:(?:from|join|straight_join) \(*+|(?:next|last|set)val\()")
    return _replaced(text, source, target, after=rb"(?=" + _NAME + rb"[.(])")


def _replaced(text: bytes, source: str, target: str, before: bytes = b"", after: bytes = b"") -> bytes:
    """Replaces a database's quoted name and the dot after it, except in strings and within other names."""
    if source == target:
        return text
    skipped = _NO_TABLE_FOLLOWS + rb"|" if before else b""
    wanted = skipped + rb"(" + before + rb")" + re.escape(_quote(source) + b".") + after

    def replace(found: re.Match[bytes]) -> bytes:
        return found[0] if found[1] is None else found[1] + _quote(target) + b"."

    return re.sub(wanted + rb"|" + _QUOTED, replace, text, flags=re.DOTALL)


def objects_script(stream: BinaryIO, target: str, wanted: Wanted, events: bool) -> Iterator[bytes]:
    """The triggers of the wanted tables and, if asked for, the events and whatever concerns the whole database.

    A trigger is kept by the server as it was typed; a database's name in front of its name or its table's would send it
    to another database and is left out.
    """
    for statement in statements(stream):
        found = _TRIGGER.match(statement.text) if statement.body else None
        if found:
            name, table = found[3], found[6]
            if wanted(_name(table)):
                yield found["before"] + name + found["between"] + table + statement.text[found.end() :]
        elif events or _SETTING.match(statement.text):
            yield _with_database(statement.text, target)


def data_script(stream: BinaryIO, wanted: Wanted) -> Iterator[bytes]:
    """The rows of the wanted tables, with all settings of the session around them."""
    scanner = Scanner()
    for chunk in read_chunks(stream):
        for piece in scanner.feed(chunk):
            if piece.table is None or wanted(piece.table):
                yield piece.data
    for piece in scanner.finish():
        if piece.table is None or wanted(piece.table):
            yield piece.data
