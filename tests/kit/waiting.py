# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is true in the end, and not at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .modules import ModuleRun


def wait_until(condition: Callable[[], Any], told: Callable[[], Any] = str, seconds: float = 60) -> None:
    """Fails with what is ``told`` where the condition is not true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def wait_for_run(condition: Callable[[], bool], run: ModuleRun) -> None:
    """Waits, in short steps, for what a module that still runs brings about."""
    deadline = time.monotonic() + 60
    while not condition():
        assert run.process.poll() is None, run.output()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def progress_files() -> list[Path]:
    """Of all backups on this machine that somebody watches, those of other tests too."""
    return list(Path("/tmp").glob("vya-backupdb-*.progress"))
