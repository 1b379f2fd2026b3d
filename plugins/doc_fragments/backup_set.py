# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a backup set is chosen, and what modules return of one."""

from __future__ import annotations


class ModuleDocFragment:
    # Which backup sets of users are meant.
    USERS = r"""
options:
  host:
    description: Only backups that were stored under the name of this host.
    type: str
  instance:
    description: Only backups of the instance with this C(id).
    type: str
  before:
    description: Only backups that started before this moment. ISO 8601, UTC where it names no zone.
    type: str
  after:
    description: Only backups that started after this moment. ISO 8601, UTC where it names no zone.
    type: str
"""

    # Which backup sets are meant.
    DOCUMENTATION: str = rf"""
{USERS.rstrip()}
  database:
    description: Only backups of this database.
    type: str
"""
