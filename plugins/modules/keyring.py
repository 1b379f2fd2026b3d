#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the keyring of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: keyring
short_description: Create the Fernet keys of a host
version_added: "0.1.0"
description:
  - Creates a keyring with one random Fernet key, if there is none. Never replaces one.
  - Backups that are sealed with a key can be read with that key only. Keep a copy of the file in another, safe place.
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
options:
  state:
    description: V(present) makes sure that there is a keyring.
    type: str
    choices: [present]
    default: present
seealso:
  - module: vya.backupdb.backup
"""

EXAMPLES = r"""
- name: Make sure that the host has a key for its backups
  vya.backupdb.keyring:
"""

RETURN = r"""
keys:
  description: The keys of the keyring, without the keys themselves. Empty in check mode where one would be created.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The first 16 hexadecimal digits of the SHA-256 of the key.
      type: str
      sample: 5d41402abc4b2a76
    created:
      description: When the key was made, ISO 8601 in UTC.
      type: str
      sample: "2026-11-23T02:00:00Z"
    state:
      description: V(active) for the key that seals, V(retired) for one that only opens.
      type: str
      sample: active
"""

from ..module_utils import interpreter

interpreter.require_python()

import os

from ..module_utils.module import BackupdbModule
from ..module_utils.security.keyring import create_keyring, load_keyring


def main() -> None:
    module = BackupdbModule(argument_spec={"state": {"type": "str", "choices": ["present"], "default": "present"}})

    def work() -> dict:
        path = module.params["keyring"]
        missing = not os.path.lexists(path)
        keys = []
        if not (missing and module.check_mode):
            keyring = create_keyring(path) if missing else load_keyring(path)
            keys = [{"id": key.id, "created": key.created, "state": key.state} for key in keyring.keys]
        after = "".join(f"{key['id']} {key['state']}\n" for key in keys) or "(a new key)\n"
        return {"changed": missing, "keys": keys, "diff": {"before": "" if missing else after, "after": after}}

    module.run(work)


if __name__ == "__main__":
    main()
