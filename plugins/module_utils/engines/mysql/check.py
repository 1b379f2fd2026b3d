# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a MySQL or MariaDB server can take a backup: everything that is knowable before anything is touched."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from ...config import Instance
from ...errors import InvalidConfigError, NotFoundError, TargetExistsError, TargetUnfitError
from ..base import Inventory, RestoreRequest
from . import catalog
from .lacking import check_lacking, check_times
from .script import needs_of
from .tools import FLAVOURS, series

if TYPE_CHECKING:
    import sqlalchemy as sa

PACKET_HEADROOM_BYTES = 1 << 10


def check_target(connection: sa.Connection, instance: Instance, request: RestoreRequest) -> list[str]:
    """Returns warnings; raises InvalidConfigError, TargetExistsError, NotFoundError, TargetUnfitError."""
    where = f"Instance {instance.id} at {instance.address}"
    inventory = request.source.inventory
    version = catalog.server_version(connection)
    _check_not_ours(connection, request.database)
    _check_names(connection, request)
    _check_packet(connection, where, inventory)
    _check_folding(connection, where, inventory)
    _check_known(
        where, "collations", inventory.notes["collations"], catalog.known_collations(connection),
        "Restore to a server that has them, or change the collation on the source.",
    )  # fmt: skip
    _check_known(
        where, "storage engines", inventory.notes["engines"], catalog.known_engines(connection),
        "Install the plugins on the target.",
    )  # fmt: skip
    flavour = "mariadb" if "MariaDB" in version else "mysql"
    if flavour == "mysql":
        _check_needs(connection, where, request)
    elif inventory.notes["versioned"] and inventory.notes["history"]:
        _check_history(connection, where, inventory.notes["versioned"])
    return [
        *_crossing(where, request, flavour, version),
        *check_times(where, request.source, version),
        *check_lacking(connection, where, inventory.notes),
        *_definers(connection, where, inventory),
    ]


def _check_not_ours(connection: sa.Connection, database: str) -> None:
    """A database of such a name is dropped by the next restore or verification, unless a running one claims it."""
    ours = catalog.STAGING_NAME.match(database) or catalog.SCRATCH_NAME.match(database)
    if ours and not catalog.is_claimed(connection, database):
        raise InvalidConfigError(
            f"{database} is a name of databases that restores and verifications make and drop. "
            "Choose another target_database."
        )


def _check_names(connection: sa.Connection, request: RestoreRequest) -> None:
    known = {table.label for table in request.source.inventory.tables}
    unknown = [name for name in request.tables or () if name not in known]
    if unknown:
        raise NotFoundError(
            f"The backup of {request.source.database} holds no table {', '.join(unknown)}. "
            "Its tables are listed in its inventory; correct the names."
        )
    stored = catalog.stored_name(connection, request.database)
    if stored is None:
        return
    if request.tables is None:
        if not request.replace:
            raise TargetExistsError(
                f"The database {request.database} exists. Choose another target_database, or set existing to replace."
            )
        return
    folded = catalog.folds_names(connection)
    kinds = catalog.names_of_tables(connection, stored)
    if folded:
        kinds = {name.lower(): kind for name, kind in kinds.items()}
    for name in request.tables:
        kind = kinds.get(name.lower() if folded else name)
        if kind and kind not in catalog.TABLE_KINDS:
            raise TargetExistsError(f"In the database {request.database}, {name} is a {kind.lower()}, not a table.")
        if kind and not request.replace:
            raise TargetExistsError(
                f"The table {name} exists in the database {request.database}. "
                "Choose another target_database, or set existing to replace."
            )


def _check_packet(connection: sa.Connection, where: str, inventory: Inventory) -> None:
    longest = int(inventory.notes["longest_statement"])
    accepted = int(catalog.variable(connection, "max_allowed_packet") or 0)
    needed = longest + PACKET_HEADROOM_BYTES
    if needed > accepted:
        rounded = -(-needed >> 20) << 20
        raise TargetUnfitError(
            f"{where} accepts statements of {accepted} bytes, and a row of the backup takes {longest}. "
            f"Run SET GLOBAL max_allowed_packet = {rounded} there."
        )


def _check_folding(connection: sa.Connection, where: str, inventory: Inventory) -> None:
    folded = int(catalog.variable(connection, "lower_case_table_names") or 0)
    if not folded or inventory.notes["lower_case_table_names"]:
        return
    seen: dict[str, str] = {}
    for table in inventory.tables:
        other = seen.setdefault(table.name.lower(), table.name)
        if other != table.name:
            raise TargetUnfitError(
                f"{where} takes the tables {other} and {table.name} for one (lower_case_table_names = {folded}). "
                "Restore to a server with lower_case_table_names = 0."
            )


def _check_known(where: str, what: str, used: Iterable[str], known: set[str], cure: str) -> None:
    folded = {name.lower() for name in known}
    lacking = [name for name in used if name.lower() not in folded]
    if lacking:
        raise TargetUnfitError(f"{where} lacks {what} that the backup uses: {', '.join(lacking)}. {cure}")


def _check_needs(connection: sa.Connection, where: str, request: RestoreRequest) -> None:
    wanted = {table.name for table in request.expected_tables}
    for part in request.source.parts:
        if part.kind == "schema":
            with request.source.open(part) as stream:
                needs = needs_of(stream, wanted.__contains__)
            _check_keyless(connection, where, needs.keyless)
            _check_tablespaces(connection, where, needs.tablespaces)


def _check_keyless(connection: sa.Connection, where: str, keyless: Sequence[str]) -> None:
    for name in ("sql_require_primary_key", "sql_generate_invisible_primary_key"):
        if keyless and catalog.variable(connection, name) == "ON" and not catalog.accepted(connection, [f"{name}=OFF"]):
            raise TargetUnfitError(
                f"{where} has {name} = ON, which the account may not switch off, and tables of the backup have no "
                f"primary key: {', '.join(keyless[:5])}. Run SET GLOBAL {name} = OFF there while you restore, or GRANT "
                "SESSION_VARIABLES_ADMIN ON *.* to the account."
            )


def _check_tablespaces(connection: sa.Connection, where: str, used: Collection[str]) -> None:
    known = catalog.tablespaces(connection) if used else None
    lacking = sorted(
        name for name in used if not name.startswith("innodb_") and known is not None and name not in known
    )
    if lacking:
        raise TargetUnfitError(
            f"{where} lacks tablespaces that the backup uses: {', '.join(lacking)}. Run CREATE TABLESPACE "
            f"{catalog.quoted(lacking[0])} ADD DATAFILE {catalog.literal(lacking[0] + '.ibd')} there."
        )


def _check_history(connection: sa.Connection, where: str, versioned: Sequence[str]) -> None:
    if catalog.variable(connection, "secure_timestamp") == "YES":
        raise TargetUnfitError(
            f"{where} has secure_timestamp = YES, with which nobody may bring back the past rows of system-versioned "
            f"tables: {', '.join(versioned[:5])}. Start it without while you restore."
        )


def _crossing(where: str, request: RestoreRequest, flavour: str, version: str) -> list[str]:
    source, notes = request.source, request.source.inventory.notes
    if source.flavour == flavour:
        if series(source.server_version) > series(version):
            return [f"The backup comes from version {source.server_version}, newer than {version} of the target."]
        return []
    titles = FLAVOURS[source.flavour].title, FLAVOURS[flavour].title
    own = [*notes["sequences"], *notes["versioned"]]
    if own:
        raise TargetUnfitError(
            f"{where} is {titles[1]}, which has neither sequences nor system-versioned tables, and the backup holds "
            f"{', '.join(own[:5])}. Restore to {titles[0]}."
        )
    computed = notes.get("generated", ())
    if computed and source.flavour == "mariadb":
        raise TargetUnfitError(
            f"{where} is {titles[1]}, which takes no values for generated columns, and the backup holds them, as "
            f"mariadb-dump writes them: tables {', '.join(computed[:5])}. Restore to {titles[0]}."
        )
    return [f"The backup comes from {titles[0]}, the target is {titles[1]}: compare what matters to you afterwards."]


def _definers(connection: sa.Connection, where: str, inventory: Inventory) -> list[str]:
    accounts = catalog.accounts(connection)
    if accounts is None:
        return []
    lacking = [name for name in inventory.notes["definers"] if name not in accounts]
    if not lacking:
        return []
    return [
        f"{where} lacks accounts that views, routines, triggers or events run as: {', '.join(lacking)}. "
        "They fail when used until these accounts exist."
    ]
