#!/usr/bin/python
# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes, rotates, retires, imports and removes the Fernet keys of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: keyring
short_description: Create, rotate, retire, import and remove the Fernet keys of a host
version_added: "0.1.0"
description:
  - Creates a keyring with one random Fernet key, if there is none. Never replaces one.
  - Backups that are sealed with a key can be read with that key only. Keep a copy of the file in another, safe place;
    the module M(vya.backupdb.escrow) does.
  - One key is active, and seals. Retired ones still open what they sealed.
  - A rotation makes a new active key, wraps the data keys of all backups under it, and encrypts the credential store
    with it. Only manifests are rewritten; the data itself is neither read nor changed. At no moment is there a backup
    that no key opens. A rotation that was interrupted goes on when it is asked for again.
author: The vya.backupdb authors (@vya)
extends_documentation_fragment:
  - vya.backupdb.attributes
  - vya.backupdb.attributes.action_group
  - vya.backupdb.host
attributes:
  check_mode:
    support: full
    details: Counts the backups that would be wrapped under the new key. The id of a key that would be made is not
      known.
  diff_mode:
    support: full
    details: Shows the ids of keys, never the keys.
  idempotent:
    support: partial
    details:
      - With O(rotate), only where O(max_age) says how old a key may get.
options:
  state:
    description:
      - V(present) makes sure that there is a keyring.
      - V(retired) makes sure that O(key) seals nothing any more. If it is the active one, a new one takes its place.
      - V(absent) makes sure that O(key) is not in the keyring. It is refused for the active key, and for one that a
        backup or the credential store needs.
    type: str
    choices: [present, retired, absent]
    default: present
  key:
    description: The C(id) of the key to retire or to remove. Required with O(state=retired) and O(state=absent).
    type: str
  rotate:
    description: Make a new active key, and bring everything under it.
    type: bool
    default: false
  rewrap:
    description:
      - V(false) stops a rotation when it has made the new key, so that a copy of the keyring can be taken before any
        backup that exists depends on it. The next task with O(rotate) goes on.
    type: bool
    default: true
  max_age:
    description: With O(rotate), how old the active key has to be before a new one is made, such as V(90d).
    type: str
  source:
    description:
      - Another keyring file on the host whose keys are imported. Only its owner may be able to read it.
      - They are retired ones here, unless there is no keyring yet.
    type: path
seealso:
  - module: vya.backupdb.escrow
  - module: vya.backupdb.backup
"""

EXAMPLES = r"""
- name: Make sure that the host has a key for its backups
  vya.backupdb.keyring:

- name: Use a new key every quarter
  vya.backupdb.keyring:
    rotate: true
    max_age: 90d

- name: Read the backups of another host, too
  vya.backupdb.keyring:
    source: /root/keyring-of-db2.json

- name: Remove a key that nothing needs any more
  vya.backupdb.keyring:
    key: 5d41402abc4b2a76
    state: absent
"""

RETURN = r"""
keys:
  description: The keys of the keyring, without the keys themselves. In check mode, as they would be.
  returned: always
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
    retired:
      description: When it stopped sealing. Null for the active key.
      type: str
      sample: null
    state:
      description: V(active) for the key that seals, V(retired) for one that only opens.
      type: str
      sample: active
rewrapped:
  description: Number of backups whose data key was wrapped under the active key.
  returned: always
  type: int
  sample: 365
credentials_reencrypted:
  description: Whether the credential store was encrypted with the active key.
  returned: always
  type: bool
  sample: true
resumed:
  description: Whether a rotation that had been interrupted was finished, instead of beginning another.
  returned: always
  type: bool
  sample: false
failures:
  description: The backups that could not be brought under the active key. They are as they were.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The folder of the backup.
      type: str
      sample: /var/backups/vya-backupdb/db1/prod-mysql-01/shop/2026-11-23/shop_20261123_020000_full
    error:
      description: What went wrong, in one sentence.
      type: str
      sample: manifest.json is missing.
    code:
      description: The stable code of the error.
      type: str
      sample: manifest_invalid
"""

from ..module_utils import interpreter

interpreter.require_python()

from ..module_utils.module import BackupdbModule
from ..module_utils.operations.keys import KeysPlace, KeysWanted, change_keys
from ..module_utils.repository.catalog import parse_duration


def main() -> None:
    module = BackupdbModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "retired", "absent"], "default": "present"},
            "key": {"type": "str", "no_log": False},
            "rotate": {"type": "bool", "default": False},
            "rewrap": {"type": "bool", "default": True},
            "max_age": {"type": "str"},
            "source": {"type": "path"},
        },
        required_if=[("state", "retired", ["key"]), ("state", "absent", ["key"])],
    )

    def work() -> dict:
        options = module.params
        place = KeysPlace(options["keyring"], options["credentials_file"], module.host_name(), module.repository())
        wanted = KeysWanted(
            rotate=options["rotate"],
            rewrap=options["rewrap"],
            rotate_after=parse_duration(options["max_age"], "max_age") if options["max_age"] else None,
            source=options["source"],
            retire=options["key"] if options["state"] == "retired" else None,
            remove=options["key"] if options["state"] == "absent" else None,
        )
        return change_keys(place, wanted, module.check_mode, module.note)

    module.run(work, event="keyring")


if __name__ == "__main__":
    main()
