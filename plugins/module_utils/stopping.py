# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends work from outside: what waits for others (programs, servers, a copy) is cut off, streams end with the reason."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from .errors import WorkInterruptedError

AGAIN_SECONDS = 0.2
"""What begins to wait when the work has to end already is cut off so much later at most."""
GRACE_SECONDS = 20.0
"""So long may the work take to notice, and to remove what is half done. Then the process ends, and the next run removes
it."""

Cut = Callable[[], object]

_lock = threading.Lock()
_numbers = itertools.count()
_cuts: dict[int, Cut] = {}
_asked = threading.Event()
_reasons: list[str] = []


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


def cut_off(done: threading.Event) -> None:
    """Cuts off whatever waits, again and again until ``done``."""
    while not done.is_set():
        with _lock:
            cuts = list(_cuts.values())
        for cut in cuts:
            with suppress(Exception):  # it has ended meanwhile
                cut()
        done.wait(AGAIN_SECONDS)


def reason() -> WorkInterruptedError | None:
    """Why all work of the process has to end, if it has to."""
    return WorkInterruptedError(_reasons[0]) if _reasons else None


def check() -> None:
    """Raises WorkInterruptedError where the work has to end."""
    if _reasons:
        raise WorkInterruptedError(_reasons[0])


def watched(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Passes chunks on as long as the work may go on."""
    for chunk in chunks:
        check()
        yield chunk


def stop(sentence: str) -> None:
    """Asks for the end of all work; the first sentence that says why is the one that is told."""
    _reasons.append(sentence)
    _asked.set()


def _end_when_asked() -> None:
    _asked.wait()
    over = threading.Event()
    threading.Thread(target=cut_off, args=(over,), daemon=True).start()
    over.wait(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def stop_on(number: signal.Signals) -> None:
    """Makes this process one that can be asked for its end, by ``stop`` or by a signal.

    The handler of a signal interrupts code that may hold a lock, so a thread that waits from now on does the work.
    """
    threading.Thread(target=_end_when_asked, daemon=True).start()
    signal.signal(number, lambda _number, _frame: stop(f"The work was ended by {number.name}. Run it again."))
