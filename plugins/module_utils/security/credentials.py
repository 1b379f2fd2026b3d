# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credential store of a host: user names and passwords as Fernet tokens, one entry an id.

The file is what VYA BackupDB 2.0 made: its stores can be read and written. There, the key is derived from the host's
name (``key_derivation: hostname-based``), which hides the values and protects nothing, since anybody can compute it.
Ours (``key_derivation: keyring``) are encrypted with a key of the host's keyring, whose id stands beside.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ..config import Instance
from ..errors import CredentialMissingError, InvalidConfigError, KeyMissingError, NotFoundError, SealBrokenError
from .fernet import FernetKey
from .keyring import Keyring, load_keyring
from .private_file import read_private_json, write_private_json

VERSION = "1.0"
HOSTNAME_BASED, KEYRING_BASED = "hostname-based", "keyring"
_WHAT = "credential store"


def hostname_key(host_name: str) -> FernetKey:
    """The key of VYA BackupDB 2.0: the SHA-256 of the host's name."""
    return FernetKey(base64.urlsafe_b64encode(hashlib.sha256(host_name.encode()).digest()).decode())


@dataclass(frozen=True)
class Credential:
    """A user name and its password."""

    id: str
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass
class CredentialStore:
    """The entries of a store file, encrypted; ``key_id`` is of the keyring's key, None for a hostname-based one."""

    path: str
    key: FernetKey
    key_id: str | None
    entries: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [entry["id"] for entry in self.entries]

    @property
    def key_source(self) -> str:
        """``file`` or ``hostname``, as the option of that name."""
        return "file" if self.key_id else "hostname"

    def get(self, credential_id: str) -> Credential:
        """Raises CredentialMissingError where there is no such entry, SealBrokenError where it does not decrypt."""
        for entry in self.entries:
            if entry["id"] == credential_id:
                return Credential(credential_id, self._open(entry, "username"), self._open(entry, "password"))
        raise CredentialMissingError(
            f"The credential store {self.path} has no entry '{credential_id}' "
            f"(it has: {', '.join(self.ids) or 'none'}). Add it with the module credential."
        )

    def _open(self, entry: dict[str, Any], name: str) -> str:
        try:
            return self.key.open_text(entry[name])
        except SealBrokenError:
            hint = "" if self.key_id else " Was this host renamed? Then say its old name with the option host_name."
            raise SealBrokenError(
                f"The {name} of credential '{entry['id']}' in {self.path} does not decrypt: it was altered, or "
                f"encrypted with another key. Write it again with the module credential.{hint}"
            ) from None

    def unreadable(self) -> list[str]:
        """The ids of the entries that do not decrypt."""
        wrong = []
        for credential_id in self.ids:
            try:
                self.get(credential_id)
            except SealBrokenError:
                wrong.append(credential_id)
        return wrong

    def put(self, credential: Credential) -> bool:
        """Adds or replaces an entry; False where it is as it should be. Other fields of an entry stay."""
        try:
            if self.get(credential.id) == credential:
                return False
        except (CredentialMissingError, SealBrokenError):
            pass
        values = {
            "username": self.key.seal_text(credential.username),
            "password": self.key.seal_text(credential.password),
        }
        for entry in self.entries:
            if entry["id"] == credential.id:
                entry.update(values)
                return True
        self.entries.append({"id": credential.id, **values})
        return True

    def remove(self, credential_id: str) -> bool:
        """False where there was no such entry."""
        kept = [entry for entry in self.entries if entry["id"] != credential_id]
        removed = len(kept) < len(self.entries)
        self.entries = kept
        return removed

    def reencrypt(self, key: FernetKey, key_id: str | None) -> bool:
        """Encrypts every entry with another key; False where it is the same one. SealBrokenError where one does not
        decrypt; nothing is changed then."""
        if key_id == self.key_id and key == self.key:
            return False
        credentials = [self.get(credential_id) for credential_id in self.ids]
        self.key, self.key_id = key, key_id
        for entry, credential in zip(self.entries, credentials, strict=True):
            entry["username"] = key.seal_text(credential.username)
            entry["password"] = key.seal_text(credential.password)
        return True

    def save(self) -> None:
        encryption = {"method": "fernet", "key_derivation": HOSTNAME_BASED, "version": VERSION}
        if self.key_id:
            encryption |= {"key_derivation": KEYRING_BASED, "key": self.key_id}
        content = {"version": VERSION, "encryption": encryption, "credentials": self.entries}
        write_private_json(self.path, content, _WHAT)


def new_store(path: str, keyring: Keyring | None, host_name: str) -> CredentialStore:
    """An empty store under the keyring's active key or, without a keyring, under the host's name."""
    if keyring is None:
        return CredentialStore(path, hostname_key(host_name), None)
    return CredentialStore(path, keyring.active.secret, keyring.active.id)


def load_store(path: str, keyring_path: str, host_name: str) -> CredentialStore:
    """Reads a store. Raises NotFoundError where there is none, PermissionDeniedError where others may read it,
    InvalidConfigError where it is damaged, KeyMissingError where the keyring lacks its key."""
    value = read_private_json(path, _WHAT)
    try:
        encryption = value["encryption"]
        method, derivation = encryption["method"], encryption["key_derivation"]
        entries = [dict(entry) for entry in value["credentials"]]
        valid = all(isinstance(entry.get(name), str) for entry in entries for name in ("id", "username", "password"))
    except (KeyError, TypeError, ValueError):
        valid = False
    if not valid or method != "fernet" or derivation not in (HOSTNAME_BASED, KEYRING_BASED):
        raise InvalidConfigError(f"{path} is no credential store, or a damaged one.") from None
    if derivation == HOSTNAME_BASED:
        return CredentialStore(path, hostname_key(host_name), None, entries)
    key = load_keyring(keyring_path).find(str(encryption.get("key")))
    if key is None:
        raise KeyMissingError(
            f"The credential store {path} is encrypted with key {encryption.get('key')}, which the keyring "
            f"{keyring_path} does not hold. Bring the keyring back from its copy (escrow), or write the entries anew."
        )
    return CredentialStore(path, key.secret, key.id, entries)


def with_credentials(instance: Instance, store_path: str, keyring_path: str, host_name: str) -> Instance:
    """The instance with user name and password from the store.

    Where the instance says them itself, those count. An entry that the instance names has to exist; without a name, the
    entry with the instance's own id is taken if there is one. Raises as ``load_store`` and ``CredentialStore.get``.
    """
    if not instance.wants_login:
        return instance
    # Not Path.exists: an account that may not look into the folder has no store there.
    if not instance.credential and not os.path.exists(store_path):  # noqa: PTH110
        return instance
    try:
        store = load_store(store_path, keyring_path, host_name)
    except NotFoundError:
        raise CredentialMissingError(
            f"Instance {instance.id} needs credential '{instance.credential}', and there is no credential store "
            f"{store_path}. Add it with the module credential."
        ) from None
    wanted = instance.credential or instance.id
    if not instance.credential and wanted not in store.ids:
        return instance
    credential = store.get(wanted)
    return replace(instance, username=credential.username, password=credential.password)


def unused_ids(store: CredentialStore, instances: Iterable[Instance]) -> list[str]:
    """The entries that no instance uses: a misspelt id, or what a removed instance left behind."""
    used = {instance.credential or instance.id for instance in instances}
    return [credential_id for credential_id in store.ids if credential_id not in used]
