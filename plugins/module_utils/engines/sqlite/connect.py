# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening SQLite files through SQLAlchemy, and what SQLite and the file system say turned into our errors."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from ...config import Instance
from ...errors import (
    BackupdbError,
    DatabaseBusyError,
    DatabaseCorruptError,
    InvalidConfigError,
    NoSpaceError,
    NotFoundError,
    PermissionDeniedError,
    QueryFailedError,
    TargetUnfitError,
)
from ...stopping import cut_by
from ..sentences import driver_sentence

if TYPE_CHECKING:
    import sqlalchemy as sa

BUSY_TIMEOUT_SECONDS = 30.0
"""For so long we wait for a lock that somebody else holds."""

_PRIMARY = 0xFF
_ERRORS: dict[int, type[BackupdbError]] = {
    sqlite3.SQLITE_BUSY: DatabaseBusyError,
    sqlite3.SQLITE_LOCKED: DatabaseBusyError,
    sqlite3.SQLITE_CORRUPT: DatabaseCorruptError,
    sqlite3.SQLITE_NOTADB: DatabaseCorruptError,
    sqlite3.SQLITE_CANTOPEN: PermissionDeniedError,
    sqlite3.SQLITE_READONLY: PermissionDeniedError,
    sqlite3.SQLITE_PERM: PermissionDeniedError,
    sqlite3.SQLITE_FULL: NoSpaceError,
}
_ERRNOS: dict[int, type[BackupdbError]] = {
    errno.ENOSPC: NoSpaceError,
    errno.EDQUOT: NoSpaceError,
    errno.EFBIG: NoSpaceError,
    errno.EACCES: PermissionDeniedError,
    errno.EPERM: PermissionDeniedError,
    errno.EROFS: PermissionDeniedError,
    errno.ENOENT: NotFoundError,
    errno.ENAMETOOLONG: InvalidConfigError,
    errno.ENOTDIR: InvalidConfigError,
    errno.EISDIR: InvalidConfigError,
}
_CURES: dict[type[BackupdbError], str] = {
    DatabaseCorruptError: "Restore it from a backup, or save what can be saved with sqlite3's .recover.",
    PermissionDeniedError: "Run as a user who may read and write it and its folder, such as its owner or root.",
    NoSpaceError: "Free room there, then run again.",
}
_HOT_JOURNAL = (
    "Database {name} of instance {instance} was left in the middle of a transaction by a process that died. "
    "Open it once with its application or with sqlite3, which rolls the transaction back, then run again."
)
_NO_DATABASE = (
    "Database {name} of instance {instance}: file is not a database. "
    "If it was one, restore it from a backup; if it never was, leave it out with exclude."
)


def decode(raw: bytes) -> str:
    """Text as the database holds it; bytes that are not UTF-8 survive as surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def connect(path: Path, **parameters: str | int) -> sqlite3.Connection:
    """A plain connection in autocommit mode, with parameters as in sqlite.org, "Uniform Resource Identifiers"."""
    connection = sqlite3.connect(
        uri(path, **parameters),
        uri=True,
        timeout=BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = decode
    return connection


def uri(path: Path, **parameters: str | int) -> str:
    """A file name as a URI, whatever signs it holds."""
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"file://{quote(os.fsencode(path))}?{query}"


@contextmanager
def wrapped(connection: sqlite3.Connection) -> Iterator[sa.Connection]:
    """SQLAlchemy over a plain connection, which is closed at the end."""
    import sqlalchemy as sa  # not sooner: to list files takes none of it

    try:
        engine = sa.create_engine("sqlite://", creator=lambda: connection, poolclass=sa.pool.NullPool)
        with cut_by(connection.interrupt), engine.connect() as wrapper:
            yield wrapper
    finally:
        connection.close()


@contextmanager
def opened(path: Path, **parameters: str | int) -> Iterator[sa.Connection]:
    """SQLAlchemy over a file; nothing is written or created unless ``mode`` says so."""
    with wrapped(connect(path, **{"mode": "ro", **parameters})) as connection:
        yield connection


def driver(connection: sa.Connection) -> sqlite3.Connection:
    """The plain connection below SQLAlchemy's."""
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def busy(instance: Instance, name: str) -> DatabaseBusyError:
    return DatabaseBusyError(
        f"Database {name} of instance {instance.id} stayed locked for {BUSY_TIMEOUT_SECONDS:g} s. "
        "Find the process that holds it, or try again when it is done."
    )


def _of_sqlite(instance: Instance, name: str, error: BaseException) -> BackupdbError:
    code = getattr(error, "sqlite_errorcode", 0)
    said = driver_sentence(error)
    if code == sqlite3.SQLITE_READONLY_ROLLBACK:
        return DatabaseCorruptError(_HOT_JOURNAL.format(name=name, instance=instance.id))
    if code & _PRIMARY == sqlite3.SQLITE_NOTADB:
        return DatabaseCorruptError(_NO_DATABASE.format(name=name, instance=instance.id))
    kind = TargetUnfitError if "same text encoding" in said else _ERRORS.get(code & _PRIMARY, QueryFailedError)
    if kind is DatabaseBusyError:
        return busy(instance, name)
    return kind(f"Database {name} of instance {instance.id}: {said}. {_CURES.get(kind, '')}".rstrip())


def _of_system(instance: Instance, name: str, error: OSError) -> BackupdbError:
    kind = _ERRNOS.get(error.errno or 0, QueryFailedError)
    where = f" ({error.filename})" if error.filename else ""
    said = os.strerror(error.errno or 0)
    return kind(f"Database {name} of instance {instance.id}{where}: {said}. {_CURES.get(kind, '')}".rstrip())


@contextmanager
def translated(instance: Instance, name: str) -> Iterator[None]:
    """Turns what SQLAlchemy, sqlite3 and the file system raise about a database into our errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(instance, name, error) from None
    except OSError as error:
        raise _of_system(instance, name, error) from None
    except Exception as error:
        original = getattr(error, "orig", None)  # SQLAlchemy's DBAPIError
        if not isinstance(original, sqlite3.Error):
            raise
        raise _of_sqlite(instance, name, original) from None
