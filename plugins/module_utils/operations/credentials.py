# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes and checks the credential store of a host."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..audit import Note, note_nothing
from ..config import HostConfig
from ..errors import NotFoundError
from ..security.credentials import Credential, CredentialStore, hostname_key, load_store, new_store, unused_ids
from ..security.keyring import load_keyring
from ..security.private_file import held


@dataclass(frozen=True)
class CredentialsWanted:
    """What the store is to be: an entry more or less, the entries of another store, another kind of key.

    Without ``key_source`` an existing store keeps its kind. ``host_name`` is what hostname-based keys come from.
    """

    host_name: str
    put: Credential | None = None
    remove: str | None = None
    source: str | None = None
    key_source: str | None = None


def change_credentials(
    path: str,
    keyring_path: str,
    config: HostConfig,
    wanted: CredentialsWanted,
    check: bool = False,
    note: Note = note_nothing,
) -> dict[str, Any]:
    """Makes the store at ``path`` what is wanted; returns what the module returns. Raises as ``load_store``; nothing is
    changed then. With ``check`` nothing is written."""
    with held(path, exclusive=not check):
        store, exists = _open(path, keyring_path, config, wanted)
        before = copy.deepcopy(store)
        reencrypted = _use_key(store, keyring_path, wanted)
        written = [credential.id for credential in _incoming(keyring_path, wanted) if store.put(credential)]
        removed = [wanted.remove] if wanted.remove and store.remove(wanted.remove) else []
        changed = bool(written or removed or (reencrypted and exists))
        if changed and not check:
            store.save()
            note("credential", "ok", written=written, removed=removed, key_source=store.key_source, key=store.key_id)
    return {
        "changed": changed,
        "credentials": store.ids,
        "key_source": store.key_source,
        "unreadable": store.unreadable(),
        "unused": unused_ids(store, config.instances) if config.instances else [],
        "missing": [item.id for item in config.instances if item.credential and item.credential not in store.ids],
        "diff": {
            "before": _text(before) if exists else "",
            "after": _text(store, written) if changed or exists else "",
        },
    }


def _open(path: str, keyring_path: str, config: HostConfig, wanted: CredentialsWanted) -> tuple[CredentialStore, bool]:
    """The store and whether it is there, or an empty one."""
    try:
        return load_store(path, keyring_path, wanted.host_name), True
    except NotFoundError:
        from_file = (wanted.key_source or config.key_source) == "file"
        return new_store(path, load_keyring(keyring_path) if from_file else None, wanted.host_name), False


def _use_key(store: CredentialStore, keyring_path: str, wanted: CredentialsWanted) -> bool:
    """Encrypts the store with the other kind of key where that is wanted."""
    if wanted.key_source in (None, store.key_source):
        return False
    if wanted.key_source == "hostname":
        return store.reencrypt(hostname_key(wanted.host_name), None)
    active = load_keyring(keyring_path).active
    return store.reencrypt(active.secret, active.id)


def _incoming(keyring_path: str, wanted: CredentialsWanted) -> list[Credential]:
    if wanted.source:
        source = load_store(wanted.source, keyring_path, wanted.host_name)
        return [source.get(credential_id) for credential_id in source.ids]
    return [wanted.put] if wanted.put else []


def _text(store: CredentialStore, written: Collection[str] = ()) -> str:
    changed = [f"{credential_id}{' (new value)' if credential_id in written else ''}\n" for credential_id in store.ids]
    return f"key source: {store.key_source}\n" + "".join(changed)
