#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps a copy of a host's keyring, encrypted with Ansible Vault. The action plugin of the same name does the rest."""

from __future__ import annotations

DOCUMENTATION = r"""
module: escrow
short_description: Keep a copy of the keyring of a host, encrypted with Ansible Vault
version_added: "0.1.0"
description:
  - Returns the keyring of the host, encrypted with the Vault secret of the play. Store it where the host can't be lost
    with it. Without that secret or without a copy, the backups of a host that is gone are lost.
  - A host that has no keyring gets the one out of O(content), so that a new host can read the backups of the old one.
  - Neither side ever loses a key. What only O(content) has is added to the keyring, as retired keys.
  - The keys are in no output, at any verbosity. They travel encrypted with a key that is made for this one task.
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
    details: Shows the ids of keys, never the keys.
  idempotent:
    support: full
    details: O(content) is returned as it is where it holds the same keys as the host.
options:
  content:
    description: The copy that there is so far, as this module returned it.
    type: str
  vault_id:
    description: The id of the Vault secret to encrypt with. Without it, the first one that Ansible was given.
    type: str
  transport_key:
    description: Set by the action plugin.
    type: str
  escrowed:
    description: Set by the action plugin.
    type: str
notes:
  - "Read the copy with M(ansible.builtin.slurp), and write it with C(decrypt: false): the lookup
    P(ansible.builtin.file#lookup) and the module M(ansible.builtin.copy) decrypt what is encrypted with Vault, which
    leaves the keys in plain text."
  - Ansible gets the Vault secret by C(--ask-vault-pass), C(--vault-password-file), C(--vault-id) or its configuration,
    AWX by a credential of the type Vault.
seealso:
  - module: vya.backupdb.keyring
"""

EXAMPLES = r"""
- name: Read the copy, if there is one
  ansible.builtin.slurp:
    path: "/srv/escrow/{{ inventory_hostname }}.keyring.vault"
  delegate_to: localhost
  register: copy
  failed_when: copy is failed and 'not found' not in copy.msg

- name: Encrypt the keyring, or bring it back to a host that lost it
  vya.backupdb.escrow:
    content: "{{ (copy.content | b64decode) if copy.content is defined else omit }}"
  register: escrow

- name: Store the copy
  ansible.builtin.copy:
    content: "{{ escrow.content }}"
    dest: "/srv/escrow/{{ inventory_hostname }}.keyring.vault"
    decrypt: false # else Ansible would store the keys themselves
    mode: "0600"
  delegate_to: localhost
"""

RETURN = r"""
content:
  description: The keyring, encrypted with Ansible Vault.
  returned: success
  type: str
  sample: "$ANSIBLE_VAULT;1.1;AES256\n3762..."
restored:
  description: Whether the host had no keyring, and got the one out of O(content).
  returned: success
  type: bool
  sample: false
keys:
  description: The keys that are on both sides now, as RV(vya.backupdb.keyring#module:keys) has them.
  returned: success
  type: list
  elements: dict
  sample: [{id: 5d41402abc4b2a76, created: "2026-11-23T02:00:00Z", retired: null, state: active}]
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.errors import InvalidConfigError
from ..module_utils.module import BackupdbModule
from ..module_utils.operations.escrow import exchange_keys
from ..module_utils.security.fernet import FernetKey


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            "content": {"type": "str"},
            "vault_id": {"type": "str"},
            "transport_key": {"type": "str", "no_log": True},
            "escrowed": {"type": "str"},
        }
    )

    def work() -> dict:
        options = module.params
        if not options["transport_key"]:
            raise InvalidConfigError("The module escrow works with its action plugin only: use it in a task.")
        transport = FernetKey(options["transport_key"])
        return exchange_keys(options["keyring"], transport, options["escrowed"], module.check_mode, module.note)

    module.run(work, event="escrow")


if __name__ == "__main__":
    main()
