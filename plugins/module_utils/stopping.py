# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends the work of this process from outside: what waits for others is cut off, streams end with the reason."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator

from .errors import WorkInterruptedError
from .limit import AGAIN_SECONDS, cut_off

GRACE_SECONDS = 20.0
"""So long may the work take to notice, and to remove what is half done. Then the process ends, and the next run removes
it."""

_asked = threading.Event()
_reasons: list[str] = []


def reason() -> WorkInterruptedError | None:
    """Why the work has to end, if it has to."""
    return WorkInterruptedError(_reasons[0]) if _reasons else None


def check() -> None:
    """Raises WorkInterruptedError where the work has to end."""
    interrupted = reason()
    if interrupted:
        raise interrupted


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
    last = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < last:
        cut_off()
        time.sleep(AGAIN_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def stop_on(number: signal.Signals) -> None:
    """Makes this process one that can be asked for its end, by ``stop`` or by a signal.

    The handler of a signal interrupts code that may hold a lock, so a thread that waits from now on does the work.
    """
    threading.Thread(target=_end_when_asked, daemon=True).start()
    signal.signal(number, lambda _number, _frame: stop(f"The work was ended by {number.name}. Run it again."))
