# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine is: it turns a database into named byte streams plus facts, and back.

An engine knows nothing of repositories, compression or keys; everything that is not particular to one kind of server
is done by the operations for all engines alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO, ClassVar, Protocol

from ..config import Instance
from ..errors import BackupdbError, RowCountMismatchError

SCRATCH_PREFIX = "vya_verify_"
"""What the names of scratch databases start with. Nobody backs them up."""


@dataclass(frozen=True)
class Server:
    """A server that answered: what it is (mysql, mariadb, postgresql or sqlite) and the version that it says."""

    flavour: str
    version: str


@dataclass(frozen=True)
class Database:
    """One database of an instance; ``size_bytes`` is the server's own estimate, ``tables`` its number of tables."""

    name: str
    size_bytes: int
    tables: int


@dataclass(frozen=True)
class Table:
    """One table of a snapshot; ``schema`` is empty where the engine has none."""

    schema: str
    name: str
    rows: int
    size_bytes: int = 0

    @property
    def label(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass
class Inventory:
    """All that a set knows about its database besides the data. Stored as a sealed part, so names may appear here.

    ``properties`` are the database's own settings (character set, owner, …) and ``notes`` what the engine needs to
    remember for a restore; both are JSON values of the engine's choosing. ``warnings`` are sentences for people.
    """

    tables: list[Table] = field(default_factory=list)
    views: int = 0
    routines: int = 0
    triggers: int = 0
    events: int = 0
    schema_sha256: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Inventory:
        return cls(**{**value, "tables": [Table(**table) for table in value["tables"]]})


class Part(ABC):
    """One byte stream of a snapshot. Parts of one snapshot may be read at the same time, each from its own thread."""

    name: str
    kind: str
    waits: bool = False
    """Whether something on the server already waits for this part to be read: such parts are read first, and all at the
    same time."""

    @abstractmethod
    def open(self) -> AbstractContextManager[BinaryIO]:
        """Opens the stream. Leaving the context cleanly means that the stream was read to its end and is whole:
        otherwise ToolFailedError (or another BackupdbError) is raised. Leaving by an exception stops the producer."""


class Snapshot(ABC):
    """One database at one moment. Everything read through it shows that moment."""

    tool: str
    tool_version: str
    position: dict[str, Any]
    parts: Sequence[Part]

    @abstractmethod
    def inventory(self) -> Inventory:
        """The facts about the database. Called once, after every part was read to its end."""


@dataclass(frozen=True)
class StoredPart:
    """A part as a set holds it; ``raw_bytes`` is its size before compression and sealing."""

    name: str
    kind: str
    raw_bytes: int


class Source(Protocol):
    """A backup set, seen from an engine: plain streams and the inventory, already proven whole."""

    @property
    def engine(self) -> str:
        """The engine's name."""

    @property
    def flavour(self) -> str:
        """The kind of server within its family, such as mariadb."""

    @property
    def server_version(self) -> str:
        """As the server said it."""

    @property
    def database(self) -> str:
        """The name that the database had."""

    @property
    def inventory(self) -> Inventory:
        """The facts about the database."""

    @property
    def parts(self) -> Sequence[StoredPart]:
        """The engine's own parts, in the order in which the snapshot listed them (the inventory is not among them)."""

    def open(self, part: StoredPart) -> AbstractContextManager[BinaryIO]:
        """The part's plain bytes, as the snapshot produced them."""


@dataclass(frozen=True)
class RestoreRequest:
    """What is to be restored where.

    ``database`` is the name on the target; ``tables`` (labels as in the inventory) limits the restore, None means all;
    ``replace`` allows what exists to be replaced; ``owner`` makes one role own everything (PostgreSQL only). With
    ``idle``, what would begin to work by itself stays out: the events of MySQL.
    """

    source: Source
    database: str
    tables: tuple[str, ...] | None = None
    replace: bool = False
    jobs: int = 1
    owner: str | None = None
    idle: bool = False

    @property
    def expected_tables(self) -> list[Table]:
        tables = self.source.inventory.tables
        return [table for table in tables if self.tables is None or table.label in self.tables]


@dataclass
class Restored:
    """What a restore brought back: every table with its rows counted on the target, and sentences for people."""

    tables: list[Table]
    warnings: list[str] = field(default_factory=list)


class Engine(ABC):
    """The verbs of one kind of server. One file an engine; engines/registry.py lists them."""

    name: ClassVar[str]
    replaces_atomically: ClassVar[bool]
    """True where a failed ``restore(replace=True)`` leaves the old database as it was; else the caller saves it."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance

    @abstractmethod
    def server(self) -> Server:
        """Connects and says who answered. Raises ConnectionFailedError, AuthenticationFailedError."""

    @abstractmethod
    def dump_tool(self, server: Server) -> tuple[str, str]:
        """Name and version of the program that backups of this server are taken with.
        Raises ToolMissingError naming the package where there is none that fits, for backups or for restores."""

    @abstractmethod
    def database_names(self) -> list[str]:
        """The names of all databases that are not the system's, sorted. Cheap, whatever the databases hold."""

    @abstractmethod
    def databases(self, names: Collection[str] | None = None, count_tables: bool = True) -> list[Database]:
        """All databases, or those of the named ones that are there, sorted by name, without the system's.
        Tables need not be counted where nobody asks."""

    @abstractmethod
    def exists(self, database: str) -> bool:
        """Whether the instance has a database of that name (system databases included)."""

    @abstractmethod
    def existing_tables(self, database: str) -> list[str]:
        """The labels of the tables of a database; empty when the database does not exist."""

    @abstractmethod
    def snapshot(self, database: str, jobs: int) -> AbstractContextManager[Snapshot]:
        """One consistent snapshot, of which up to ``jobs`` parts will be read at a time, and all parts that wait.
        Nothing of it outlives the context: connections, locks and child processes end with it, however it ends."""

    @abstractmethod
    def check_restore(self, request: RestoreRequest) -> list[str]:
        """Proves, without touching anything, that the target can take the restore; returns warnings for people.
        Raises TargetUnfitError, ToolMissingError, InvalidConfigError, … A second call is harmless."""

    @abstractmethod
    def restore(self, request: RestoreRequest) -> Restored:
        """Restores, counts the rows of what it restored and compares them with the inventory (RowCountMismatchError).
        On any failure a database that did not exist before does not exist afterwards, and one that existed is as it
        was wherever ``replaces_atomically`` is true."""

    @abstractmethod
    def scratch(self) -> AbstractContextManager[str]:
        """A name for a scratch database that nobody else uses. What stands under it goes with the context, and what
        runs that were killed left goes first."""

    @classmethod
    def scratch_instance(cls, size_bytes: int) -> Instance | None:
        """A place for a scratch database of that size that is no server's; None where it takes a server."""
        return None

    @classmethod
    def flaw(cls, kind: str, raw_bytes: int, head: bytes, tail: bytes) -> str | None:
        """What is wrong with a part of a kind whose first and last few hundred bytes are these, in words; None where
        nothing is. Needs no server."""
        return None

    def close(self) -> None:  # noqa: B027 - most engines hold connections, SQLite does not
        """Gives back the connections."""


def compare_rows(expected: Iterable[Table], restored: Iterable[Table], database: str) -> None:
    """Raises RowCountMismatchError naming the first tables whose rows differ from what the backup recorded."""
    actual = {(table.schema, table.name): table.rows for table in restored}
    wrong = [
        f"{table.label} has {actual.get((table.schema, table.name), 'no')} rows instead of {table.rows}"
        for table in expected
        if actual.get((table.schema, table.name)) != table.rows
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more tables" if len(wrong) > 5 else ""
        raise RowCountMismatchError(
            f"The restored database {database} is not what was backed up: {'; '.join(wrong[:5])}{more}."
        )


@contextmanager
def dropped_after(instance: Instance, name: str, drop: Callable[[], None]) -> Iterator[str]:
    """The scratch database of that name, dropped at the end; of two errors the first one is raised."""
    try:
        yield name
    except BaseException:
        with suppress(BackupdbError):
            drop()
        raise
    try:
        drop()
    except BackupdbError as error:
        raise type(error)(
            f"The scratch database {name} of instance {instance.id} could not be dropped, which the next verification "
            f"by restore tries again: {error.message}"
        ) from None
