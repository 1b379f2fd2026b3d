#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes, removes, migrates and checks the user names and passwords of a host's credential store."""

from __future__ import annotations

DOCUMENTATION = r"""
module: credential
short_description: Keep user names and passwords of instances in the encrypted store of the host
version_added: "0.1.0"
description:
  - Adds, changes and removes entries of the credential store, where the other modules find the user name and the
    password of an instance that does not say them itself.
  - The values are Fernet tokens. They never leave the host, and no result holds them. Whether an entry is as it should
    be is seen by decrypting it, so nobody needs to know the old password.
  - Without O(id), checks the store, migrates it where O(key_source) asks for it, and imports the entries of O(source).
  - Stores of VYA BackupDB 2.0 are read and written as they are. Their key is derived from the name of the host, so
    whoever can read the file can decrypt it. With O(key_source=file) they are encrypted with a random key of the
    keyring instead.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows ids of entries and where the key comes from, nothing else.
  idempotent:
    support: full
options:
  id:
    description:
      - The id of the entry.
      - An instance uses the entry that its C(credential) names, or else the one with its own C(id).
    type: str
  username:
    description: The account to log in with. Required with O(id) and O(state=present).
    type: str
  password:
    description: Its password. Required with O(id) and O(state=present).
    type: str
  state:
    description: V(present) makes sure that the entry has these values, V(absent) that there is no such entry.
    type: str
    choices: [present, absent]
    default: present
  source:
    description:
      - Another store on the host, such as one of VYA BackupDB 2.0, whose entries are imported.
      - Entries that are in both take the values of this one. The file itself is left as it is.
    type: path
  key_source:
    description:
      - V(file) encrypts with the active key of O(keyring), V(hostname) with a key derived from the name of the host, as
        VYA BackupDB 2.0 did, which protects nothing. A store that has the other kind of key is encrypted anew.
      - Without it, a store keeps its kind. A new one takes C(key_source) of O(config_file), or else V(file).
    type: str
    choices: [file, hostname]
  host_name:
    description: The name that a hostname-based key is derived from. Without it, the host name of the system.
    type: str
seealso:
  - module: vya.backupdb.keyring
  - plugin: vya.backupdb.credential
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Keep the login of an instance
  vya.backupdb.credential:
    id: prod-mysql-01
    username: backup
    password: "{{ vault_backup_password }}"

- name: Remove the login of an instance that is gone
  vya.backupdb.credential:
    id: old-mysql-07
    state: absent

- name: Take over the store of VYA BackupDB 2.0, under a random key
  vya.backupdb.credential:
    source: /opt/vya-backupdb-2.0/.secrets/credentials.json
    key_source: file

- name: Check that every entry decrypts and belongs to an instance
  vya.backupdb.credential:
  register: store
  failed_when: store.unreadable or store.unused
"""

RETURN = r"""
credentials:
  description: The ids of the entries. In check mode, as they would be.
  returned: success
  type: list
  elements: str
  sample: [prod-mysql-01, prod-pg-01]
key_source:
  description: Where the key of the store comes from, V(file) or V(hostname). In check mode, as it would be.
  returned: success
  type: str
  sample: file
unreadable:
  description: The ids of entries that do not decrypt. They have to be written again.
  returned: success
  type: list
  elements: str
  sample: []
unused:
  description: The ids of entries that no instance of O(config_file) uses. Empty where there is no such file.
  returned: success
  type: list
  elements: str
  sample: []
missing:
  description: The ids of instances of O(config_file) that name an entry that is not there.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.errors import InvalidConfigError
from ..module_utils.module import BackupdbModule
from ..module_utils.operations.credentials import CredentialsWanted, change_credentials
from ..module_utils.security.credentials import Credential


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            "id": {"type": "str"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "source": {"type": "path"},
            "key_source": {"type": "str", "choices": ["file", "hostname"]},
            "host_name": {"type": "str"},
        },
        required_together=[("username", "password")],
        mutually_exclusive=[("id", "source")],
    )

    def work() -> dict:
        options = module.params
        present = options["state"] == "present"
        if options["id"] and present and options["username"] is None:
            raise InvalidConfigError(f"username and password of '{options['id']}' are required with state: present.")
        if not options["id"] and (options["username"] or not present):
            raise InvalidConfigError("id: say which entry.")
        put = present and options["id"]
        wanted = CredentialsWanted(
            put=Credential(options["id"], options["username"], options["password"]) if put else None,
            remove=None if present else options["id"],
            source=options["source"],
            key_source=options["key_source"],
            host_name=options["host_name"] or module.host_name(),
        )
        paths = options["credentials_file"], options["keyring"]
        return change_credentials(*paths, module.config(), wanted, module.check_mode, module.note)

    module.run(work, event="credential")


if __name__ == "__main__":
    main()
