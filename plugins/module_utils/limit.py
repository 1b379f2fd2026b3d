# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit to the time that work may take, and what cuts off work that waits for others: programs, servers, a copy."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from .errors import InvalidConfigError, TimedOutError

AGAIN_SECONDS = 0.2
"""What starts after the time is over is cut off so much later at most."""

Cut = Callable[[], object]

_lock = threading.Lock()
_numbers = itertools.count()
_cuts: dict[int, Cut] = {}


def add_cut(cut: Cut) -> int:
    """Says how something can be cut off that waits for others; it may be called from any thread, and more than once.
    Returns what ``drop_cut`` wants to know."""
    with _lock:
        number = next(_numbers)
        _cuts[number] = cut
    return number


def drop_cut(number: int) -> None:
    with _lock:
        _cuts.pop(number, None)


@contextmanager
def cut_by(cut: Cut) -> Iterator[None]:
    """``cut`` cuts off what is done in the context."""
    number = add_cut(cut)
    try:
        yield
    finally:
        drop_cut(number)


def cut_off() -> None:
    """Cuts off whatever waits for others at this moment."""
    with _lock:
        cuts = list(_cuts.values())
    for cut in cuts:
        with suppress(Exception):  # it has ended meanwhile
            cut()


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
                while not done.is_set():
                    cut_off()
                    done.wait(AGAIN_SECONDS)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
