# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the file system is there on which a folder should be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FSTAB = Path("/etc/fstab")
MOUNTS = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_BY_HAND = "noauto"


def _rows(table: Path) -> Iterator[list[str]]:
    """The fields of a table of mounts; blanks in names are octal escapes (fstab(5), proc_pid_mountinfo(5))."""
    for line in table.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield [_ESCAPE.sub(lambda escape: chr(int(escape[1], 8)), field) for field in line.split()]


def missing_mount(folder: Path) -> Path | None:
    """The mount point at or above a folder on which nothing is mounted, contrary to fstab; None where all is well, or
    where the system does not say."""
    real = Path(os.path.realpath(folder))
    with suppress(OSError):
        wanted = [Path(row[1]) for row in _rows(FSTAB) if len(row) > 3 and _BY_HAND not in row[3].split(",")]
        above = [point for point in wanted if point.is_absolute() and real.is_relative_to(point)]
        mounted = {row[4] for row in _rows(MOUNTS)} if above else set()
        return next((point for point in above if str(point) not in mounted), None)
    return None
