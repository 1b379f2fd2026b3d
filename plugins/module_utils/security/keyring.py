# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Fernet keys of a host: one active key that seals, any number of retired ones that still open."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import InvalidConfigError, KeyMissingError, PermissionDeniedError, SealBrokenError
from .fernet import FernetKey

DEFAULT_KEYRING = "/etc/vya-backupdb/keyring.json"
FORMAT = 1


@dataclass(frozen=True)
class Key:
    """One key of a keyring; ``state`` is active or retired, ``created`` an ISO 8601 time in UTC."""

    id: str
    secret: FernetKey = field(repr=False)
    created: str
    state: str

    def to_json(self) -> dict[str, str]:
        return {"id": self.id, "key": self.secret.encoded, "created": self.created, "state": self.state}


@dataclass(frozen=True)
class Keyring:
    """The keys of a keyring file."""

    path: str
    keys: Sequence[Key]

    @property
    def active(self) -> Key:
        for key in self.keys:
            if key.state == "active":
                return key
        raise KeyMissingError(f"The keyring {self.path} has no active key. Create one with the module keyring.")

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


def load_keyring(path: str) -> Keyring:
    """Reads a keyring file. Raises KeyMissingError where there is none, PermissionDeniedError where others may read
    it, InvalidConfigError where it is damaged."""
    try:
        mode = stat.S_IMODE(Path(path).stat().st_mode)
        if mode & 0o077:
            raise PermissionDeniedError(
                f"The keyring {path} is open to others (mode {mode:04o}). Run: chmod 0600 {path}"
            )
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
        keys = [
            Key(FernetKey(item["key"]).id, FernetKey(item["key"]), str(item["created"]), str(item["state"]))
            for item in raw["keys"]
        ]
    except FileNotFoundError:
        raise KeyMissingError(
            f"There is no keyring {path}. Create one with the module keyring, name another with the option keyring, "
            "or turn sealing off with encrypt: false."
        ) from None
    except OSError as error:
        raise PermissionDeniedError(f"The keyring {path} cannot be read: {os.strerror(error.errno or 0)}.") from None
    except (ValueError, KeyError, TypeError):
        raise InvalidConfigError(f"The keyring {path} is damaged. Bring it back from its copy (escrow).") from None
    return Keyring(path, keys)


def write_private_file(path: Path, content: Any) -> None:
    """Writes JSON to a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(content, stream, indent=2)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def create_keyring(path: str) -> Keyring:
    """Makes a keyring file with one random active key. Never replaces a file that is there."""
    secret = FernetKey.generate()
    key = Key(secret.id, secret, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "active")
    try:
        if os.path.lexists(path):
            raise PermissionDeniedError(f"The keyring {path} exists already and is not replaced.")
        write_private_file(Path(path), {"format": FORMAT, "keys": [key.to_json()]})
    except OSError as error:
        raise PermissionDeniedError(f"The keyring {path} cannot be written: {os.strerror(error.errno or 0)}.") from None
    return Keyring(path, [key])
