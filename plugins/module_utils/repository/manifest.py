# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a backup set, format 1: what it is, how to read it, what it must hash to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import ManifestInvalidError

FORMAT = 1
REGULAR = "regular"
SAFETY = "safety"
UNSEALED = "sha256:"
"""What the seal of a set without encryption starts with: it shows accidents, not intent."""

LATER_FIELDS = {"accounts": 0}
"""Fields that the first sets of format 1 lack, and what that means."""

_KEY_ID = re.compile(r"[0-9a-f]{16}")
_WRAPPED = re.compile(r"gAAAA[A-Za-z0-9_-]{135}")
"""A Fernet token of a data key, which has 44 characters."""
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_TIME_FORMAT)


def parse_time(text: str) -> datetime:
    """The moment that ``format_time`` wrote; ValueError for any other text."""
    moment = datetime.fromisoformat(text)  # ten times as fast as strptime, but less strict
    if format_time(moment) != text:
        raise ValueError(f"{text!r} is no time as manifests have it")
    return moment


@dataclass(frozen=True)
class PartRecord:
    """One part as the manifest lists it; ``sha256`` is of the stored bytes, in hex."""

    name: str
    kind: str
    raw_bytes: int
    stored_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """All fields of format 1; docs/format.md describes each. Sizes are bytes, times ISO 8601 in UTC."""

    id: str
    kind: str
    purpose: str
    method: str
    host: str
    instance: str
    engine: str
    flavour: str
    server_version: str
    tool: str
    tool_version: str
    database: str
    started: str
    finished: str
    duration_seconds: float
    snapshot: Mapping[str, Any]
    raw_bytes: int
    stored_bytes: int
    tables: int
    rows: int
    views: int
    routines: int
    triggers: int
    events: int
    schema_sha256: str
    compression: Mapping[str, Any]
    encryption: Mapping[str, Any] | None
    parts: tuple[PartRecord, ...]
    collection_version: str
    accounts: int = 0
    format: int = FORMAT
    seal: str = ""

    @property
    def is_safety_backup(self) -> bool:
        """Taken by a restore of what it was about to replace: never what "latest" or the age of backups mean."""
        return self.purpose == SAFETY

    @property
    def moment(self) -> datetime:
        return parse_time(self.started)

    @property
    def wrapped_keys(self) -> list[dict[str, Any]]:
        """The data key, wrapped, as far as the manifest says that well: the seal does not cover this list."""
        keys = (self.encryption or {}).get("keys")
        return [entry for entry in keys if isinstance(entry, dict)] if isinstance(keys, list) else []

    @property
    def key_ids(self) -> list[str]:
        """The ids of the keys that open the set."""
        return [str(entry.get("id")) for entry in self.wrapped_keys]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "parts": [asdict(part) for part in self.parts]}

    def summary(self) -> dict[str, Any]:
        """What modules return of a set: everything but the parts, the wrapped keys and the seal."""
        value = self.to_json()
        del value["seal"]
        value["parts"] = len(self.parts)
        value["encrypted"] = value.pop("encryption") is not None
        return value


def digest(value: Mapping[str, Any]) -> bytes:
    """SHA-256 of a manifest as the seal covers it: canonical JSON (sorted keys, no white space, ASCII) without the
    seal itself and without the wrapped keys, which a key rotation replaces."""
    covered = {name: item for name, item in value.items() if name != "seal"}
    if covered.get("encryption"):
        covered["encryption"] = {name: item for name, item in covered["encryption"].items() if name != "keys"}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).digest()


def manifest_text(value: Mapping[str, Any]) -> str:
    """The file of a manifest, to the byte."""
    return json.dumps(value, indent=2) + "\n"


_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "Mapping[str, Any]": dict,
    "Mapping[str, Any] | None": (dict, type(None)),
    "tuple[PartRecord, ...]": list,
}


_FIELDS = {
    record: [(entry.name, _TYPES[str(entry.type)], LATER_FIELDS.get(entry.name, ...)) for entry in fields(record)]
    for record in (Manifest, PartRecord)
}


def _check_types(record: type[Manifest | PartRecord], value: Any, where: Path) -> None:
    for name, types, default in _FIELDS[record]:
        found = value.get(name, default) if isinstance(value, dict) else ...
        if not isinstance(found, types) or isinstance(found, bool):
            raise ManifestInvalidError(f"{where} was altered: {name} is missing or of the wrong type.")


def _is_plain_name(name: str) -> bool:
    return bool(name) and name not in (".", "..") and "/" not in name and "\0" not in name


def parse_manifest(value: Any, where: Path) -> Manifest:
    """The manifest that a JSON value describes; ManifestInvalidError says what is missing or of the wrong type."""
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        raise ManifestInvalidError(f"{where} is not a manifest of a backup set.")
    if value["format"] != FORMAT:
        raise ManifestInvalidError(
            f"{where} has format {value['format']}; this version reads format {FORMAT}. Update the collection."
        )
    _check_types(Manifest, value, where)
    for part in value["parts"]:
        _check_types(PartRecord, part, where)
    try:
        parts = tuple(PartRecord(**part) for part in value["parts"])
        parse_time(value["started"])
    except (TypeError, ValueError):
        raise ManifestInvalidError(f"{where} was altered: its parts or times are not what they should be.") from None
    if not all(_is_plain_name(part.name) for part in parts):
        raise ManifestInvalidError(f"{where} was altered: the name of a part is no plain file name.")
    known = {entry.name for entry in fields(Manifest)}
    return Manifest(**{**{name: item for name, item in value.items() if name in known}, "parts": parts})


def manifest_in(content: bytes, where: Path) -> tuple[Manifest, bytes]:
    """The manifest that a file has as its content, and its digest, taken from the file's own fields, known or not."""
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError):
        raise ManifestInvalidError(f"{where} is not valid JSON: it is damaged or cut off.") from None
    return parse_manifest(value, where), digest(value)


def read_manifest(path: Path) -> tuple[Manifest, bytes]:
    """The manifest in a file and its digest."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ManifestInvalidError(f"{path} is missing.") from None
    except OSError as error:
        raise ManifestInvalidError(f"{path} cannot be read: {error.strerror}.") from None
    return manifest_in(content, path)


def only_rewrapped(old: tuple[Manifest, bytes], new: tuple[Manifest, bytes]) -> bool:
    """Whether a rotation of keys, and nothing else, may have made one manifest of another; each with its digest.

    A rotation wraps the data key anew, for a key that is new in the manifest. Whether what was wrapped opens only the
    key tells.
    """
    (before, old_digest), (after, new_digest) = old, new
    added = [entry for entry in after.wrapped_keys if entry.get("id") not in before.key_ids]
    wrapped_before = [entry.get("wrapped") for entry in before.wrapped_keys]
    return (
        (before.seal, old_digest) == (after.seal, new_digest)
        and _keys_are_well_formed(after)
        and bool(added)
        and not any(entry["wrapped"] in wrapped_before for entry in added)
    )


def _keys_are_well_formed(manifest: Manifest) -> bool:
    keys = (manifest.encryption or {}).get("keys")
    return keys == manifest.wrapped_keys and all(
        _KEY_ID.fullmatch(str(entry.get("id"))) and _WRAPPED.fullmatch(str(entry.get("wrapped")))
        for entry in manifest.wrapped_keys
    )
