# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit to the time that work may take."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from .errors import InvalidConfigError, TimedOutError
from .stopping import cut_off


class TimeLimit:
    """The time that work may take, counted from when it is ``enforced``. Raises InvalidConfigError for none at all."""

    def __init__(self, span: timedelta) -> None:
        if span <= timedelta(0):
            raise InvalidConfigError("time_limit: it must be longer than nothing.")
        self._seconds = span.total_seconds()
        self._over = threading.Event()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def error(self, what: str) -> TimedOutError:
        return TimedOutError(
            f"The time limit of {self._seconds:g} s was over before {what}. "
            "Set a longer time_limit, or run at a quieter time."
        )

    def checked(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Passes chunks on as long as there is time."""
        for chunk in chunks:
            self.sleep(0)
            yield chunk

    def sleep(self, seconds: float) -> None:
        """Waits, but not longer than there is time."""
        if self._over.wait(seconds) if seconds > 0 else self.is_over:
            raise self.error("this was done")

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Work that is cut off when the time is over."""
        done = threading.Event()

        def watch() -> None:
            if not done.wait(self._seconds):
                self._over.set()
                cut_off(done)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
