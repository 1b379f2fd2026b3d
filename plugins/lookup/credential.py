# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a user name and a password from a credential store on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: credential
short_description: Read a user name and a password from a credential store on the controller
version_added: "0.1.0"
description:
  - Decrypts entries of a credential store that is a file on the controller, such as one of VYA BackupDB 2.0 or one that
    the module M(vya.backupdb.credential) wrote there.
  - Stores on the hosts are read by the modules themselves, without this plugin.
author: The vya.backupdb authors (@vya)
options:
  _terms:
    description: The ids of the entries.
    type: list
    elements: str
    required: true
  store:
    description: The file with the credential store. Only its owner may be able to read it.
    type: path
    default: /etc/vya-backupdb/credentials.json
    env:
      - name: VYA_BACKUPDB_CREDENTIALS_FILE
  keyring:
    description: The file with the key of the store, where that is not derived from the name of a host.
    type: path
    default: /etc/vya-backupdb/keyring.json
    env:
      - name: VYA_BACKUPDB_KEYRING
  host_name:
    description: The name that a hostname-based key is derived from. Without it, the name of the controller.
    type: str
  field:
    description: Give only this one of the two.
    type: str
    choices: [username, password]
requirements:
  - cryptography >= 42
seealso:
  - module: vya.backupdb.credential
"""

EXAMPLES = r"""
- name: Take over a login from a store that came from the host old-db1
  vya.backupdb.credential:
    id: prod-mysql-01
    username: "{{ login.username }}"
    password: "{{ login.password }}"
  vars:
    login: "{{ lookup('vya.backupdb.credential', 'prod-mysql-01', store='stores/old-db1.json', host_name='old-db1') }}"
"""

RETURN = r"""
_raw:
  description: For each id, a dictionary with C(username) and C(password), or what O(field) asks for. Keep it secret.
  type: list
  elements: raw
"""

import socket
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.vya.backupdb.plugins.module_utils.errors import BackupdbError
from ansible_collections.vya.backupdb.plugins.module_utils.security.credentials import load_store


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **options: Any) -> list[Any]:
        self.set_options(var_options=variables, direct=options)
        host_name = self.get_option("host_name") or socket.gethostname()
        field = self.get_option("field")
        try:
            store = load_store(self.get_option("store"), self.get_option("keyring"), host_name)
            found = [store.get(term) for term in terms]
        except BackupdbError as error:
            raise AnsibleError(f"{error.message} ({error.code})") from None
        if field:
            return [getattr(credential, field) for credential in found]
        return [{"username": credential.username, "password": credential.password} for credential in found]
