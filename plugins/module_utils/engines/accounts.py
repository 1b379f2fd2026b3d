# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines whose servers have accounts that back up. SQLite has none."""

from __future__ import annotations

from .account import BackupAccount
from .mysql.account import MySQLAccount
from .postgresql.account import PostgreSQLAccount

BACKUP_ACCOUNTS: dict[str, type[BackupAccount]] = {"mysql": MySQLAccount, "postgresql": PostgreSQLAccount}
