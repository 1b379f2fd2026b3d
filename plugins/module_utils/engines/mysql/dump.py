# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dump processes of MySQL and MariaDB: which tables each one reads, and its output as parts of a snapshot."""

from __future__ import annotations

import re
import select
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase
from typing import TYPE_CHECKING, BinaryIO, cast

from ... import commands
from ...errors import SchemaChangedError, ToolFailedError
from ...streams import CHUNK_BYTES
from ..base import Part
from .catalog import TableInfo
from .rows import RowCounter
from .tools import Flavour, Login, Tool

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SMALL_DATABASE_BYTES = 32 << 20
"""A smaller database is dumped by one process: starting more costs more than they save."""
SPLIT_SHARE = 1.25
"""A table of so many times the data of one job is dumped in pieces: below that, the pieces cost more than they save."""
NAMED_TABLES = 500
"""At most so many tables are handed out by name: the tools look each name up in the list of all tables."""

# All codes of these character sets come back from Unicode as they were (found by converting every code on a server).
# MariaDB takes bytes over 7F for ascii, MySQL halves of surrogate pairs for ucs2.
_COMMON = frozenset((
    "latin1", "latin2", "latin5", "latin7", "cp850", "cp852", "cp866", "koi8r", "koi8u", "keybcs2", "macce",
    "macroman", "utf8", "utf8mb3", "utf8mb4", "utf16", "utf16le", "utf32",
))  # fmt: skip
_THROUGH_UNICODE = {"mariadb": _COMMON | {"ucs2"}, "mysql": _COMMON | {"ascii", "gb18030"}}
_TEXT_ONLY_TYPES = frozenset(("json", "uuid", "inet4", "inet6", "xmltype"))
# mysqldump.c prints the server's error number in parentheses, or after "Got error:" or "Error".
_CHANGED = re.compile(
    r"\((?:1412|1146|1054)\)|[Ee]rror:? (?:1412|1146|1054)\b|Couldn't find table|Error in field count for table"
)
_SANDBOX = re.compile(rb"\A/\*[M!]+999999\\- enable the sandbox mode \*/ *\n")
_VIEW = re.compile(rb"DROP VIEW IF EXISTS `([^`]*(?:``[^`]*)*)`\*/;")
_VIEW_BYTES = 1024
"""More than such a statement takes, whose name has 64 characters at most."""
_SQL_MODE = b"SQL_MODE='NO_AUTO_VALUE_ON_ZERO'"
FAITHFUL_SQL_MODE = b"SQL_MODE='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES'"
HEADER_BYTES = 4096


def loses_in_unicode(flavour: str, table: TableInfo) -> bool:
    """Whether a column's character set has codes that don't survive a dump as utf8mb4 (sjis, gbk, cp1251, …)."""
    return not table.character_sets <= _THROUGH_UNICODE[flavour]


@dataclass(frozen=True)
class Group:
    """What one process dumps: the named tables or, without names, everything but ``left_out``.

    ``binary`` sends text as hexadecimal bytes in the column's own character set instead of utf8mb4. ``where`` limits
    the rows of all its tables.
    """

    tables: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    binary: bool = False
    where: str | None = None


def alike(name: str) -> str:
    """The same for names that the tools do not tell apart when they look up what to leave out."""
    return name.casefold()


def _families(tables: Iterable[TableInfo]) -> list[list[TableInfo]]:
    """Tables, those of names that are alike together: one process must have them all."""
    found: dict[str, list[TableInfo]] = {}
    for table in tables:
        found.setdefault(alike(table.name), []).append(table)
    return list(found.values())


def _names(families: Iterable[Iterable[TableInfo]]) -> tuple[str, ...]:
    return tuple(table.name for family in families for table in family)


def _size(family: Iterable[TableInfo]) -> int:
    return sum(table.size_bytes for table in family)


def _as_bytes(flavour: str, family: Collection[TableInfo]) -> bool:
    text_only = any(table.types & _TEXT_ONLY_TYPES for table in family)
    return not text_only and any(loses_in_unicode(flavour, table) for table in family)


def pieces_wanted(tables: Collection[TableInfo], jobs: int) -> dict[str, int]:
    """The tables that would keep one process busy when all others have ended, and in how many pieces each is better
    dumped."""
    total = sum(table.size_bytes for table in tables)
    if jobs == 1 or total < SMALL_DATABASE_BYTES:
        return {}
    share = total / jobs
    return {
        table.name: max(2, round(table.size_bytes / share))
        for table, *others in _families(tables)
        if not others and table.size_bytes >= share * SPLIT_SHARE and table.range_column
    }


def group_tables(
    flavour: str, tables: Collection[TableInfo], jobs: int, ranges: Mapping[str, Sequence[str]] | None = None
) -> list[Group]:
    """Spreads tables over about ``jobs`` processes by size, largest first into the lightest.

    The first process takes all that no other has by name. A table in ``ranges`` has a process for each of its
    conditions. Where some tables lose in Unicode and others can't go as bytes, the fewer have a process of their own;
    with one job they all go as text.
    """
    pieces = ranges or {}
    kinds: dict[bool, list[list[TableInfo]]] = {False: [], True: []}
    for family in _families(tables):
        if family[0].name not in pieces:
            kinds[_as_bytes(flavour, family)].append(family)
    binary = len(kinds[True]) > len(kinds[False])
    if jobs == 1:
        return [Group(binary=bool(kinds[True]) and not any(table.types & _TEXT_ONLY_TYPES for table in tables))]
    others = _names(kinds[not binary])
    left = max(1, jobs - sum(map(len, pieces.values())))
    groups = [Group(names, binary=binary) for names in _spread(kinds[binary], left - bool(others)) if names]
    if others:
        groups.append(Group(others, binary=not binary))
    groups += [
        Group((table.name,), binary=_as_bytes(flavour, [table]), where=where)
        for table in tables
        for where in pieces.get(table.name, ())
    ]
    left_out = tuple(dict.fromkeys(name for group in groups for name in group.tables))
    return [Group(left_out=left_out, binary=binary), *groups]


def lost_in_unicode(flavour: str, tables: Iterable[TableInfo], groups: Sequence[Group]) -> list[str]:
    """The names of the tables some of whose text a dump by these groups may change."""
    named = {name: group for group in groups for name in group.tables}
    return [t.name for t in tables if loses_in_unicode(flavour, t) and not named.get(t.name, groups[0]).binary]


def _spread(families: Sequence[Sequence[TableInfo]], jobs: int) -> list[tuple[str, ...]]:
    """What the processes after the first get by name."""
    if jobs < 2 or sum(map(_size, families)) < SMALL_DATABASE_BYTES:
        return []
    largest = sorted(families, key=_size, reverse=True)
    loads = [sum(map(_size, largest[NAMED_TABLES:]))] + [0] * (jobs - 1)
    given: list[list[Sequence[TableInfo]]] = [[] for _load in loads]
    for family in largest[:NAMED_TABLES]:
        lightest = loads.index(min(loads))
        loads[lightest] += max(_size(family), 1)
        given[lightest].append(family)
    return [_names(group) for group in given[1:]]


@dataclass(frozen=True)
class Dumper:
    """The dump tool, ready to be run against one database."""

    flavour: Flavour
    tool: Tool
    login: Login
    database: str
    broken_views: tuple[str, ...]
    history: bool
    redact: commands.Redact

    def schema(self) -> DumpPart:
        """Tables, sequences, routines and views, in an order in which they can be created."""
        options = ["--no-data", "--skip-triggers", "--routines"]
        return DumpPart("schema.sql", "schema", self, self._arguments(Group(), options))

    def data(self, number: int, group: Group) -> DumpPart:
        options = ["--no-create-info", "--skip-triggers"]
        if self.history:
            options.append("--dump-history")
        if group.where:
            options.append(f"--where={group.where}")
        counter = RowCounter(row_per_line=self.flavour.row_per_line)
        return DumpPart(f"data-{number:03}.sql", "data", self, self._arguments(group, options), counter)

    def objects(self) -> DumpPart:
        """Triggers and events: what would act on the data while it is loaded."""
        options = ["--no-data", "--no-create-info", "--triggers", "--events"]
        return DumpPart("objects.sql", "objects", self, self._arguments(Group(), options))

    def _arguments(self, group: Group, options: Sequence[str]) -> list[str]:
        return [
            self.tool.path,
            self.login.argument,
            "--single-transaction",
            "--quick",
            "--hex-blob",
            "--complete-insert",
            "--no-tablespaces",
            "--skip-comments",
            "--skip-add-drop-table",
            "--skip-add-locks",
            "--max-allowed-packet=1G",
            f"--default-character-set={'binary' if group.binary else 'utf8mb4'}",
            *self.flavour.dump_options,
            *(self.flavour.binary_dump_options if group.binary else ()),
            *options,
            *(f"--ignore-table={self.database}.{name}" for name in (*self.broken_views, *group.left_out)),
            "--",
            self.database,
            *group.tables,
        ]

    def run(self, arguments: Sequence[str]) -> commands.Child:
        return commands.Child(
            arguments,
            stdout=subprocess.PIPE,
            env=self.login.environment,
            pass_fds=(self.login.secret.fd,),
            redact=self.redact,
        )


class ViewFinder:
    """The names of the views in a schema dump that passes."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._rest = b""

    def feed(self, data: bytes) -> None:
        text = self._rest + data
        self.names.update(name.replace(b"``", b"`").decode() for name in _VIEW.findall(text))
        self._rest = text[-_VIEW_BYTES:]


class DumpStream(RawIOBase):
    """The output of a dump process with two changes to its header.

    MariaDB's sandbox line goes: older and MySQL's clients stumble over it. And the restoring session accepts dates that
    the source had accepted, like the 31st of February, which it would silently turn into zeros.
    """

    def __init__(self, stdout: BinaryIO, counter: RowCounter | None, views: ViewFinder | None = None) -> None:
        self._stdout, self._counter, self._views = stdout, counter, views
        self._head = b""
        self._started = False
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """``size`` bytes, fewer only at the end and at the beginning; all of them without a size.

        The tools write a few thousand bytes at a time, and passing these on one by one costs more than the waiting.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_BYTES), b""))
        if not self._started:
            self._start()
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
        else:
            data = self._next(size)
        if self._views:
            self._views.feed(data)
        if self._counter and data:
            self._counter.feed(data)
        elif self._counter and size:
            self._counter.finish()
        self.ended = self.ended or (not data and size > 0)
        return data

    def _next(self, size: int) -> bytes:
        return self._stdout.read(size)

    def _start(self) -> None:
        self._started = True
        while len(self._head) < HEADER_BYTES and (data := self._next(HEADER_BYTES)):
            self._head += data
        header, rest = self._head[:HEADER_BYTES], self._head[HEADER_BYTES:]
        self._head = _SANDBOX.sub(b"", header).replace(_SQL_MODE, FAITHFUL_SQL_MODE, 1) + rest


class DumpPart(Part):
    """The output of one dump process, which runs from ``start`` or from the opening of the part on.

    It waits for its reader on a full pipe. The server bears that for net_write_timeout, by default 60 s: so all data
    parts are read at the same time.
    """

    def __init__(
        self, name: str, kind: str, dumper: Dumper, arguments: Sequence[str], counter: RowCounter | None = None
    ) -> None:
        self.name, self.kind, self.counter = name, kind, counter
        self.views = ViewFinder() if kind == "schema" else None
        self.waits = kind == "data"
        self._dumper, self._arguments = dumper, arguments
        self._child: commands.Child | None = None

    def start(self) -> commands.Child:
        if not self._child:
            self._child = self._dumper.run(self._arguments)
        return self._child

    def stop(self) -> None:
        if self._child:
            self._child.kill()

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        child = self.start()
        stream = DumpStream(child.stdout, self.counter, self.views)
        try:
            yield cast(BinaryIO, stream)
            if not stream.ended and stream.read(1):
                raise ToolFailedError(f"The output of {child.name} for {self.name} was not read to its end.")
        except BaseException:
            child.kill()
            raise
        try:
            child.finish()
        except ToolFailedError as error:
            if _CHANGED.search(str(error)):
                raise SchemaChangedError(
                    f"Tables of {self._dumper.database} were altered while they were dumped ({error}). "
                    "Run the backup again."
                ) from None
            raise ToolFailedError(f"The dump of {self._dumper.database} failed: {error}") from None


def _readable(children: Sequence[commands.Child], seconds: float) -> list[int]:
    poll = select.poll()
    for child in children:
        poll.register(child.stdout.fileno(), select.POLLIN)
    return [descriptor for descriptor, _event in poll.poll(seconds * 1000)]


def wait_for_snapshots(parts: Sequence[DumpPart], seconds: float) -> bool:
    """Whether every process has opened its snapshot in time.

    One whose pipe holds its first bytes has: the tools write a header shorter than the C library's buffer (4096 bytes
    for a pipe) before they open the snapshot, and nothing flushes it until the list of tables and the first of them
    have followed (mysqldump.c, ``main``). So has one that has ended.
    """
    waiting = {child.stdout.fileno(): child for child in (part.start() for part in parts)}
    deadline = time.monotonic() + seconds
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor in _readable(list(waiting.values()), left):
            del waiting[descriptor]
    return not waiting
