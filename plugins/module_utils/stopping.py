# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends the work of this process from outside: its children die at once, its streams end with the reason."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import weakref
from collections.abc import Iterable, Iterator

from .errors import WorkInterruptedError

GRACE_SECONDS = 20.0
"""So long may the work take to notice, and to remove what is half done. Then the process ends, and the next run removes
it."""

_lock = threading.Lock()
_children: weakref.WeakSet[subprocess.Popen[bytes]] = weakref.WeakSet()
_reasons: list[str] = []


def reason() -> WorkInterruptedError | None:
    """Why the work has to end, if it has to."""
    return WorkInterruptedError(_reasons[0]) if _reasons else None


def check() -> None:
    """Raises WorkInterruptedError where the work has to end."""
    stopped = reason()
    if stopped:
        raise stopped


def watched(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Passes chunks on as long as the work may go on."""
    for chunk in chunks:
        check()
        yield chunk


def enlist(child: subprocess.Popen[bytes]) -> None:
    """A child process that dies when the work has to end, at once where it has to already."""
    with _lock:
        _children.add(child)
    if _reasons:
        child.kill()


def stop(sentence: str) -> None:
    """Asks for the end of all work; the first sentence that says why is the one that is told."""
    with _lock:
        _reasons.append(sentence)
        first = len(_reasons) == 1
        children = list(_children)
    for child in children:
        child.kill()
    if first:
        last = threading.Timer(GRACE_SECONDS, os.kill, (os.getpid(), signal.SIGKILL))
        last.daemon = True
        last.start()


def stop_on(number: signal.Signals) -> None:
    """Makes a signal ask for the end. Its handler interrupts code that may hold a lock, so a thread does the work."""
    sentence = f"The work was ended by {number.name}. Run it again."
    signal.signal(number, lambda _number, _frame: threading.Thread(target=stop, args=(sentence,), daemon=True).start())
