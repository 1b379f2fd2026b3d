# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a MySQL or MariaDB server can take a backup: everything that is knowable before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...config import Instance
from ...errors import InvalidConfigError, NotFoundError, TargetExistsError, TargetUnfitError
from ..base import Inventory, RestoreRequest
from . import catalog
from .lacking import check_lacking, check_times
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
