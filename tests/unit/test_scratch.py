# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room for temporary files: in memory where it fits, on disk where it does not, and never a name left behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils import scratch
from ansible_collections.vya.backupdb.plugins.module_utils.errors import InvalidConfigError, NoSpaceError


def test_room_in_memory_or_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name, content in (("MEMINFO", "MemAvailable: 4000 kB\n"), ("CGROUP", "0::/a/b\n")):
        (tmp_path / name).write_text(content)
        monkeypatch.setattr(scratch, name, tmp_path / name)
    monkeypatch.setattr(scratch, "CGROUPS", tmp_path / "groups")
    assert scratch.folder_for(1_000_000) == scratch.MEMORY_FOLDER
    assert scratch.folder_for(1_100_000) == tmp_path
    for group, limit in (("a/b", "max"), ("a", "1500000")):
        (tmp_path / "groups" / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / group / "memory.max").write_text(limit)
        (tmp_path / "groups" / group / "memory.current").write_text("500000")
    assert scratch.free_memory() == 1_000_000
    assert scratch.folder_for(250_000) == scratch.MEMORY_FOLDER
    assert scratch.folder_for(250_001) == tmp_path
    with pytest.raises(NoSpaceError, match="fits neither into memory nor into"):
        scratch.folder_for(1 << 60)
    (tmp_path / "MEMINFO").unlink()
    assert scratch.folder_for(1) == tmp_path
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    with pytest.raises(InvalidConfigError, match="nowhere, cannot be used: No such file or directory"):
        scratch.folder_for(1)


def test_names_that_a_killed_run_left_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "MEMORY_FOLDER", tmp_path)
    for name, age in (("vya-backupdb-old", 120), ("vya-backupdb-new", 0), ("other", 120)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with scratch.named_file(10) as path:
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {"vya-backupdb-new", "other"}


def test_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "MEMORY_FOLDER", tmp_path)
    with scratch.unlinked_file(10) as stream:
        stream.write(b"secret")
        assert list(tmp_path.iterdir()) == []
        stream.seek(0)
        assert stream.read() == b"secret"
