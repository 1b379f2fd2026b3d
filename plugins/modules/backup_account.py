#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the account that backs a server up."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_account
short_description: Create the account that backs a server up, with the least privileges
version_added: "0.1.0"
description:
  - Makes sure that a MySQL, MariaDB or PostgreSQL server has an account that may back it up and, with O(restore),
    restore it. The privileges are those that this takes, and no more; the collection's C(docs/accounts.md) lists them.
  - Privileges are added only. What the account has beyond them is left to it, and told in a warning.
  - O(instance) or O(connection) has the login of an administrator. Without one, the server is asked as the system
    account that runs the module, which MariaDB and PostgreSQL let in through their local sockets.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
  - vya.backupdb.host.instance
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows each statement, with the password masked.
  idempotent:
    support: full
    details:
      - Whether the password is right is seen from what the server stores of it (PostgreSQL, MariaDB), or by logging in
        (MySQL). Where O(host) does not let an account of MySQL log in from where the task runs, use
        O(update_password=on_create).
options:
  username:
    description: The name of the account.
    type: str
    required: true
  password:
    description: Its password. Required with O(state=present).
    type: str
  host:
    description: From where the account may log in, for MySQL and MariaDB.
    type: str
    default: localhost
  restore:
    description:
      - Whether it may restore, too.
      - For PostgreSQL that means into databases of its own, with the option C(owner) of M(vya.backupdb.restore).
    type: bool
    default: false
  update_password:
    description:
      - V(always) gives an account that exists the password, V(on_create) leaves the one that it has.
      - An account of MariaDB with another plugin than C(mysql_native_password) gets that one with the password.
    type: str
    choices: [always, on_create]
    default: always
  state:
    description: V(absent) removes the account.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: vya.backupdb.credential
"""

EXAMPLES = r"""
- name: Let an account back MariaDB up, as root through the local socket
  vya.backupdb.backup_account:
    connection:
      id: prod-mariadb-01
      engine: mysql
      username: root
    username: backup
    password: "{{ vault_backup_password }}"

- name: The same for PostgreSQL
  vya.backupdb.backup_account:
    connection:
      id: prod-pg-01
      engine: postgresql
    username: backup
    password: "{{ vault_backup_password }}"
  become: true
  become_user: postgres
"""

RETURN = r"""
statements:
  description: The statements that were run or, in check mode, would be, with the password masked.
  returned: success
  type: list
  elements: str
  sample: ["CREATE USER 'backup'@'localhost' IDENTIFIED BY '********'"]
extra:
  description: What the account had beyond what it is for, in the server's words.
  returned: success
  type: list
  elements: str
  sample: ["SUPER"]
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.engines.account import AccountWanted
from ..module_utils.module import INSTANCE_SPEC, BackupdbModule
from ..module_utils.operations.account import ensure_account


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            **INSTANCE_SPEC,
            "username": {"type": "str", "required": True},
            "password": {"type": "str", "no_log": True},
            "host": {"type": "str", "default": "localhost"},
            "restore": {"type": "bool", "default": False},
            "update_password": {
                "type": "str",
                "choices": ["always", "on_create"],
                "default": "always",
                "no_log": False,
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        mutually_exclusive=[("instance", "connection")],
        required_if=[("state", "present", ["password"])],
    )

    def work() -> dict:
        options = module.params
        administrator = module.login(module.instance_of(options))
        wanted = AccountWanted(options["username"], options["password"] or "", options["host"], options["restore"])
        present, update = options["state"] == "present", options["update_password"]
        return ensure_account(administrator, wanted, present, update == "always", module.check_mode, module.note)

    module.run(work, event="backup_account")


if __name__ == "__main__":
    main()
