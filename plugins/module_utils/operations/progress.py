# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a run is: a small file on the host that says it, and the line that people see."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .. import stopping
from ..errors import InvalidConfigError

WRITE_SECONDS = 0.5
LISTEN_SECONDS = 1.0
LEAST_PATIENCE_SECONDS = 10
FILE_MODE = 0o600


def check_patience(seconds: int) -> int:
    """Returns them; raises InvalidConfigError for so few that a busy controller would seem to be gone."""
    if seconds and seconds < LEAST_PATIENCE_SECONDS:
        raise InvalidConfigError(
            f"stop_after_disconnect: {seconds} is less than {LEAST_PATIENCE_SECONDS} seconds. 0 stands for never."
        )
    return seconds


class Progress:
    """Keeps the file. It must not exist before, so that nobody can lay a trap where it is; ``close`` removes it.

    The sizes are plain bytes: what was read, and what is expected by the newest set or else by the server's estimate.
    Whoever reads it touches it, too. With ``patience``, work that nobody has asked for in so many seconds has to end.
    """

    def __init__(self, path: str, patience: int = 0) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
        except OSError as error:
            raise InvalidConfigError(
                f"progress_file: {path} cannot be made: {os.strerror(error.errno or 0)}. Leave the option to Ansible."
            ) from None
        self._lock = threading.Lock()
        self._began = self._written = time.monotonic()
        self._expected: dict[str, int] = {}
        self._read: dict[str, int] = {}
        self._done: set[str] = set()
        self._touched, self._asked = os.fstat(self._file).st_mtime_ns, self._began
        self._closed = threading.Event()
        if patience:
            threading.Thread(target=self._listen, args=(patience,), daemon=True).start()

    def plan(self, expected: Mapping[str, int]) -> None:
        """The databases that are to be backed up besides those that were planned before."""
        with self._lock:
            self._expected.update(expected)
            self._write()

    def counted(self, database: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Passes a part of a database on and counts it."""
        for chunk in chunks:
            with self._lock:
                self._read[database] = self._read.get(database, 0) + len(chunk)
                if time.monotonic() - self._written >= WRITE_SECONDS:
                    self._write()
            yield chunk

    def finish(self, database: str) -> None:
        """The database has ended, well or not: what it really had is what was expected."""
        with self._lock:
            self._done.add(database)
            self._expected[database] = self._read.setdefault(database, 0)
            self._write()

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            os.close(self._file)
        os.unlink(self._path)  # noqa: PTH108 - a name, not a Path, on purpose: nothing is resolved

    def _listen(self, patience: int) -> None:
        while not self._closed.wait(LISTEN_SECONDS):
            with self._lock:
                if self._closed.is_set():
                    return
                self._hear()
                silent = time.monotonic() - self._asked
            if silent >= patience:
                stopping.stop(f"Ansible has not asked for the work for {patience} s, so it was ended. Run it again.")
                return

    def _hear(self) -> None:
        """Whether somebody else has touched the file is told by its time, which is compared with nothing but itself."""
        touched = os.fstat(self._file).st_mtime_ns
        if touched != self._touched:
            self._touched, self._asked = touched, time.monotonic()

    def _write(self) -> None:
        self._hear()
        self._written = time.monotonic()
        running = next((name for name in self._read if name not in self._done), "")
        value = {
            "database": running,
            "read": sum(self._read.values()),
            "expected": sum(max(size, self._read.get(name, 0)) for name, size in self._expected.items()),
            "seconds": round(self._written - self._began, 1),
        }
        content = json.dumps(value).encode()
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, content, 0)
        self._touched = os.fstat(self._file).st_mtime_ns


_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"), (1, "B"))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def progress_line(host: str, value: Mapping[str, Any]) -> str | None:
    """What people see of a progress file: ``db1 appdb 43 % 1.2/2.8 GB 85 MB/s ETA 0:19``; None before anything is read.

    The expected size is an estimate, so that 100 % are never claimed.
    """
    read, expected, seconds = int(value["read"]), int(value["expected"]), float(value["seconds"])
    if not read or not seconds:
        return None
    rate = read / seconds
    size, unit = next((size, unit) for size, unit in _UNITS if expected >= size)
    rate_size, rate_unit = next((size, unit) for size, unit in _UNITS if rate >= size or size == 1)
    words = [host, *([str(value["database"])] if value["database"] else []), f"{min(99, 100 * read // expected)} %"]
    words += [f"{read / size:.1f}/{expected / size:.1f} {unit}", f"{rate / rate_size:.0f} {rate_unit}/s"]
    return " ".join([*words, f"ETA {_clock((expected - read) / rate)}"])
