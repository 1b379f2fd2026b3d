# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that lets others go first: the priority of this process for processors and disks, and a pace for its reading."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from .errors import InvalidConfigError, ToolFailedError

NICENESS = range(0, 20)
IO_CLASSES = {"best-effort": ["--class=best-effort", "--classdata=7"], "idle": ["--class=idle"]}
"""Classes and levels as ionice(1) has them; 7 is the lowest level."""
LOWEST_RATE = 64 << 10
"""Bytes a second. Below, a dump tool could wait so long for its reader that the server takes it for dead."""


def lower_priority(niceness: int | None, io_class: str | None) -> None:
    """Lowers the priority of this process and of all that it starts from now on.

    Raises InvalidConfigError, and ToolMissingError where ionice(1) is not there.
    """
    if niceness is not None and niceness not in NICENESS:
        raise InvalidConfigError(f"nice: {niceness} is not between {NICENESS.start} and {NICENESS.stop - 1}.")
    if io_class is not None:
        from . import commands

        try:
            commands.output(["ionice", *IO_CLASSES[io_class], f"--pid={os.getpid()}"])
        except ToolFailedError as error:
            raise InvalidConfigError(f"ionice: {io_class} cannot be set on this host: {error}") from None
    if niceness is not None:
        os.setpriority(os.PRIO_PROCESS, 0, max(niceness, os.getpriority(os.PRIO_PROCESS, 0)))


class Pace:
    """Lets so many bytes a second pass, over all streams that share it and from any number of threads."""

    def __init__(self, bytes_a_second: int) -> None:
        if bytes_a_second < LOWEST_RATE:
            raise InvalidConfigError(f"rate_limit: {bytes_a_second} is less than {LOWEST_RATE} bytes a second.")
        self._rate = bytes_a_second
        self._lock = threading.Lock()
        self._free_at = time.monotonic()

    def _take(self, count: int) -> float:
        """Reserves the time that some bytes take; returns how long to wait until it is over."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._rate
            return self._free_at - now

    def paced(self, chunks: Iterable[bytes], sleep: Callable[[float], None] = time.sleep) -> Iterator[bytes]:
        """Passes chunks on, each when its time is over."""
        for chunk in chunks:
            sleep(self._take(len(chunk)))
            yield chunk
