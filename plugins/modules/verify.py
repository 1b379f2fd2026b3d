#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that backup sets are whole."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: Prove that backups are whole and can be restored
version_added: "0.1.0"
description:
  - Reads backup sets and proves that they are what was backed up, several at a time. Notes the result beside each set.
  - The failure of one set does not stop the others. The module fails if any failed.
  - Also tells what is in the repository and belongs to no backup.
  - A repository without any backup is an error, since it may just not be mounted.
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
    details: Says in RV(planned) what would be verified, and reads no part.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details: Without O(max_age), backups are verified whenever it is asked for.
options:
  backup:
    description:
      - V(all) for all backups that the other options leave, V(latest) for the newest of each database, or the C(id) of
        one.
    type: str
    default: all
  level:
    description:
      - V(checksum) compares the stored bytes with the manifest and the checksums. Without the key of a backup, it
        cannot tell whether the manifest itself is genuine, and says so in RV(verified[].seal_checked).
      - V(decrypt) also opens and unpacks all of it, and looks at the structure of each part.
      - V(restore) also restores into a scratch database and compares the rows. The scratch database is dropped in any
        case. Backups of users are proven by V(decrypt) instead.
    type: str
    choices: [checksum, decrypt, restore]
    default: checksum
  kind:
    description: Only backups of databases, or only backups of users.
    type: str
    choices: [database, users]
  max_age:
    description:
      - Backups whose last successful verification at this O(level) or a higher one is younger than this are not due.
      - A number and one of V(s), V(m), V(h), V(d), V(w). Without it, all are due.
    type: str
  limit_bytes:
    description:
      - Verify no more than this many stored bytes in one run, beginning with what was verified longest ago.
      - At least one backup is verified, whatever its size. So a repository is covered by one run after the other.
    type: int
  limit_seconds:
    description: Begin with no further backup after this many seconds. The ones that have begun are ended.
    type: float
  jobs:
    description: How many parts are read at a time. Without it, the number of cores, but no more than four.
    type: int
  keep_going:
    description: Whether to begin with further backups after one that failed.
    type: bool
    default: true
  orphans:
    description: Whether to look for what belongs to no backup, and for backups that lack something.
    type: bool
    default: true
  owner:
    description: For V(restore) of PostgreSQL, the role that shall own everything in the scratch database.
    type: str
  target:
    description:
      - Where V(restore) restores to.
      - Without it, the instance of O(config_file) with the C(id) of the backup's instance. SQLite needs no
        instance, and is restored to a private folder in memory or, where it does not fit, on the disk.
seealso:
  - module: vya.backupdb.backup_info
  - module: vya.backupdb.hold
"""

EXAMPLES = r"""
- name: Read every backup of this host once a week, a part of them every night
  vya.backupdb.verify:
    host: "{{ inventory_hostname }}"
    max_age: 7d
    limit_seconds: 3600

- name: Restore the newest backup of every database to a test server
  vya.backupdb.verify:
    backup: latest
    level: restore
    target:
      instance: test-pg-01
"""

RETURN = r"""
verified:
  description: The backups that were found whole.
  returned: always
  type: list
  elements: dict
  contains:
    id: &id
      description: The identifier of the backup.
      type: str
      sample: shop_20261123_020000_full
    kind: &kind
      description: V(database) or V(users).
      type: str
      sample: database
    host: &host
      description: The host under whose name it is stored.
      type: str
      sample: db1
    instance: &instance
      description: The C(id) of the instance.
      type: str
      sample: prod-mysql-01
    database: &database
      description: The name of the database. Empty for users.
      type: str
      sample: shop
    path: &path
      description: The folder of the backup.
      type: str
      sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-11-23/shop_20261123_020000_full
    level: &level
      description: The level that was proven.
      type: str
      sample: decrypt
    finished:
      description: When the verification ended, ISO 8601 in UTC.
      type: str
      sample: "2026-11-25T04:00:03.210000Z"
    duration_seconds:
      description: How long it took.
      type: float
      sample: 3.21
    stored_bytes: &stored_bytes
      description: Size of the stored parts, in bytes.
      type: int
      sample: 20971520
    seal_checked:
      description:
        - Whether the manifest was proven to be the one that was written.
        - V(false) where no key of the keyring opens the backup, and where it is not sealed.
      type: bool
      sample: true
    rows:
      description: Number of restored rows, for the level V(restore).
      type: int
      sample: 1234567
    warnings:
      description: What the restore has to say.
      type: list
      elements: str
      sample: []
failures:
  description: The backups that were not found whole, or could not be verified.
  returned: always
  type: list
  elements: dict
  contains:
    id: *id
    kind: *kind
    host: *host
    instance: *instance
    database: *database
    path: *path
    error:
      description: What is wrong, in one sentence.
      type: str
      sample: Part 000-schema.sql.zst of backup shop_20261123_020000_full has 0 bytes instead of 5120.
    code:
      description: The stable code of the error.
      type: str
      sample: checksum_mismatch
not_due:
  description: The backups that were not verified.
  returned: always
  type: list
  elements: dict
  contains:
    id: *id
    kind: *kind
    host: *host
    instance: *instance
    database: *database
    path: *path
    reason:
      description: Why not.
      type: str
      sample: last verified 3 h ago, max_age is 7 days
planned:
  description: The backups that were found to be due. In check mode nothing more happens.
  returned: always
  type: list
  elements: dict
  contains:
    id: *id
    kind: *kind
    host: *host
    instance: *instance
    database: *database
    path: *path
    level: *level
    stored_bytes: *stored_bytes
    reason:
      description: Why it is due.
      type: str
      sample: not verified at level decrypt yet
strays:
  description: What is in the repository and belongs to no backup, and backups that lack something.
  returned: always
  type: list
  elements: dict
  contains:
    path: *path
    kind:
      description:
        - V(unknown) for a file or folder that belongs to no backup, V(no_manifest) for a folder that stands where
          a backup would, V(missing_part) for a backup that lacks a part, V(staging) for what a run left that was ended,
          V(record) for the record of a backup that is gone.
      type: str
      sample: staging
    reason:
      description: The same in words.
      type: str
      sample: Left by a run that was ended. The next backup removes it.
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.errors import InvalidConfigError
from ..module_utils.module import JOBS_SPEC, SELECTION_SPEC, TARGET_SPEC, BackupdbModule
from ..module_utils.operations.verify import VerifyOutcome, VerifyRun, VerifyWanted
from ..module_utils.operations.words import size_words
from ..module_utils.repository.catalog import parse_duration
from ..module_utils.repository.records import LEVELS


def result_of(outcome: VerifyOutcome, check_mode: bool) -> dict:
    done = outcome.planned if check_mode else outcome.verified
    size = size_words(sum(entry["stored_bytes"] for entry in done))
    what = "would be verified" if check_mode else "verified"
    counts = f"{len(done)} {what} ({size}), {len(outcome.not_due)} not due, {len(outcome.failures)} failed"
    strays = [f"{len(outcome.strays)} things that belong to no backup"] if outcome.strays else []
    failed = [f"{entry['id']}: {entry['error'].rstrip('.')}" for entry in outcome.failures]
    result = {
        "changed": bool(outcome.planned) if check_mode else bool(outcome.verified or outcome.failures),
        "msg": ". ".join([counts, *strays, *failed]) + ".",
        **vars(outcome),
    }
    return {**result, "failed": True, "code": outcome.failures[0]["code"]} if outcome.failures else result


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            **SELECTION_SPEC,
            **JOBS_SPEC,
            "backup": {"type": "str", "default": "all"},
            "level": {"type": "str", "choices": list(LEVELS), "default": "checksum"},
            "kind": {"type": "str", "choices": ["database", "users"]},
            "max_age": {"type": "str"},
            "limit_bytes": {"type": "int"},
            "limit_seconds": {"type": "float"},
            "keep_going": {"type": "bool", "default": True},
            "orphans": {"type": "bool", "default": True},
            "owner": {"type": "str"},
            "target": TARGET_SPEC,
        }
    )

    def work() -> dict:
        options = module.params
        for name in ("limit_bytes", "limit_seconds"):
            if options[name] is not None and options[name] <= 0:
                raise InvalidConfigError(f"{name}: {options[name]} is not a positive number.")
        wanted = VerifyWanted(
            selection=module.selection(options["kind"]),
            level=options["level"],
            backup=options["backup"],
            max_age=parse_duration(options["max_age"], "max_age") if options["max_age"] else None,
            limit_bytes=options["limit_bytes"],
            limit_seconds=options["limit_seconds"],
            jobs=module.jobs(),
            keep_going=options["keep_going"],
            orphans=options["orphans"],
            owner=options["owner"],
            target=module.login(module.instance_of(options["target"])) if options["target"] else None,
            instance_of=lambda instance_id: module.login(module.instance_of({"instance": instance_id})),
        )
        run = VerifyRun(module.repository(), options["keyring"], wanted, module.note)
        return result_of(run.run(module.check_mode), module.check_mode)

    module.run(work, event="verify")


if __name__ == "__main__":
    main()
