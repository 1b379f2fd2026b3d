# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How MySQL and MariaDB write accounts, and which accounts are the server's own."""

from __future__ import annotations

from ...engines.mysql.catalog import literal
from ..model import Account
from .grants import PUBLIC

SYSTEM_ACCOUNTS = (
    ("mariadb.sys", "localhost"),
    ("mysql.infoschema", "localhost"),
    ("mysql.session", "localhost"),
    ("mysql.sys", "localhost"),
)
"""Accounts that the servers make for themselves and need (MySQL manual, "Reserved Accounts"; MariaDB manual,
"mysql.user Table"). They are left out of backups."""


def label(name: str, host: str | None) -> str:
    """``'app'@'10.%'``, or ``'readers'`` for a role of MariaDB, as statements take it."""
    if host is None:
        return PUBLIC if name == PUBLIC else literal(name)
    return f"{literal(name)}@{literal(host)}"


def identity(account: Account) -> tuple[str, str | None]:
    return account.name, account.host
