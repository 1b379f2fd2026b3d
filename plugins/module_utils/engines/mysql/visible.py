# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an account sees all that is in a database.

The catalogue hides triggers and routines from who lacks a privilege on them, and the dump tools then leave them out
without a word (MySQL manual, "The INFORMATION_SCHEMA TRIGGERS Table" and "… ROUTINES Table"; MariaDB likewise).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

from ...config import Instance
from ...errors import PermissionDeniedError
from ..connect import run_quoted

with suppress(ImportError):  # module.py reports a missing library before anything here runs
    import sqlalchemy as sa

_GRANT = re.compile(r"GRANT (?P<privileges>.+?) ON (?P<level>\*|`(?:[^`]|``)*`)\.\* TO ")
_EVERYTHING = "ALL PRIVILEGES"
ROUTINES = ("EXECUTE", "ALTER ROUTINE", "CREATE ROUTINE")
"""Privileges on a database that show its routines."""


def _grants(connection: sa.Connection, flavour: str) -> list[str]:
    """What the session's account and its active roles were granted, a statement each."""
    using = ""
    if flavour == "mysql":  # MariaDB shows the grants of active roles by itself
        roles = connection.execute(sa.text("SELECT CURRENT_ROLE()")).scalar_one()
        using = "" if roles == "NONE" else f" FOR CURRENT_USER() USING {roles}"
    return [str(row[0]) for row in run_quoted(connection, f"SHOW GRANTS{using}")]


_WILDCARDS = {"%": ".*", "_": "."}


def covers(pattern: str, database: str) -> bool:
    """Whether a name in a grant, with the wildcards ``%`` and ``_`` and backslashes before such letters, is a
    database's (MySQL manual, "GRANT Statement")."""
    letters = re.findall(r"\\?.", pattern, re.DOTALL)
    expression = "".join(_WILDCARDS.get(letter, re.escape(letter[-1])) for letter in letters)
    return bool(re.fullmatch(expression, database, re.DOTALL))


def held_privileges(grants: Iterable[str], database: str) -> tuple[set[str], set[str]]:
    """The privileges on the whole server, and those on the server or a database, out of what SHOW GRANTS says."""
    everywhere: set[str] = set()
    here: set[str] = set()
    for grant in grants:
        found = _GRANT.match(grant)
        if found and (found["level"] == "*" or covers(found["level"][1:-1].replace("``", "`"), database)):
            privileges = {name.strip() for name in found["privileges"].split(",")}
            here |= privileges
            if found["level"] == "*":
                everywhere |= privileges
    return everywhere, here


def _shows_routines(connection: sa.Connection, flavour: str, everywhere: set[str], here: set[str]) -> bool:
    """Whether no routine is hidden. One that is shown without its body is no worry: the dump tools fail for it."""
    if here & {*ROUTINES, _EVERYTHING} or everywhere & {"SELECT", "SHOW_ROUTINE", "SHOW CREATE ROUTINE"}:
        return True
    if flavour == "mysql":
        return False
    try:
        run_quoted(connection, "SELECT 1 FROM mysql.proc LIMIT 0").close()
    except sa.exc.DBAPIError:
        return False
    return True


def refuse_hidden_objects(connection: sa.Connection, instance: Instance, flavour: str, database: str) -> None:
    """Raises PermissionDeniedError where triggers or routines of a database may be hidden from the account."""
    everywhere, here = held_privileges(_grants(connection, flavour), database)
    hidden = []
    if not here & {"TRIGGER", _EVERYTHING}:
        hidden.append("triggers, without the privilege TRIGGER")
    if not _shows_routines(connection, flavour, everywhere, here):
        hidden.append("routines, without SELECT on *.*")
    if hidden:
        raise PermissionDeniedError(
            f"The account of instance {instance.id} may not see all of database {database}: {' and '.join(hidden)}. "
            "They would be missing from the backup. Grant that, or make an account with the module backup_account."
        )
