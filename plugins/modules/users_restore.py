#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores accounts, roles and grants from a backup set."""

from __future__ import annotations

DOCUMENTATION = r"""
module: users_restore
short_description: Restore accounts, roles and grants from a backup
version_added: "0.1.0"
description:
  - Brings accounts and roles back from a backup set of the kind C(users), all or some, to the same or another instance.
  - Password hashes are restored, so passwords go on working.
  - The failure of one account does not stop the others. The task fails, and returns what it did.
  - Privileges on objects that do not exist on the target yet are returned as C(pending). Run the same task again when
    the objects are there.
  - What the target cannot hold, such as an authentication plugin it lacks, is returned as C(lost), for each account.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
  - vya.backupdb.host.target
  - vya.backupdb.backup_set.users
attributes:
  check_mode:
    support: full
    details: Reads both sides and lists the statements. Whether an object is missing is seen only when they run.
  diff_mode:
    support: full
    details: Shows each statement, with password hashes masked.
  idempotent:
    support: full
options:
  backup:
    description: The C(id) of a backup, or V(latest) for the newest of the ones that the other options leave.
    type: str
    default: latest
  users:
    description:
      - Only these accounts, as names, as C(name@host), as labels, or as shell patterns of these. Without it, all.
      - A pattern that matches nothing is a failure.
    type: list
    elements: str
  exclude:
    description: Accounts to leave out, likewise.
    type: list
    elements: str
  existing:
    description:
      - What to do with an account that exists on the target.
      - V(skip) leaves it as it is. If it is the same account, with the same authentication and attributes, it gets the
        roles and privileges that it lacks.
      - V(fail) touches nothing at all where an account exists and is not as it was backed up, and names all of these.
      - V(update) makes it what it was, and takes away what it has beyond that. The accounts as they were are backed up
        before.
    type: str
    choices: [skip, fail, update]
    default: skip
  needed_by:
    description:
      - Only the accounts that a backup of a database needs. These are the owners and definers of its objects, the
        accounts that hold privileges in it, the members of all these, and the roles of all of them.
      - The C(id) of that backup, or V(latest) for the newest of O(database). O(host), O(instance), O(before) and
        O(after) limit the choice, too.
    type: str
  database:
    description: The database that O(needed_by) is a backup of.
    type: str
  encrypt:
    description:
      - Whether only sealed backups are accepted.
      - V(false) accepts unsealed ones too, which anybody could have made who can write to the repository.
    type: bool
    default: true
seealso:
  - module: vya.backupdb.users_backup
  - module: vya.backupdb.users_info
"""

EXAMPLES = r"""
- name: Bring back the accounts that the instance lacks
  vya.backupdb.users_restore:
    instance: prod-mysql-01

- name: Make two accounts what they were last week
  vya.backupdb.users_restore:
    instance: prod-pg-01
    before: 2026-11-17
    users: [app, reporting]
    existing: update

- name: Copy the accounts of the old server to the new one
  vya.backupdb.users_restore:
    host: old-db1
    instance: mysql
    target:
      instance: prod-mysql-01
"""

RETURN = r"""
source:
  description: The backup that was chosen.
  returned: success
  type: str
  sample: backup users_20261124_020000
users:
  description: The accounts, in the order in which they were restored.
  returned: always
  type: list
  elements: dict
  contains:
    account:
      description: The account, as the server's own tools write it.
      type: str
      sample: "'app'@'10.%'"
    result:
      description:
        - V(created), V(updated), V(unchanged), V(failed), or V(left) for one that exists, is another one, and was left
          as it is.
        - In check mode, what would be.
      type: str
      sample: created
    statements:
      description: What had to be done, as SQL with password hashes masked.
      type: list
      elements: str
      sample: ["GRANT SELECT ON `shop`.* TO `app`@`10.%`"]
    pending:
      description: The statements whose objects do not exist on the target yet.
      type: list
      elements: str
      sample: []
    lost:
      description: What the target cannot hold, a sentence each.
      type: list
      elements: str
      sample: []
    error:
      description: Why the account could not be restored, in one sentence.
      type: str
      sample: null
    code:
      description: The stable code of that error.
      type: str
      sample: null
created:
  description: The accounts that were created.
  returned: always
  type: list
  elements: str
  sample: ["'app'@'10.%'"]
updated:
  description: The accounts that were changed.
  returned: always
  type: list
  elements: str
  sample: []
left:
  description: The accounts that exist, differ, and were left as they are.
  returned: always
  type: list
  elements: str
  sample: []
failures:
  description: The entries of RV(users) that failed.
  returned: always
  type: list
  elements: dict
  sample: []
safety_backup:
  description: The C(id) of the backup of the accounts as they were, where O(existing=update) changed any.
  returned: success
  type: str
  sample: null
"""

from ..module_utils import interpreter

interpreter.require_python()

from contextlib import closing

from ..module_utils.module import TARGET_SPEC, USERS_SELECTION_SPEC, BackupdbModule
from ..module_utils.operations.users_restore import UsersRestoreWanted, restore_users
from ..module_utils.users.registry import open_users


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            **USERS_SELECTION_SPEC,
            "backup": {"type": "str", "default": "latest"},
            "target": TARGET_SPEC,
            "users": {"type": "list", "elements": "str"},
            "exclude": {"type": "list", "elements": "str"},
            "existing": {"type": "str", "choices": ["skip", "fail", "update"], "default": "skip"},
            "needed_by": {"type": "str"},
            "database": {"type": "str"},
            "encrypt": {"type": "bool", "default": True},
        }
    )

    def work() -> dict:
        options = module.params
        target = options["target"] or {}
        wanted = UsersRestoreWanted(
            backup=options["backup"],
            selection=module.selection("users"),
            host=target.get("host") or module.host_name(),
            users=options["users"],
            exclude=options["exclude"] or [],
            existing=options["existing"],
            needed_by=options["needed_by"],
            database=options["database"],
            sealed_only=options["encrypt"],
        )
        named = target if target.get("instance") or target.get("connection") else {"instance": options["instance"]}
        instance = module.login(module.instance_of(named))
        with closing(open_users(instance)) as engine:
            return restore_users(
                engine, module.repository(), options["keyring"], wanted, module.check_mode, module.note
            )

    module.run(work, event="users_restore")


if __name__ == "__main__":
    main()
