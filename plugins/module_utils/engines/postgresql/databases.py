# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole PostgreSQL databases on a target: made, given their properties, swapped by rename, dropped."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ...config import Instance
from ...errors import (
    BackupdbError,
    DatabaseBusyError,
    NotFoundError,
    PermissionDeniedError,
    TargetExistsError,
    TargetUnfitError,
)
from ..base import SCRATCH_PREFIX, dropped_after
from ..connect import create_engine, run_quoted, translated_errors
from ..sentences import driver_sentence
from . import catalog
from .catalog import STAGING_PREFIX
from .sql import literal, quoted, setting_values
from .tools import major

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

SWAP_ATTEMPTS = 5
DISCONNECT_SECONDS = 0.2
LEFTOVERS = 20


class Maintenance:
    """Connections for work on databases as a whole, to one that is not itself worked on."""

    def __init__(self, instance: Instance, avoid: str | None = None) -> None:
        self.instance = instance
        self._candidates = [name for name in ("postgres", "template1") if name != avoid]
        self._engine: sa.Engine | None = None

    def close(self) -> None:
        if self._engine:
            self._engine.dispose()
            self._engine = None

    def _connected(self) -> sa.Connection:
        if self._engine is None:
            for name in self._candidates:
                engine = create_engine(self.instance, name)
                try:
                    with translated_errors(self.instance):
                        connection = engine.connect()
                except (NotFoundError, PermissionDeniedError):
                    engine.dispose()
                    if name == self._candidates[-1]:
                        raise
                else:
                    self._engine = engine
                    return connection
        if self._engine is None:
            raise AssertionError("the loop above returned or raised")
        return self._engine.connect()

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """A connection where every statement is its own transaction, as CREATE and DROP DATABASE want it."""
        with translated_errors(self.instance), self._connected() as plain:
            connection = plain.execution_options(isolation_level="AUTOCOMMIT")
            catalog.settle(connection)
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A transaction; the driver's errors leave it as they are."""
        with self._connected() as connection, connection.begin():
            yield connection


def major_of(connection: sa.Connection) -> int:
    return major(str(connection.execute(sa.text("SHOW server_version")).scalar_one()))


def exists(connection: sa.Connection, database: str) -> bool:
    found = connection.execute(sa.text("SELECT FROM pg_database WHERE datname = :name"), {"name": database})
    return found.first() is not None


def _creation(name: str, owner: str | None, properties: Mapping[str, Any], version: int, tablespace: bool) -> str:
    """``CREATE DATABASE`` with what can't be changed afterwards (PostgreSQL manual, "CREATE DATABASE")."""
    options = [
        "TEMPLATE template0",
        f"ENCODING {literal(properties['encoding'])}",
        f"LC_COLLATE {literal(properties['collate'])}",
        f"LC_CTYPE {literal(properties['ctype'])}",
    ]
    provider, locale = properties["locale_provider"], properties["locale"]
    if version >= 15:
        options.append(f"LOCALE_PROVIDER {provider}")
    if provider != "libc":
        options.append(f"{provider.upper()}_LOCALE {literal(locale)}")
        if properties["icu_rules"]:
            options.append(f"ICU_RULES {literal(properties['icu_rules'])}")
    if owner is not None:
        options.append(f"OWNER {quoted(owner)}")
    if tablespace:
        options.append(f"TABLESPACE {quoted(properties['tablespace'])}")
    return f"CREATE DATABASE {quoted(name)} {' '.join(options)}"


def disconnect(connection: sa.Connection, database: str) -> None:
    """Ends all other connections to a database, those of other programs too."""
    connection.execute(
        sa.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"
        ),
        {"name": database},
    )


@contextmanager
def _connected(instance: Instance, database: str) -> Iterator[sa.Connection]:
    engine = create_engine(instance, database)
    try:
        with translated_errors(instance), engine.connect() as plain:
            yield plain.execution_options(isolation_level="AUTOCOMMIT")
    finally:
        engine.dispose()


def _detach_subscriptions(instance: Instance, database: str) -> None:
    """Drops a database's subscriptions, but not their slots on the publishers, which the restored ones use."""
    with _connected(instance, database) as connection:
        for name in catalog.names(connection, catalog.SUBSCRIPTIONS):
            run_quoted(connection, f"ALTER SUBSCRIPTION {quoted(name)} DISABLE")
            run_quoted(connection, f"ALTER SUBSCRIPTION {quoted(name)} SET (slot_name = NONE)")
            run_quoted(connection, f"DROP SUBSCRIPTION {quoted(name)}")


def _has_subscriptions(connection: sa.Connection, database: str) -> bool:
    query = sa.text("SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = :name")
    return connection.execute(query, {"name": database}).first() is not None


def drop(instance: Instance, connection: sa.Connection, database: str) -> None:
    """Drops a database with all that holds on to it; it need not exist."""
    if not exists(connection, database):
        return
    if _has_subscriptions(connection, database):
        _detach_subscriptions(instance, database)
    run_quoted(connection, f"DROP DATABASE IF EXISTS {quoted(database)} WITH (FORCE)")


@contextmanager
def _claimed(connection: sa.Connection, database: str) -> Iterator[bool]:
    """Marks a staging database as in use while the connection lives; False when another session has marked it."""
    key = {"key": database}
    claim = sa.text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))")
    if not connection.execute(claim, key).scalar_one():
        yield False
        return
    try:
        yield True
    finally:
        with suppress(sa.exc.SQLAlchemyError):  # a lost connection has given the lock back
            connection.execute(sa.text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), key)


def _drop_leftovers(instance: Instance, connection: sa.Connection, names: str) -> None:
    """Drops what killed runs have left: our databases that no living run claims and nobody is connected to."""
    found = connection.execute(
        sa.text("""
            SELECT datname FROM pg_database d WHERE datname ~ :names
              AND NOT EXISTS (
                SELECT FROM pg_stat_activity a WHERE a.datid = d.oid AND a.backend_type = 'client backend'
              ) LIMIT :most"""),
        {"names": names, "most": LEFTOVERS},
    )
    for name in found.scalars().all():
        with _claimed(connection, name) as ours:
            if ours:
                with suppress(sa.exc.SQLAlchemyError, BackupdbError):  # another role's, in nobody's way
                    drop(instance, connection, name)


class Staging:
    """A database under a name of ours that becomes the target's by one rename once it is whole."""

    def __init__(self, maintenance: Maintenance, connection: sa.Connection, name: str) -> None:
        self.name = name
        self._maintenance, self._connection = maintenance, connection

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """A connection to the database itself; none is left open afterwards, for it is to be renamed."""
        with _connected(self._maintenance.instance, self.name) as connection:
            catalog.settle(connection)
            yield connection

    def disconnect(self) -> None:
        """Ends the work of all who load it."""
        with suppress(BackupdbError), self._maintenance.connection() as connection:
            disconnect(connection, self.name)

    def apply(self, properties: Mapping[str, Any], *, acl: bool) -> list[str]:
        """Sets the properties that can be set later; returns a sentence for each that the target did not take.

        The server keeps comments and settings as bytes in the encoding of the database from which they were set.
        """
        name = quoted(self.name)
        with self.connection() as connection:
            if properties["comment"] is not None:
                run_quoted(connection, f"COMMENT ON DATABASE {name} IS {literal(properties['comment'])}")
            if acl and properties["acl"] is not None:
                run_quoted(connection, f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
                run_quoted(connection, f"REVOKE ALL ON DATABASE {name} FROM {quoted(properties['owner'])}")
                for grant in properties["acl"]:
                    grantee = "PUBLIC" if grant["grantee"] is None else quoted(grant["grantee"])
                    option = " WITH GRANT OPTION" if grant["grantable"] else ""
                    run_quoted(connection, f"GRANT {grant['privilege']} ON DATABASE {name} TO {grantee}{option}")
            warnings = [
                warning
                for group in properties["settings"]
                for setting in group["settings"]
                for warning in self._apply_setting(connection, group["role"], setting)
            ]
            run_quoted(connection, f"ALTER DATABASE {name} CONNECTION LIMIT {int(properties['connection_limit'])}")
        return warnings

    def _apply_setting(self, connection: sa.Connection, role: str | None, setting: str) -> Iterator[str]:
        parameter, _sign, value = setting.partition("=")
        whose = "" if role is None else f" of role {role}"
        subject = f"DATABASE {quoted(self.name)}"
        if role is not None:
            subject = f"ROLE {quoted(role)} IN {subject}"
        values = setting_values(parameter, value)
        try:
            run_quoted(
                connection,
                f"ALTER {subject} SET {quoted(*parameter.split('.'))} TO {', '.join(literal(item) for item in values)}",
            )
        except sa.exc.DBAPIError as error:
            yield f"The database setting {parameter}{whose} was not restored: {driver_sentence(error.orig or error)}."

    def publish(self, final: str, *, replace: bool) -> list[str]:
        """Renames it to its final name, away with an old database of that name, in one transaction.

        Both databases are locked for new connections while they are renamed (dbcommands.c, RenameDatabase), and the
        server waits 5 s for old ones to go. Returns a warning if the old one could not be dropped after the swap.
        """
        aside = _staging_name("old")
        for attempt in range(SWAP_ATTEMPTS):
            try:
                replaced = self._rename(final, aside, replace=replace)
                break
            except sa.exc.OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != "55006":
                    raise
                if attempt + 1 == SWAP_ATTEMPTS:
                    raise DatabaseBusyError(
                        f"Database {final} of instance {self._maintenance.instance.id} stayed in use and was not "
                        f"replaced: {driver_sentence(error.orig or error)}. Stop what uses it, then restore again."
                    ) from None
        if not replaced:
            return []
        try:
            drop(self._maintenance.instance, self._connection, aside)
        except (sa.exc.SQLAlchemyError, BackupdbError) as error:
            words = driver_sentence(getattr(error, "orig", None) or error)
            return [f"The replaced database could not be dropped and is now named {aside}: {words}."]
        return []

    @contextmanager
    def _driven_out(self, database: str) -> Iterator[None]:
        """Ends the connections to a database again and again: those that came before the context locks it, and would
        stay."""
        done = threading.Event()

        def drive() -> None:
            with suppress(BackupdbError), self._maintenance.connection() as connection:
                while not done.is_set():
                    disconnect(connection, database)
                    done.wait(DISCONNECT_SECONDS)

        driver = threading.Thread(target=drive, daemon=True)
        driver.start()
        try:
            yield
        finally:
            done.set()
            driver.join()

    def _rename(self, final: str, aside: str, *, replace: bool) -> bool:
        with self._maintenance.transaction() as connection:
            replaced = exists(connection, final)
            if replaced and not replace:
                raise TargetExistsError(
                    f"Database {final} appeared on instance {self._maintenance.instance.id} during the restore. "
                    "Restore under another name, or set existing to replace."
                )
            if replaced:
                with self._driven_out(final):
                    run_quoted(connection, f"ALTER DATABASE {quoted(final)} RENAME TO {quoted(aside)}")
            disconnect(connection, self.name)
            run_quoted(connection, f"ALTER DATABASE {quoted(self.name)} RENAME TO {quoted(final)}")
        return replaced


def _staging_name(kind: str) -> str:
    return f"{STAGING_PREFIX}{kind}-{secrets.token_hex(6)}"


@contextmanager
def staging(maintenance: Maintenance, owner: str | None, properties: Mapping[str, Any]) -> Iterator[Staging]:
    """A new empty database; dropped when the context is left before it was published."""
    instance = maintenance.instance
    name = _staging_name("restore")
    with maintenance.connection() as connection, _claimed(connection, name):
        _drop_leftovers(instance, connection, catalog.STAGING_NAMES)
        version = major_of(connection)
        # Naming the usual one, which is everybody's to use, takes a privilege all the same.
        tablespace = properties["tablespace"] in set(catalog.names(connection, catalog.TABLESPACES)) - {"pg_default"}
        try:
            run_quoted(connection, _creation(name, owner, properties, version, tablespace))
        except sa.exc.DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in ("22023", "42601", "42704", "42809"):
                raise
            raise TargetUnfitError(
                f"Instance {instance.id} cannot make a database with encoding {properties['encoding']} and locale "
                f"{properties['locale'] or properties['collate']}: {driver_sentence(error.orig or error)}."
            ) from None
        try:
            yield Staging(maintenance, connection, name)
        except BaseException:
            with suppress(BackupdbError), maintenance.connection() as fresh:  # else the next restore drops it
                drop(instance, fresh, name)
            raise


@contextmanager
def scratch(maintenance: Maintenance) -> Iterator[str]:
    """A claimed name for a scratch database; what stands under it is dropped at the end."""
    instance, name = maintenance.instance, SCRATCH_PREFIX + secrets.token_hex(6)

    def drop_it() -> None:
        with maintenance.connection() as connection:  # another one: a long restore may have cost us the first
            drop(instance, connection, name)

    with maintenance.connection() as connection:
        _drop_leftovers(instance, connection, catalog.OUR_NAMES)
        with _claimed(connection, name), dropped_after(instance, name, drop_it):
            yield name
