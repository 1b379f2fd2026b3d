# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's side of the escrow: hands the keyring out, and takes it back on a host that lost it.

Keys travel as Fernet tokens under a key that the controller makes for this one task, so that what Ansible prints or
leaves behind of a task holds none.
"""

from __future__ import annotations

import json
from typing import Any

from ..audit import Note, note_nothing
from ..errors import KeyMissingError
from ..security.fernet import FernetKey
from ..security.keyring import Keyring, load_keyring, parse_keyring
from ..security.private_file import held


def seal_keyring(keyring: Keyring, transport: FernetKey) -> str:
    return transport.seal_text(json.dumps(keyring.to_json()))


def open_keyring(token: str, transport: FernetKey, path: str) -> Keyring:
    """The keyring in a token that ``seal_keyring`` made. Raises SealBrokenError, InvalidConfigError."""
    return parse_keyring(json.loads(transport.open_text(token)), path)


def exchange_keys(
    path: str, transport: FernetKey, escrowed: str | None, check: bool = False, note: Note = note_nothing
) -> dict[str, Any]:
    """Brings keyring and escrow together: neither loses a key. Returns what the host's part of escrow returns.

    ``escrowed`` is the sealed keyring out of the escrow. A host without a keyring gets it as it is; a host that has one
    gets the keys that it lacks, as retired ones. Raises KeyMissingError where there is no keyring on either side.
    """
    copy = open_keyring(escrowed, transport, path) if escrowed else None
    with held(path, exclusive=not check):
        try:
            here = load_keyring(path)
        except KeyMissingError:
            if copy is None:
                raise KeyMissingError(
                    f"There is no keyring {path} on the host, and none in escrow. Create one with the module keyring."
                ) from None
            here = Keyring(path, ())
        keyring = here.with_imported(copy.keys) if copy else here
        if keyring != here and not check:
            keyring.save()
        restored = not here.keys
        if keyring != here:
            action = "restored from escrow" if restored else "imported from escrow"
            note("keyring", "ok", action=action, keys=[f"{key.id} {key.state}" for key in keyring.keys])
    return {
        "changed": keyring != here,
        "restored": restored,
        "keys": [key.summary() for key in keyring.keys],
        "sealed": seal_keyring(keyring, transport),
    }
