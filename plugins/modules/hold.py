#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a backup set on hold, or lets it go."""

from __future__ import annotations

DOCUMENTATION = r"""
module: hold
short_description: Keep a backup from being removed
version_added: "0.1.0"
description:
  - Puts a backup set on hold, with a reason and, if wanted, an end. Retention leaves such a set alone.
  - Needs no key. The set itself is not touched; the hold is noted beside it.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
  - vya.backupdb.backup_set
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details: With V(latest), a newer backup is another one.
options:
  backup:
    description: The C(id) of a backup, or V(latest) for the newest of the ones that the other options leave.
    type: str
    required: true
  state:
    description: Whether the backup is on hold.
    type: str
    choices: [present, absent]
    default: present
  reason:
    description: Why the backup is to stay. Required for O(state=present).
    type: str
  until:
    description:
      - The end of the hold. ISO 8601, UTC where it names no zone. Without it, the hold has none.
    type: str
  kind:
    description: Only backups of databases, or only backups of users.
    type: str
    choices: [database, users]
seealso:
  - module: vya.backupdb.backup_info
  - module: vya.backupdb.verify
"""

EXAMPLES = r"""
- name: Keep the last backup before the migration
  vya.backupdb.hold:
    backup: shop_20261123_020000_full
    instance: prod-mysql-01
    reason: State before the migration to the new price list
    until: "2027-03-01"

- name: Let it go again
  vya.backupdb.hold:
    backup: shop_20261123_020000_full
    instance: prod-mysql-01
    state: absent
"""

RETURN = r"""
backup:
  description: The backup, as RV(vya.backupdb.backup_info#module:backups) has it.
  returned: success
  type: dict
  sample: {id: shop_20261123_020000_full, host: db1, instance: prod-mysql-01, database: shop}
hold:
  description: The hold that is in force now or, in check mode, would be. None where there is none.
  returned: success
  type: dict
  contains:
    reason:
      description: Why the backup is to stay.
      type: str
      sample: State before the migration to the new price list
    since:
      description: Since when it is on hold, ISO 8601 in UTC.
      type: str
      sample: "2026-11-25T10:00:00.000000Z"
    until:
      description: Until when, ISO 8601 in UTC. None for good.
      type: str
      sample: "2027-03-01T00:00:00.000000Z"
    requested_by:
      description: Who asked for it.
      type: str
      sample: ana@deploy1
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.module import SELECTION_SPEC, BackupdbModule
from ..module_utils.operations.hold import HoldWanted, change_hold
from ..module_utils.repository.catalog import parse_moment


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            **SELECTION_SPEC,
            "backup": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "reason": {"type": "str"},
            "until": {"type": "str"},
            "kind": {"type": "str", "choices": ["database", "users"]},
        },
        required_if=[("state", "present", ("reason",))],
    )

    def work() -> dict:
        options = module.params
        wanted = HoldWanted(
            backup=options["backup"],
            selection=module.selection(options["kind"]),
            present=options["state"] == "present",
            reason=options["reason"],
            until=parse_moment(options["until"], "until") if options["until"] else None,
            requested_by=options["requested_by"],
        )
        return change_hold(module.repository(), wanted, module.check_mode, module.note)

    module.run(work, event="hold")


if __name__ == "__main__":
    main()
