# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What takes long to make is made once, and kept between runs."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def _folder() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vya-backupdb"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def kept(name: str, made_of: object, make: Callable[[Path], object]) -> Path:
    """A file or folder that ``make`` makes at the path it is given, kept for as long as it would be ``made_of`` the
    same. Who else wants it meanwhile waits."""
    target = _folder() / f"{name}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:12]}"
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=_folder()) as folder:
                made = Path(folder) / "made"
                make(made)
                made.rename(target)
    return target
