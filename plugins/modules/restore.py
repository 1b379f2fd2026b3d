#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores a database from a backup set."""

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Restore a database from a backup
version_added: "0.1.0"
description:
  - Brings a database back from a backup set, under the same or another name, into the same or another instance.
  - Checks every stored byte of the set before it touches the target.
  - Counts the rows of every restored table and compares them with what the backup recorded.
  - A restore that fails leaves the old database as it was. For MySQL and MariaDB, which have no way to do that,
    a safety backup is taken before, and the error names it.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
  - vya.backupdb.host.target
  - vya.backupdb.backup_set
attributes:
  check_mode:
    support: full
    details: Chooses the backup, checks its bytes and the target, and says what would be restored.
  diff_mode:
    support: full
    details: Shows the target before and after.
  idempotent:
    support: none
    details: A restore is done whenever it is asked for.
options:
  backup:
    description:
      - The C(id) of a backup, or V(latest) for the newest of the ones that the other options leave.
      - A backup that a wrong clock has put an hour or more into the future is the latest only where there is no other.
    type: str
    default: latest
  target_database:
    description: The name of the restored database. Without it, the name that it had.
    type: str
  existing:
    description:
      - V(fail) refuses to touch a database, or with O(tables) a table, that exists.
      - V(replace) replaces it.
    type: str
    choices: [fail, replace]
    default: fail
  tables:
    description:
      - Only these tables, as C(table) or, for PostgreSQL, C(schema.table).
      - What belongs to them, such as indexes and triggers, comes with them.
    type: list
    elements: str
  encrypt:
    description:
      - Whether only sealed backups are accepted.
      - V(false) accepts unsealed ones too, which anybody could have made who can write to the repository.
    type: bool
    default: true
  owner:
    description:
      - For PostgreSQL, the role that shall own everything that is restored.
      - Without it, owners and privileges are kept, and their roles have to exist.
    type: str
  jobs:
    description: How many parts are restored at a time. Without it, the number of cores, but no more than four.
    type: int
seealso:
  - module: vya.backupdb.backup
  - module: vya.backupdb.backup_info
"""

EXAMPLES = r"""
- name: Bring the database back as it was last night, beside the one that is in use
  vya.backupdb.restore:
    instance: prod-mysql-01
    database: shop
    target_database: shop_last_night

- name: Replace a database by a certain backup
  vya.backupdb.restore:
    backup: shop_20261123_020000_full
    instance: prod-mysql-01
    existing: replace

- name: Bring back one table that somebody dropped
  vya.backupdb.restore:
    instance: prod-pg-01
    database: crm
    tables: [public.customers]
"""

RETURN = r"""
backup:
  description: The backup that was chosen, as RV(vya.backupdb.backup_info#module:backups) has it.
  returned: success
  type: dict
  sample: {id: shop_20261123_020000_full, host: db1, instance: prod-mysql-01, database: shop}
restored:
  description: What was restored or, in check mode, would be.
  returned: always
  type: dict
  contains:
    database:
      description: The name of the restored database.
      type: str
      sample: shop_last_night
    instance:
      description: The C(id) of the instance that it was restored to.
      type: str
      sample: prod-mysql-01
    tables:
      description: Number of restored tables.
      type: int
      sample: 42
    rows:
      description: Number of their rows, counted after the restore.
      type: int
      sample: 1234567
    row_count_matches:
      description: Whether every table has the rows that the backup recorded.
      type: bool
      sample: true
    duration_seconds:
      description: How long the restore took, the check of the stored bytes not included.
      type: float
      sample: 12.5
    safety_backup:
      description: The C(id) of the backup of the replaced database that was taken before, for MySQL and MariaDB.
      type: str
      sample: null
    warnings:
      description: What people should know about this restore.
      type: list
      elements: str
      sample: []
"""

from ..module_utils import interpreter

interpreter.require_python()

from contextlib import closing

from ..module_utils.engines.registry import open_engine
from ..module_utils.module import JOBS_SPEC, SELECTION_SPEC, TARGET_SPEC, BackupdbModule
from ..module_utils.operations.restore import RestoreRun, RestoreWanted


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            **SELECTION_SPEC,
            "backup": {"type": "str", "default": "latest"},
            "target": TARGET_SPEC,
            "target_database": {"type": "str"},
            "existing": {"type": "str", "choices": ["fail", "replace"], "default": "fail"},
            "tables": {"type": "list", "elements": "str"},
            "encrypt": {"type": "bool", "default": True},
            "owner": {"type": "str"},
            **JOBS_SPEC,
        }
    )

    def work() -> dict:
        options = module.params
        target = options["target"] or {}
        wanted = RestoreWanted(
            backup=options["backup"],
            selection=module.selection("database"),
            host=target.get("host") or module.host_name(),
            target_database=options["target_database"],
            replace=options["existing"] == "replace",
            tables=options["tables"] or None,
            jobs=module.jobs(),
            owner=options["owner"],
            sealed_only=options["encrypt"],
        )
        named = target if target.get("instance") or target.get("connection") else {"instance": options["instance"]}
        with closing(open_engine(module.login(module.instance_of(named)))) as engine:
            run = RestoreRun(engine, module.repository(), options["keyring"], wanted, module.note)
            plan = run.plan()
            done = {**plan.summary, "warnings": plan.warnings} if module.check_mode else run.run(plan)
        return {
            "changed": True,
            "backup": {**plan.backup.manifest.summary(), "path": str(plan.backup.path)},
            "restored": done,
            "msg": f"{'Would restore' if module.check_mode else 'Restored'} {plan.backup.manifest.id} to "
            f"{done['database']} (tables: {done['tables']}, rows: {done['rows']}).",
            "diff": plan.diff,
        }

    module.run(work, event="restore")


if __name__ == "__main__":
    main()
