#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists backup sets."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List the backups of a repository
version_added: "0.1.0"
description:
  - Lists the backup sets of a repository, newest first. Needs no key.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
  - vya.backupdb.backup_set
attributes:
  check_mode:
    support: full
    details: The module reads only.
  diff_mode:
    support: N/A
    details: The module changes nothing.
  idempotent:
    support: full
    details: The module changes nothing.
options:
  kind:
    description: Only backups of databases, or only backups of users.
    type: str
    choices: [database, users]
  limit:
    description: No more than this many backups, the newest.
    type: int
seealso:
  - module: vya.backupdb.backup
  - module: vya.backupdb.restore
"""

EXAMPLES = r"""
- name: The five newest backups of a database
  vya.backupdb.backup_info:
    instance: prod-mysql-01
    database: shop
    limit: 5
"""

RETURN = r"""
backups:
  description: The backups, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The identifier of the backup set, which is the name of its folder.
      type: str
      sample: shop_20261123_020000_full
    kind:
      description: V(database) or V(users).
      type: str
      sample: database
    purpose:
      description: V(regular), or V(safety) for a backup that a restore took of what it was about to replace.
      type: str
      sample: regular
    method:
      description: How the data left the server.
      type: str
      sample: logical
    host:
      description: The host under whose name the set is stored.
      type: str
      sample: db1
    instance:
      description: The C(id) of the instance.
      type: str
      sample: prod-mysql-01
    engine:
      description: The kind of server.
      type: str
      sample: mysql
    flavour:
      description: What the server was, V(mysql), V(mariadb), V(postgresql) or V(sqlite).
      type: str
      sample: mariadb
    server_version:
      description: The version of the server.
      type: str
      sample: 10.11.6-MariaDB
    tool:
      description: What the data was taken with.
      type: str
      sample: mariadb-dump
    tool_version:
      description: The version of the tool.
      type: str
      sample: "10.11.6"
    database:
      description: The name of the database.
      type: str
      sample: shop
    started:
      description: When the backup started, ISO 8601 in UTC.
      type: str
      sample: "2026-11-23T02:00:00.000000Z"
    finished:
      description: When the backup ended, ISO 8601 in UTC.
      type: str
      sample: "2026-11-23T02:00:08.210000Z"
    duration_seconds:
      description: How long the backup took.
      type: float
      sample: 8.21
    snapshot:
      description: The position of the snapshot in the server's log, where the server tells it.
      type: dict
      sample: {binlog_file: binlog.000042, binlog_position: 1234}
    raw_bytes:
      description: Size of the data as the tool gave it, in bytes.
      type: int
      sample: 104857600
    stored_bytes:
      description: Size of the stored parts, in bytes.
      type: int
      sample: 20971520
    tables:
      description: Number of tables.
      type: int
      sample: 42
    rows:
      description: Number of rows of all tables.
      type: int
      sample: 1234567
    views:
      description: Number of views.
      type: int
      sample: 3
    routines:
      description: Number of functions and procedures.
      type: int
      sample: 2
    triggers:
      description: Number of triggers.
      type: int
      sample: 5
    events:
      description: Number of events (MySQL) or event triggers (PostgreSQL).
      type: int
      sample: 0
    schema_sha256:
      description: A digest of the tables, columns and indexes, equal for equal schemas.
      type: str
      sample: 3c6e0b8a9c15224a8228b9a98ca1531d1cf2e3b7a9f0b8e0a9d0d6b3e5f3f9a1
    compression:
      description: Method and level of the compression.
      type: dict
      sample: {method: zstd, level: 1}
    encrypted:
      description: Whether the parts are sealed.
      type: bool
      sample: true
    parts:
      description: Number of parts.
      type: int
      sample: 4
    format:
      description: Format of the backup set.
      type: int
      sample: 1
    collection_version:
      description: The version of the collection that wrote the set.
      type: str
      sample: 0.1.0
    path:
      description: The folder of the set.
      type: str
      sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-11-23/shop_20261123_020000_full
    hold:
      description: The hold that keeps the backup from being removed. None where there is none in force.
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
    verified:
      description: The last verification. None where there was none.
      type: dict
      contains:
        level:
          description: What it was to prove, V(checksum), V(decrypt) or V(restore).
          type: str
          sample: decrypt
        finished:
          description: When it ended, ISO 8601 in UTC.
          type: str
          sample: "2026-11-25T04:00:03.210000Z"
        ok:
          description: Whether the backup was found whole.
          type: bool
          sample: true
        code:
          description: The stable code of what was found wrong.
          type: str
          sample: null
        error:
          description: What was found wrong, in one sentence.
          type: str
          sample: null
broken:
  description: Folders that look like backups and whose manifest cannot be read.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The folder.
      type: str
      sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-11-23/shop_20261123_020000_full
    error:
      description: What is wrong with it, in one sentence.
      type: str
      sample: manifest.json is missing.
    code:
      description: The stable code of the error.
      type: str
      sample: manifest_invalid
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.errors import InvalidConfigError
from ..module_utils.module import SELECTION_SPEC, BackupdbModule
from ..module_utils.operations.info import list_backups


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            **SELECTION_SPEC,
            "kind": {"type": "str", "choices": ["database", "users"]},
            "limit": {"type": "int"},
        }
    )

    def work() -> dict:
        limit = module.params["limit"]
        if limit is not None and limit < 1:
            raise InvalidConfigError(f"limit: {limit} is not a positive number.")
        return {"changed": False, **list_backups(module.repository(), module.selection(module.params["kind"]), limit)}

    module.run(work)


if __name__ == "__main__":
    main()
