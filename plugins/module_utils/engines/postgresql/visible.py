# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a session sees all that is in a database.

For who is no superuser pg_dump leaves subscriptions out, and the options of user mappings that the view
pg_user_mappings hides (PostgreSQL manual, "pg_dump", Notes, and "pg_user_mappings"); where settings make the server
skip damaged pages, it leaves out their rows. It ends with 0 all the same.
"""

from __future__ import annotations

from contextlib import suppress

from ...config import Instance
from ...errors import InvalidConfigError, PermissionDeniedError
from . import catalog

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

_HIDDEN_MAPPINGS = """
    SELECT DISTINCT s.srvname FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid
    WHERE NOT CASE WHEN m.umuser = 0 THEN pg_has_role(s.srvowner, 'USAGE')
              ELSE m.usename = current_user
                   AND (pg_has_role(s.srvowner, 'USAGE') OR has_server_privilege(s.oid, 'USAGE')) END ORDER BY 1"""
"""The view's own condition, turned round: it does not tell a mapping that it hides from one without options."""


def refuse_hidden_objects(connection: sa.Connection, instance: Instance, database: str) -> None:
    """Raises PermissionDeniedError where a dump by this account would lack subscriptions, or options of mappings."""
    if connection.execute(sa.text("SHOW is_superuser")).scalar_one() == "on":
        return
    hidden = [
        f"{what} {', '.join(names)}"
        for what, names in (
            ("the subscriptions", catalog.names(connection, catalog.SUBSCRIPTIONS)),
            ("the options of user mappings for the foreign servers", catalog.names(connection, _HIDDEN_MAPPINGS)),
        )
        if names
    ]
    if hidden:
        raise PermissionDeniedError(
            f"The account of instance {instance.id} may not see all of database {database}: {' and '.join(hidden)}. "
            "They would be missing from the backup. Back this database up as a superuser."
        )


_SKIPPING = """
    SELECT name FROM pg_settings
    WHERE name IN ('zero_damaged_pages', 'ignore_checksum_failure') AND setting = 'on' ORDER BY 1"""


def refuse_skipped_pages(connection: sa.Connection, instance: Instance, database: str) -> None:
    """Raises InvalidConfigError where the rows of damaged pages would be missing from a dump, or would be wrong."""
    for setting in catalog.names(connection, _SKIPPING):
        raise InvalidConfigError(
            f"{setting} is on for the account of instance {instance.id} in database {database}: rows of damaged pages "
            f"would be missing from the backup, or wrong, in silence. Switch it off with RESET {setting} of ALTER "
            "SYSTEM, ALTER DATABASE or ALTER ROLE, then back up again."
        )
