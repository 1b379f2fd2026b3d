# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a PostgreSQL target can take a restore, and how: decided before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from ... import scratch
from ...config import Instance
from ...errors import (
    AmbiguousError,
    DatabaseCorruptError,
    InvalidConfigError,
    NotFoundError,
    TargetExistsError,
    TargetUnfitError,
    ToolMissingError,
)
from ..base import RestoreRequest, Source, StoredPart
from ..connect import create_engine, translated_errors
from ..sentences import driver_sentence
from . import catalog, replacing
from .databases import Maintenance, exists, major_of
from .sql import quoted
from .tools import Tool, find_tool, major

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

TRANSACTION_TIMEOUT = 17
"""From this version on pg_restore sets transaction_timeout, which older servers refuse."""


def archive_part(source: Source) -> StoredPart:
    for part in source.parts:
        if part.kind == "archive":
            return part
    raise DatabaseCorruptError(f"The backup of database {source.database} holds no archive of pg_dump. Take another.")


@dataclass
class Plan:
    """How the target takes a restore.

    ``arguments`` are pg_restore's; ``properties`` those of the new database; ``tables`` the labels to restore, all
    partitions included (None for all); ``replaced`` those of them that exist in the target's database; ``left``
    the memberships in publications that those lose, as listed in an archive, of which ``warnings`` tell.
    """

    pg_restore: Tool
    arguments: list[str]
    properties: dict[str, Any]
    acl: bool = True
    tables: tuple[str, ...] | None = None
    database_exists: bool = False
    existing: frozenset[str] = frozenset()
    through_psql: bool = False
    left: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)

    @property
    def psql(self) -> Tool:
        return self.pg_restore.sibling("psql")

    @property
    def replaced(self) -> list[str]:
        return [label for label in self.tables or () if label in self.existing]


@contextmanager
def _connected(instance: Instance, database: str) -> Iterator[sa.Connection]:
    engine = create_engine(instance, database)
    try:
        with translated_errors(instance), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _labels(connection: sa.Connection) -> list[str]:
    return [table.label for table in catalog.relations(connection)]


def tables_of(instance: Instance, database: str) -> list[str]:
    """Labels of the tables of a database, partitioned ones included."""
    with _connected(instance, database) as connection:
        return _labels(connection)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


class _Planner:
    def __init__(self, instance: Instance, connection: sa.Connection, request: RestoreRequest) -> None:
        self._instance, self._connection, self._request = instance, connection, request
        self._notes = request.source.inventory.notes
        self._properties = request.source.inventory.properties
        self._where = f"instance {instance.id}"
        self._major = major_of(connection)

    def plan(self) -> Plan:
        request = self._request
        self._check_name()
        plan = Plan(self._pg_restore(), [], dict(self._properties))
        plan.database_exists = exists(self._connection, request.database)
        plan.through_psql = plan.pg_restore.major >= TRANSACTION_TIMEOUT > self._major
        if request.tables is not None:
            self._choose_tables(plan, request.tables)
        elif plan.database_exists and not request.replace:
            raise TargetExistsError(
                f"Database {request.database} exists on {self._where}. "
                "Restore under another name, or set existing to replace."
            )
        self._check_roles(plan)
        self._check_tablespaces(plan)
        if not (plan.tables and plan.database_exists):
            self._check_locale()
            self._check_extensions(plan)
        self._check_version(plan)
        scratch.folder_for(archive_part(request.source).raw_bytes)  # pg_restore wants the archive as a file
        if self._notes["subscriptions"] and plan.tables is None:
            plan.warnings.append(
                f"The subscriptions {_listed(self._notes['subscriptions'])} are restored disabled and know no table. "
                "For the copy to follow its publisher, run ALTER SUBSCRIPTION … ENABLE and then ALTER SUBSCRIPTION … "
                "REFRESH PUBLICATION, with copy_data as it fits, before changes arrive; those that the slot on the "
                "publisher has passed since the backup are missing."
            )
        return plan

    def _check_name(self) -> None:
        """The server cuts longer names, and then they are those of other databases."""
        name = self._request.database
        limit = int(self._connection.execute(sa.text("SHOW max_identifier_length")).scalar_one())
        if len(name.encode()) > limit:
            raise InvalidConfigError(
                f"The name {name} has {len(name.encode())} bytes, and names of databases on {self._where} have {limit} "
                "at most. Choose a shorter one."
            )

    def _pg_restore(self) -> Tool:
        """Not older than the pg_dump that wrote the archive, and preferably not older than the target."""
        written = major(self._notes["tool_version"])
        purpose = f"Restoring an archive of pg_dump {self._notes['tool_version']}"
        try:
            return find_tool("pg_restore", max(written, self._major), purpose)
        except ToolMissingError:
            return find_tool("pg_restore", written, purpose)

    def _choose_tables(self, plan: Plan, asked: Sequence[str]) -> None:
        known: dict[str, Any] = self._notes["tables"]
        missing = [label for label in asked if label not in known]
        if missing:
            close = get_close_matches(missing[0], known, 3)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise NotFoundError(
                f"The backup of database {self._request.source.database} holds no table {', '.join(missing)} "
                f"(tables are named schema.table).{hint}"
            )
        plan.tables = tuple(dict.fromkeys(name for label in asked for name in (label, *known[label]["partitions"])))
        two = [label for label in plan.tables if label in self._notes.get("ambiguous", ())]
        if two:
            raise AmbiguousError(
                f"The backup of database {self._request.source.database} holds two tables {two[0]}, for a dot may be "
                "in the name of a schema or a table. Restore the whole database under another name, and copy from it."
            )
        if plan.database_exists:
            with _connected(self._instance, self._request.database) as connection:
                plan.existing = frozenset(_labels(connection))
                if plan.replaced:
                    self._check_replaced(plan, connection)

    def _check_replaced(self, plan: Plan, connection: sa.Connection) -> None:
        """``connection`` is one to the target's database."""
        where = f"Database {self._request.database} on {self._where}"
        if not self._request.replace:
            raise TargetExistsError(
                f"{where} already has {_listed(plan.replaced)}. "
                "Restore into another database, or set existing to replace."
            )
        known = self._notes["tables"]
        tables = [(known[label]["schema"], known[label]["name"]) for label in plan.replaced]
        if others := replacing.other_partitions(connection, tables):
            raise TargetUnfitError(
                f"{where} has partitions that would be dropped with the tables to replace, and that the backup does "
                f"not hold: {_listed(others)}. Detach them first, or restore into another database."
            )
        for membership in replacing.memberships(connection, tables, self._major):
            plan.left.add(membership.title)
            plan.warnings.append(
                f"Publication {membership.publication} loses the replaced {membership.schema}.{membership.table}: "
                f"add it again with {membership.statement}."
            )
        for subscription, labels in replacing.subscribed(connection, tables).items():
            plan.warnings.append(
                f"Subscription {subscription} no longer follows the replaced {_listed(labels)}: when they hold what "
                f"its publisher has, run ALTER SUBSCRIPTION {quoted(subscription)} REFRESH PUBLICATION WITH "
                "(copy_data = false)."
            )

    def _check_roles(self, plan: Plan) -> None:
        there = set(catalog.names(self._connection, catalog.ROLES))
        owner, original = self._request.owner, self._properties["owner"]
        if owner is not None and owner not in there:
            raise TargetUnfitError(f"The role {owner}, asked for as owner, does not exist on {self._where}. Create it.")
        roles = self._notes["roles"]
        of_database = {original, *(grant["grantee"] for grant in self._properties["acl"] or ())} - {None}
        missing = {*roles["owners"], *roles["grantees"], *of_database} - there
        if owner is not None:
            plan.arguments += ["--no-owner", f"--role={owner}"]
            plan.properties["owner"] = owner
            plan.properties["acl"] = self._properties["acl"] and [
                {**grant, "grantee": owner if grant["grantee"] == original else grant["grantee"]}
                for grant in self._properties["acl"]
            ]
            plan.acl = not missing
            if missing:
                plan.arguments.append("--no-acl")
                plan.warnings.append(
                    f"Grants are left out, because these roles do not exist on {self._where}: {_listed(missing)}."
                )
            missing = set()
        missing |= set(roles["policies"]) - there
        if missing and plan.tables is None:
            raise TargetUnfitError(
                f"The backup of database {self._request.source.database} needs roles that do not exist on "
                f"{self._where}: {_listed(missing)}. Restore the users first, or set owner to a role that is to own "
                "everything."
            )
        if missing:
            plan.warnings.append(f"These roles do not exist on {self._where}: {_listed(missing)}.")
        plan.properties["settings"] = [
            group for group in self._properties["settings"] if group["role"] is None or group["role"] in there
        ]
        unset = {group["role"] for group in self._properties["settings"]} - there - {None}
        if unset and plan.tables is None:
            plan.warnings.append(
                f"Settings of these roles are left out, because they do not exist on {self._where}: {_listed(unset)}."
            )

    def _check_tablespaces(self, plan: Plan) -> None:
        missing = {self._properties["tablespace"], *self._notes["tablespaces"]} - set(
            catalog.names(self._connection, catalog.TABLESPACES)
        )
        if missing:
            plan.arguments.append("--no-tablespaces")
            plan.warnings.append(
                f"Everything goes to the default tablespace, because these do not exist on {self._where}: "
                f"{_listed(missing)}."
            )

    def _check_locale(self) -> None:
        provider = self._properties["locale_provider"]
        needed = {"libc": 0, "icu": 15, "builtin": 17}[provider]
        if self._major < needed:
            raise TargetUnfitError(
                f"The database uses the locale provider {provider}, which PostgreSQL {self._major} of {self._where} "
                f"does not have. Restore to PostgreSQL {needed} or newer."
            )
        for locale in sorted({self._properties["collate"], self._properties["ctype"]}):
            try:
                # The server looks the name up in its operating system.
                self._connection.execute(sa.text("SELECT set_config('lc_monetary', :name, true)"), {"name": locale})
            except sa.exc.DBAPIError as error:
                raise TargetUnfitError(
                    f"The operating system of {self._where} does not have the locale {locale} of the database: "
                    f"{driver_sentence(error.orig or error)}. Generate it there and restart the server."
                ) from None

    def _check_extensions(self, plan: Plan) -> None:
        there = catalog.available_extensions(self._connection)
        wanted: dict[str, str] = self._notes["extensions"]
        missing = wanted.keys() - there.keys()
        if missing:
            raise TargetUnfitError(
                f"The database uses extensions that {self._where} cannot install: {_listed(missing)}. "
                "Install their packages there."
            )
        other = [f"{name} {there[name]} instead of {wanted[name]}" for name in wanted if there[name] != wanted[name]]
        if other:
            plan.warnings.append(f"Extensions come in the versions of {self._where}: {_listed(other)}.")

    def _check_version(self, plan: Plan) -> None:
        source = self._request.source.server_version
        if self._major < major(source):
            plan.warnings.append(
                f"The backup is of PostgreSQL {source} and {self._where} is the older {self._major}: what only the "
                "newer version knows makes the restore fail, and then the target stays as it is."
            )


def plan_restore(maintenance: Maintenance, request: RestoreRequest) -> Plan:
    """Raises TargetExistsError, TargetUnfitError, ToolMissingError, NotFoundError, AmbiguousError, InvalidConfigError,
    NoSpaceError; touches nothing."""
    with maintenance.connection() as connection:
        return _Planner(maintenance.instance, connection, request).plan()
