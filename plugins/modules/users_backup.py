#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backs up the accounts, roles and grants of instances."""

from __future__ import annotations

DOCUMENTATION = r"""
module: users_backup
short_description: Back up the accounts, roles and grants of instances
version_added: "0.1.0"
description:
  - Works on one instance or, with neither O(instance) nor O(connection), on all enabled ones of the configuration file.
  - Stores what the catalogues of the server say of its accounts and roles as a backup set of the kind C(users).
    Password hashes are in it, passwords are not.
  - Accounts that the server itself needs are left out; the collection's C(docs/users.md) lists them.
  - Where nothing has changed since the newest set, none is taken.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
  - vya.backupdb.host.instance
attributes:
  check_mode:
    support: full
    details: Connects, reads the accounts, and says whether a backup is due.
  diff_mode:
    support: full
    details: Shows each instance that is due, and why.
  idempotent:
    support: full
options:
  host:
    description: The name of this host in the repository. Without it, the host name of the system.
    type: str
  exclude:
    description: Accounts to leave out, as names, as C(name@host), as labels, or as shell patterns of these.
    type: list
    elements: str
  compression:
    description: The compression. Without it, what the configuration file says, or else V(zstd).
    type: str
    choices: [zstd, gzip, none]
  compression_level:
    description: V(1) to V(19) for V(zstd), V(1) to V(9) for V(gzip).
    type: int
  encrypt:
    description: Whether to seal the set with a key of O(keyring). Without sealing, password hashes stand in plain text.
    type: bool
    default: true
  create_keyring:
    description:
      - Make the keyring if there is none. Keep a copy of it in another, safe place.
      - In check mode, nothing is made.
    type: bool
    default: false
seealso:
  - module: vya.backupdb.users_info
  - module: vya.backupdb.users_restore
"""

EXAMPLES = r"""
- name: Back up the accounts of every instance of the host
  vya.backupdb.users_backup:

- name: Leave out the accounts of one application
  vya.backupdb.users_backup:
    instance: prod-mysql-01
    exclude: ["legacy_*", "debian-sys-maint"]
"""

RETURN = r"""
backups:
  description:
    - The sets that were made, as RV(vya.backupdb.backup_info#module:backups) has them, with C(reason) and C(warnings).
  returned: always
  type: list
  elements: dict
  sample: [{id: users_20261124_020000, host: db1, instance: prod-mysql-01, kind: users, accounts: 12}]
failures:
  description: The instances whose accounts could not be backed up.
  returned: always
  type: list
  elements: dict
  contains:
    instance:
      description: The C(id) of the instance.
      type: str
      sample: prod-mysql-01
    error:
      description: What went wrong, in one sentence.
      type: str
      sample: "Instance prod-mysql-01 cannot be reached at db1:3306."
    code:
      description: The stable code of the error.
      type: str
      sample: connection_failed
not_due:
  description: The instances of which no backup is due.
  returned: always
  type: list
  elements: dict
  contains:
    instance:
      description: The C(id) of the instance.
      type: str
      sample: prod-pg-01
    reason:
      description: Why it is not due.
      type: str
      sample: nothing has changed since users_20261124_020000
planned:
  description: The instances that were found to be due. In check mode nothing more happens.
  returned: always
  type: list
  elements: dict
  contains:
    instance:
      description: The C(id) of the instance.
      type: str
      sample: prod-mysql-01
    reason:
      description: Why it is due.
      type: str
      sample: no backup yet
    accounts:
      description: Number of its accounts and roles.
      type: int
      sample: 12
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.module import COMPRESSION_SPEC, INSTANCE_SPEC, SEAL_SPEC, BackupdbModule
from ..module_utils.operations.maker import SetMaker
from ..module_utils.operations.users_backup import UsersOutcome, UsersWanted, back_up_users
from ..module_utils.streams import check_compression
from ..module_utils.users.registry import has_users


def result_of(outcome: UsersOutcome, check_mode: bool, created: bool) -> dict:
    counts = f"{len(outcome.backups)} backed up, {len(outcome.not_due)} not due, {len(outcome.failures)} failed"
    failed = [f"{entry['instance']}: {entry['error'].rstrip('.')}" for entry in outcome.failures]
    result = {
        "changed": created or bool(outcome.planned if check_mode else outcome.backups),
        "msg": ". ".join([counts, *failed]) + ".",
        "backups": outcome.backups,
        "failures": outcome.failures,
        "not_due": outcome.not_due,
        "planned": outcome.planned,
        "diff": {
            "before": "",
            "after": "".join(
                f"{entry['instance']}: {entry['accounts']} accounts and roles ({entry['reason']})\n"
                for entry in outcome.planned
            ),
        },
    }
    return {**result, "failed": True, "code": outcome.failures[0]["code"]} if outcome.failures else result


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            **INSTANCE_SPEC,
            "host": {"type": "str"},
            "exclude": {"type": "list", "elements": "str"},
            **COMPRESSION_SPEC,
            **SEAL_SPEC,
        },
        mutually_exclusive=[("instance", "connection")],
    )

    def work() -> dict:
        options = module.params
        method, level = module.compression()
        keyring, created = module.sealing_keyring()
        maker = SetMaker(module.repository(), keyring, method, check_compression(method, level), note=module.note)
        wanted = UsersWanted(options["host"] or module.host_name(), options["exclude"] or [])
        check = module.check_mode
        named = options["instance"] or options["connection"]
        instances = [instance for instance in module.instances() if named or has_users(instance)]
        outcome = back_up_users(instances, maker, wanted, check, module.login, module.note)
        return result_of(outcome, check, created)

    module.run(work, event="users_backup")


if __name__ == "__main__":
    main()
