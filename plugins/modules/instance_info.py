#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which instances answer, and what databases they hold."""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_info
short_description: Test the connection to database instances and list their databases
version_added: "0.1.0"
description:
  - Connects to one instance, or to every instance of the configuration file, and returns its version and databases.
  - An instance that does not answer is not a failure of the task.
    Its entry has RV(instances[].reachable=false) and says why.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
  - vya.backupdb.host.instance
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
seealso:
  - module: vya.backupdb.backup
"""

EXAMPLES = r"""
- name: Do all instances of this host answer
  vya.backupdb.instance_info:
  register: instances
  failed_when: instances.instances | rejectattr('reachable') | length > 0

- name: List the databases of one server
  vya.backupdb.instance_info:
    connection:
      id: shop
      engine: postgresql
      host: db1.example.com
      username: backup
      password: "{{ shop_password }}"
      tls:
        mode: verify-full
"""

RETURN = r"""
instances:
  description: One entry an instance.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The C(id) of the instance.
      type: str
      sample: prod-mysql-01
    engine:
      description: The kind of server.
      type: str
      sample: mysql
    address:
      description: Where the instance is.
      type: str
      sample: "db1.example.com:3306"
    reachable:
      description: Whether a login succeeded.
      type: bool
      sample: true
    latency_ms:
      description: Time that it took to connect and to ask for the version, in milliseconds.
      type: float
      sample: 4.2
    flavour:
      description: What the server is, V(mysql), V(mariadb), V(postgresql) or V(sqlite).
      type: str
      sample: mariadb
    server_version:
      description: The version, as the server says it.
      type: str
      sample: 10.11.6-MariaDB
    tool:
      description: The program that backups are taken with. Null where none that fits is installed.
      type: str
      sample: mariadb-dump
    tool_version:
      description: Its version.
      type: str
      sample: 10.11.14
    databases:
      description: The databases that are not the system's.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the database.
          type: str
          sample: shop
        size_bytes:
          description: Its size as the server estimates it, in bytes.
          type: int
          sample: 104857600
        tables:
          description: Number of its tables.
          type: int
          sample: 42
        excluded:
          description: Whether the patterns of the instance leave it out of backups.
          type: bool
          sample: false
    error:
      description: Why the instance does not answer, or what is missing to back it up, in one sentence.
      type: str
      sample: null
    code:
      description: The stable code of that error.
      type: str
      sample: null
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.module import INSTANCE_SPEC, BackupdbModule
from ..module_utils.operations.info import describe_instance


def main() -> None:
    module = BackupdbModule(argument_spec={**INSTANCE_SPEC}, mutually_exclusive=[("instance", "connection")])

    def work() -> dict:
        return {"changed": False, "instances": [describe_instance(item, module.login) for item in module.instances()]}

    module.run(work)


if __name__ == "__main__":
    main()
