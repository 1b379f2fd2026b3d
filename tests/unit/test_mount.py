# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository whose file system is not mounted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils import mount
from ansible_collections.vya.backupdb.plugins.module_utils.errors import RepositoryEmptyError, RepositoryError
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import LocalRepository
from kit.sets import publish


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mount point of fstab, with a blank in its name, and nothing mounted there."""
    point = tmp_path / "a disk"
    point.mkdir()
    fstab = tmp_path / "fstab"
    name = str(point).replace(" ", "\\040")
    fstab.write_text(
        f"# what and where\n\ntmpfs / tmpfs defaults 0 0\nnone none swap sw 0 0\ntmpfs {name} tmpfs rw 0 0\n"
    )
    monkeypatch.setattr(mount, "FSTAB", fstab)
    return point


@pytest.fixture
def mounted(disk: Path) -> Iterator[Path]:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.fixture
def bound(disk: Path, tmp_path: Path) -> Iterator[Path]:
    """Mounted, and on the same device as the folder above."""
    (tmp_path / "data").mkdir()
    subprocess.run(["mount", "--bind", tmp_path / "data", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_nothing_is_written_below_a_disk_that_is_away(disk: Path) -> None:
    repository = LocalRepository(str(disk / "backups"))
    for use in (repository.prepare, repository.require, repository.require_populated):
        with pytest.raises(
            RepositoryError, match=r"is not there: .*fstab says that a file system is mounted on .*a disk"
        ):
            use()
    assert list(disk.iterdir()) == []


@pytest.mark.parametrize("place", ["mounted", "bound"])
def test_a_disk_that_is_there_is_used(place: str, request: pytest.FixtureRequest) -> None:
    repository = LocalRepository(str(request.getfixturevalue(place) / "backups"))
    repository.prepare()
    with pytest.raises(RepositoryEmptyError, match="holds no backup at all"):
        repository.require_populated()
    publish(repository)
    repository.require_populated()


def test_what_is_mounted_by_hand_is_nobodys_promise(disk: Path) -> None:
    mount.FSTAB.write_text(
        f"tmpfs {disk} tmpfs rw,noauto 0 0\ntmpfs /elsewhere tmpfs rw 0 0\n".replace(" disk", "\\040disk")
    )
    LocalRepository(str(disk / "backups")).prepare()


def test_a_system_that_does_not_say_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount, "FSTAB", tmp_path / "none")
    assert mount.missing_mount(tmp_path) is None


def test_the_folders_of_others_are_no_backups(tmp_path: Path) -> None:
    repository = LocalRepository(str(tmp_path))
    repository.prepare()
    (tmp_path / "lost+found" / "a" / "b" / "c" / "d").mkdir(parents=True)
    (tmp_path / "db1" / "main" / "shop" / "2026-11-23" / "half").mkdir(parents=True)
    with pytest.raises(RepositoryEmptyError):
        repository.require_populated()
