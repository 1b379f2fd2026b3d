# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules support, told once."""

from __future__ import annotations


class ModuleDocFragment:
    # The attributes that all modules share; each module says check_mode, diff_mode and idempotent for itself.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and say what would change without changing it.
  diff_mode:
    description: Returns what changes, or would change in check mode, when diff mode is on.
  idempotent:
    description: A second run with the same options changes nothing, as long as nothing else changed.
  platform:
    description: Target OS/families that can be operated against.
    support: full
    platforms: posix
"""

    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/vya.backupdb.backupdb) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - vya.backupdb.backupdb
"""
