# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room for what must be a file for a while: in memory where it fits, and never with a name once it holds data."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from .errors import InvalidConfigError, NoSpaceError

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - files there get a random name, mode 0600, and lose the name at once
DISK_FOLDER = "/var/tmp"  # noqa: S108 - as above
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")
MEMORY_SHARE = 4
"""At most this part (a quarter) of the memory that is free is taken by one file."""

PREFIX = "vya-backupdb-"
LEFTOVER_SECONDS = 60.0


def _memory_of_host() -> int:
    """MemAvailable of proc(5), in bytes; 0 where the kernel does not say."""
    for line in MEMINFO.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def _memory_of_cgroups() -> Iterator[int]:
    """What each limited control group around this process has left, in bytes (kernel: cgroup-v2, memory.max)."""
    with suppress(OSError):
        own = next((line[3:].strip() for line in CGROUP.read_text().splitlines() if line.startswith("0::")), "/")
        group = CGROUPS / own.lstrip("/")
        while group != CGROUPS:
            with suppress(OSError, ValueError):  # "max" is no number: no limit here
                yield int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
            group = group.parent


def free_memory() -> int:
    """Bytes of memory that this process could still take without harm to others."""
    try:
        return max(0, min([_memory_of_host(), *_memory_of_cgroups()]))
    except OSError:
        return 0


def free_disk(folder: Path) -> int:
    """Bytes that this process may still write below a folder."""
    return shutil.disk_usage(folder).free


def folders() -> tuple[Path, Path]:
    """The folders that temporary files may be in: in memory, and on the disk (TMPDIR or /var/tmp)."""
    return MEMORY_FOLDER, Path(os.environ.get("TMPDIR") or DISK_FOLDER)


def folder_for(needed_bytes: int) -> Path:
    """The folder for a temporary file of that size: /dev/shm where it fits well, else TMPDIR or /var/tmp.

    Raises NoSpaceError where neither has the room, InvalidConfigError where TMPDIR is of no use.
    """
    memory, folder = folders()
    with suppress(OSError):
        fits = needed_bytes <= min(free_memory() // MEMORY_SHARE, free_disk(memory))
        if fits and os.access(memory, os.W_OK | os.X_OK):
            return memory
    try:
        free = free_disk(folder)
    except OSError as error:
        raise InvalidConfigError(
            f"The folder for temporary files, {folder}, cannot be used: {os.strerror(error.errno or 0)}. "
            "Name another in the environment variable TMPDIR."
        ) from None
    if needed_bytes > free:
        raise NoSpaceError(
            f"A temporary file of {needed_bytes} bytes fits neither into memory nor into {folder} ({free} bytes free). "
            "Free room there, or name another folder in the environment variable TMPDIR."
        )
    return folder


def _remove_leftovers(folder: Path) -> None:
    """What a run left that was killed between making a file and taking its name away: such files are empty."""
    oldest = time.time() - LEFTOVER_SECONDS
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.geteuid() and status.st_mtime < oldest:
                path.unlink()


@contextmanager
def named_file(needed_bytes: int) -> Iterator[Path]:
    """An empty file of mode 0600 that has a name only inside the context: open it there, fill it afterwards."""
    folder = folder_for(needed_bytes)
    _remove_leftovers(folder)
    descriptor, name = tempfile.mkstemp(prefix=PREFIX, dir=folder)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink()


@contextmanager
def unlinked_file(needed_bytes: int) -> Iterator[BinaryIO]:
    """A file without a name, readable and writable, gone with the context or with the process, however it ends."""
    with tempfile.TemporaryFile(prefix=PREFIX, dir=folder_for(needed_bytes)) as stream:
        yield cast(BinaryIO, stream)
