# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes sure that a server has, or has not, the account that backs it up."""

from __future__ import annotations

from typing import Any

from ..audit import Note, note_nothing
from ..config import Instance
from ..engines.account import AccountWanted
from ..engines.accounts import BACKUP_ACCOUNTS
from ..engines.connect import create_engine, translated_errors
from ..errors import InvalidConfigError


def ensure_account(
    administrator: Instance,
    wanted: AccountWanted,
    present: bool = True,
    update_password: bool = True,
    check: bool = False,
    note: Note = note_nothing,
) -> dict[str, Any]:
    """Does what is lacking, as ``administrator``; returns what the module backup_account returns.

    With ``check`` nothing is done. Raises InvalidConfigError where the engine has no accounts, PermissionDeniedError
    where the administrator lacks a privilege, and what connecting raises.
    """
    if administrator.engine not in BACKUP_ACCOUNTS:
        raise InvalidConfigError(
            f"Instance {administrator.id} is of engine {administrator.engine}: it has no accounts."
        )
    account = BACKUP_ACCOUNTS[administrator.engine](administrator, wanted)
    engine = create_engine(administrator, "postgres" if administrator.engine == "postgresql" else None)
    try:
        with translated_errors(administrator), engine.connect() as connection:
            account.prepare(connection)
            extra = account.beyond(connection) if present and account.exists(connection) else []
            changes = account.plan(connection, present, update_password)
            if changes and not check:
                account.execute(connection, changes)
    finally:
        engine.dispose()
    statements = [change.shown for change in changes]
    if changes and not check:
        note("backup_account", "ok", instance=administrator.id, username=wanted.username, statements=statements)
    after = "".join(f"{statement};\n" for statement in statements)
    result: dict[str, Any] = {"changed": bool(changes), "statements": statements, "extra": extra}
    if extra:
        result["warnings"] = [
            f"The account {wanted.username} of instance {administrator.id} may do more than it is for: "
            f"{'; '.join(extra)}."
        ]
    return {**result, "diff": {"before": "", "after": after}}
