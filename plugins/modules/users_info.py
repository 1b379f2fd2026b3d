#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows accounts, roles and grants, and how two servers or backups differ in them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: users_info
short_description: Show and compare the accounts, roles and grants of backups and instances
version_added: "0.1.0"
description:
  - Shows what a backup of the kind C(users) holds or, without O(backup), what an instance has now.
  - With O(compare), shows how another backup or instance differs from it.
  - Password hashes are compared, and never shown.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
  - vya.backupdb.host.sides
  - vya.backupdb.backup_set.users
attributes:
  check_mode:
    support: full
    details: The module reads only.
  diff_mode:
    support: full
    details: With O(compare), shows both sides.
  idempotent:
    support: full
    details: The module changes nothing.
options:
  backup:
    description:
      - The C(id) of a backup, or V(latest) for the newest of the ones that O(host), O(instance), O(before) and O(after)
        leave.
      - Without it, the live instance that O(instance) or O(connection) describes, or the only one of O(config_file).
    type: str
  users:
    description: Only these accounts, as names, as C(name@host), as labels, or as shell patterns of these.
    type: list
    elements: str
  exclude:
    description: Accounts to leave out, likewise.
    type: list
    elements: str
  encrypt:
    description:
      - Whether only sealed backups are accepted.
      - V(false) accepts unsealed ones too, which anybody could have made who can write to the repository.
    type: bool
    default: true
seealso:
  - module: vya.backupdb.users_backup
  - module: vya.backupdb.users_restore
"""

EXAMPLES = r"""
- name: What do the accounts of an instance hold now?
  vya.backupdb.users_info:
    instance: prod-mysql-01

- name: What has changed since the newest backup?
  vya.backupdb.users_info:
    backup: latest
    instance: prod-mysql-01
    compare:
      instance: prod-mysql-01
  register: users
  failed_when: users.difference.changed
"""

RETURN = r"""
source:
  description: Where the accounts were read.
  returned: success
  type: str
  sample: backup users_20261124_020000
users:
  description: The accounts and roles.
  returned: success
  type: list
  elements: dict
  contains:
    account:
      description: The account, as the server's own tools write it.
      type: str
      sample: "'app'@'10.%'"
    is_role:
      description: Whether it is a role.
      type: bool
      sample: false
    holds:
      description: What it has, a line each.
      type: list
      elements: str
      sample: ["ALL on shop.*", "SELECT on crm.customers (id, name)"]
warnings:
  description: What could not be read, a sentence each.
  returned: where there is any
  type: list
  elements: str
  sample: ["Passwords could not be read, for pg_authid is for superusers: accounts are restored without them."]
compared_with:
  description: The other side of O(compare).
  returned: with O(compare)
  type: str
  sample: instance prod-mysql-01
difference:
  description: How the other side differs. Null without O(compare).
  returned: success
  type: dict
  contains:
    missing:
      description: Accounts that the other side lacks.
      type: list
      elements: str
      sample: ["'old'@'%'"]
    extra:
      description: Accounts that only the other side has.
      type: list
      elements: str
      sample: []
    changed:
      description: For each account that both have, and that differs, the lines that only one side has.
      type: dict
      sample: {"'app'@'10.%'": {"missing": ["ALL on shop.*"], "extra": []}}
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.module import INSTANCE_SPEC, USERS_SELECTION_SPEC, BackupdbModule
from ..module_utils.operations.users_info import UsersSource, show_users


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            **INSTANCE_SPEC,
            **USERS_SELECTION_SPEC,
            "backup": {"type": "str"},
            "compare": {
                "type": "dict",
                "options": {**INSTANCE_SPEC, **USERS_SELECTION_SPEC, "backup": {"type": "str"}},
                "mutually_exclusive": [("backup", "connection")],
            },
            "users": {"type": "list", "elements": "str"},
            "exclude": {"type": "list", "elements": "str"},
            "encrypt": {"type": "bool", "default": True},
        },
        mutually_exclusive=[("backup", "connection")],
    )

    def source(options: dict) -> UsersSource:
        if options["backup"]:
            selection = module.selection_of(options, "users")
            return UsersSource(options["backup"], selection, sealed_only=module.params["encrypt"])
        return UsersSource(instance=module.login(module.instance_of(options)))

    def work() -> dict:
        options = module.params
        other = source(options["compare"]) if options["compare"] else None
        sides = source(options), other
        shown = show_users(*sides, module.repository(), options["keyring"], options["users"], options["exclude"] or [])
        return {"changed": False, **shown}

    module.run(work)


if __name__ == "__main__":
    main()
