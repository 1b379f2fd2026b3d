# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Fernet keys of a host: one active key that seals, any number of retired ones that still open.

Keys only ever get added, retired or, when nothing needs them any more, removed. What relies on the active key staying
the active one holds the file's shared lock (``keyring_in_use``), what changes the file holds the exclusive one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from ..errors import InvalidConfigError, KeyMissingError, NotFoundError, PermissionDeniedError, SealBrokenError
from .fernet import FernetKey
from .private_file import held, read_private_json, write_private_json

DEFAULT_KEYRING = "/etc/vya-backupdb/keyring.json"
FORMAT = 1
ACTIVE, RETIRED = "active", "retired"
_WHAT = "keyring"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Key:
    """One key of a keyring. Times are ISO 8601 in UTC; ``retired`` is when it stopped sealing."""

    id: str
    secret: FernetKey = field(repr=False)
    created: str
    state: str
    retired: str | None = None

    @classmethod
    def generate(cls) -> Key:
        secret = FernetKey.generate()
        return cls(secret.id, secret, _now(), ACTIVE)

    def retire(self) -> Key:
        return self if self.state == RETIRED else replace(self, state=RETIRED, retired=_now())

    def to_json(self) -> dict[str, str]:
        times = {"created": self.created} | ({"retired": self.retired} if self.retired else {})
        return {"id": self.id, "key": self.secret.encoded, **times, "state": self.state}

    def summary(self) -> dict[str, str | None]:
        """What people may see of it."""
        return {"id": self.id, "created": self.created, "retired": self.retired, "state": self.state}


@dataclass(frozen=True)
class Keyring:
    """The keys of a keyring file. ``rotating`` is true from the moment a rotation has made its new key until all that
    the old ones opened is wrapped anew."""

    path: str
    keys: tuple[Key, ...]
    rotating: bool = False

    @property
    def active(self) -> Key:
        for key in self.keys:
            if key.state == ACTIVE:
                return key
        raise KeyMissingError(f"The keyring {self.path} has no active key. Create one with the module keyring.")

    def find(self, key_id: str) -> Key | None:
        return next((key for key in self.keys if key.id == key_id), None)

    def wrap(self, data_key: FernetKey) -> list[dict[str, str]]:
        """The data key of a set, wrapped under the active key, as ``encryption.keys`` of a manifest holds it."""
        return [{"id": self.active.id, "wrapped": self.active.secret.wrap(data_key)}]

    def unwrap(self, entries: Iterable[Mapping[str, str]], backup: str) -> FernetKey:
        """The data key of a set. Raises KeyMissingError naming the keys that would open it and those there are."""
        wanted = {str(entry.get("id")): str(entry.get("wrapped")) for entry in entries}
        for key in self.keys:
            if key.id in wanted:
                try:
                    return key.secret.unwrap(wanted[key.id])
                except SealBrokenError:
                    raise SealBrokenError(
                        f"Backup {backup}: its data key does not open with key {key.id}; the manifest was altered."
                    ) from None
        raise KeyMissingError(
            f"Backup {backup} was sealed for key {', '.join(wanted) or '(none)'}, and the keyring {self.path} holds "
            f"{', '.join(key.id for key in self.keys) or 'no key'}. Use the keyring of the host that made it."
        )

    def with_new_key(self) -> Keyring:
        """The same keys, all retired, and a new active one."""
        return replace(self, keys=(Key.generate(), *(key.retire() for key in self.keys)))

    def with_imported(self, keys: Iterable[Key]) -> Keyring:
        """The same keys and those of another keyring that are not here yet: retired, unless none here is active."""
        has_active = any(key.state == ACTIVE for key in self.keys)
        new = [key.retire() if has_active else key for key in keys if not self.find(key.id)]
        return replace(self, keys=(*self.keys, *new))

    def without(self, key_id: str) -> Keyring:
        return replace(self, keys=tuple(key for key in self.keys if key.id != key_id))

    def to_json(self) -> dict[str, Any]:
        """What the file holds; full of secrets."""
        rotating = {"rotating": True} if self.rotating else {}
        return {"format": FORMAT, **rotating, "keys": [key.to_json() for key in self.keys]}

    def save(self) -> None:
        write_private_json(self.path, self.to_json(), _WHAT)


def parse_keyring(value: Any, path: str) -> Keyring:
    """The keyring that a JSON value describes; InvalidConfigError where it is something else."""
    try:
        keys = tuple(
            Key(
                FernetKey(item["key"]).id,
                FernetKey(item["key"]),
                str(item["created"]),
                item["state"],
                item.get("retired"),
            )
            for item in value["keys"]
        )
        valid = value["format"] == FORMAT and all(key.state in (ACTIVE, RETIRED) for key in keys)
    except (ValueError, KeyError, TypeError, AttributeError):
        valid = False
    if not valid or sum(key.state == ACTIVE for key in keys) > 1 or len({key.id for key in keys}) < len(keys):
        raise InvalidConfigError(f"The keyring {path} is damaged. Bring it back from its copy (escrow).") from None
    return Keyring(path, keys, bool(value.get("rotating")))


def load_keyring(path: str) -> Keyring:
    """Reads a keyring file. Raises KeyMissingError where there is none, PermissionDeniedError where others may read
    it, InvalidConfigError where it is damaged."""
    try:
        return parse_keyring(read_private_json(path, _WHAT), path)
    except NotFoundError:
        raise KeyMissingError(
            f"There is no keyring {path}. Create one with the module keyring, name another with the option keyring, "
            "or turn sealing off with encrypt: false."
        ) from None
    except InvalidConfigError:
        raise InvalidConfigError(f"The keyring {path} is damaged. Bring it back from its copy (escrow).") from None


def create_keyring(path: str) -> Keyring:
    """Makes a keyring file with one random active key. Never replaces a file that is there."""
    if os.path.lexists(path):
        raise PermissionDeniedError(f"The keyring {path} exists already and is not replaced.")
    keyring = Keyring(path, (Key.generate(),))
    keyring.save()
    return keyring


@contextmanager
def keyring_in_use(path: str) -> Iterator[Keyring]:
    """The keyring as it is now, and will be until the context ends."""
    with held(path, exclusive=False):
        yield load_keyring(path)
