# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what stands in a repository with what its sets say: what belongs to no set, and sets that lack something."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import BackupdbError
from . import layout
from .local import BackupSet, LocalRepository, set_names, translated_os_errors
from .lock import is_locked

_FOLDERS_ABOVE = 3
"""Host, instance, database."""

UNKNOWN = "unknown"
NO_MANIFEST = "no_manifest"
MISSING_PART = "missing_part"
STAGING = "staging"
RECORD = "record"
KINDS = (UNKNOWN, NO_MANIFEST, MISSING_PART, STAGING, RECORD)


@dataclass(frozen=True)
class Stray:
    """Something in a repository that is not as it should be: ``kind`` is one of KINDS, ``reason`` for people."""

    path: str
    kind: str
    reason: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


def strays(repository: LocalRepository, host: str | None = None, instance: str | None = None) -> list[Stray]:
    """Whatever belongs to no set, and sets without a manifest or without a part, sorted by path.

    Limited to the folders of a host and an instance where given, and what is in no such folder is told all the same.
    Names that start with a dot are ours, and no business of this, but for the staging folder, the records and the
    folders of sets. Changes nothing, and takes nothing for a stray that a run is still working on.
    """
    with translated_os_errors(repository.root):
        found = [*_staging(repository.root / layout.STAGING), *_below(repository, repository.root, (host, instance))]
    return sorted(found, key=lambda stray: stray.path)


def _staging(folder: Path) -> Iterator[Stray]:
    names = {path.stem for path in folder.iterdir()} if folder.is_dir() else set()
    for name in names:
        lock = folder / f"{name}.lock"
        if not is_locked(lock) and (lock.exists() or (folder / name).exists()):
            yield Stray(str(folder / name), STAGING, "Left by a run that was ended. The next backup removes it.")


def _unknown(entry: os.DirEntry[str], where: str) -> Stray:
    return Stray(entry.path, UNKNOWN, f"Belongs to no backup: nothing of this name is made in {where}.")


def _entries(folder: Path, hidden: bool = False) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing where it went meanwhile, or is another account's."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if hidden or not entry.name.startswith(".")]
    except (FileNotFoundError, PermissionError):
        return []


def _below(
    repository: LocalRepository, folder: Path, wanted: tuple[str | None, ...], depth: int = 0
) -> Iterator[Stray]:
    """What is wrong below a folder of hosts, instances or databases."""
    name = layout.encode_element(wanted[depth] or "") if depth < len(wanted) and wanted[depth] else None
    for entry in _entries(folder):
        if not entry.is_dir(follow_symlinks=False):
            yield _unknown(entry, "a folder of folders")
        elif name not in (None, entry.name) or entry.name == layout.OF_THE_FILE_SYSTEM:
            continue
        elif depth + 1 < _FOLDERS_ABOVE:
            yield from _below(repository, Path(entry.path), wanted, depth + 1)
        else:
            yield from _subject(repository, Path(entry.path))


def _subject(repository: LocalRepository, folder: Path) -> Iterator[Stray]:
    """What is wrong in the folder of one database."""
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False) and layout.DATE.fullmatch(entry.name):
            yield from _day(repository, Path(entry.path))
        else:
            yield _unknown(entry, "the folder of a database")
    yield from _records(folder)


def _day(repository: LocalRepository, folder: Path) -> Iterator[Stray]:
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _set(repository, Path(entry.path))
        else:
            yield _unknown(entry, "the folder of a day")


def _set(repository: LocalRepository, path: Path) -> Iterator[Stray]:
    if not (path / layout.MANIFEST).is_file():
        if path.is_dir():
            yield Stray(str(path), NO_MANIFEST, "A folder in the place of a backup, and without a manifest it is none.")
        return
    try:
        backup = repository.read_set(path)
    except BackupdbError:  # told by whoever reads the sets
        return
    missing = [part.name for part in backup.manifest.parts if not (path / layout.PARTS / part.name).is_file()]
    if missing and path.is_dir():
        yield Stray(str(path), MISSING_PART, f"The backup lacks {', '.join(missing)}, which its manifest lists.")
    for extra in extra_files(backup):
        yield Stray(str(extra), UNKNOWN, "Stands in the folder of a backup, and its manifest does not list it.")


def extra_files(backup: BackupSet) -> list[Path]:
    """Whatever is in the folder of a set besides its manifest, its checksums and its parts, links included.

    A key rotation has a new manifest there for a moment, or left it when it was killed, and the next one replaces it.
    """
    expected = {layout.MANIFEST, layout.CHECKSUMS, layout.PARTS, layout.new_name(layout.MANIFEST)}
    expected |= {f"{layout.PARTS}/{part.name}" for part in backup.manifest.parts}
    return [
        Path(entry.path)
        for folder in (backup.path, backup.path / layout.PARTS)
        for entry in _entries(folder, hidden=True)
        if str(Path(entry.path).relative_to(backup.path)) not in expected
        or entry.is_symlink()
        or entry.is_dir() != (entry.name == layout.PARTS and folder == backup.path)
    ]


def _records(folder: Path) -> Iterator[Stray]:
    records = folder / layout.RECORDS
    if not records.is_dir():
        return
    try:
        there = set_names(folder)
    except PermissionError:
        return
    for path in records.glob("*.json"):
        if path.stem not in there and not path.name.startswith("."):
            yield Stray(str(path), RECORD, "The hold and the verifications of a backup that is gone.")
