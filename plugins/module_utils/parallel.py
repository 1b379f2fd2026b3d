# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several tasks at a time that succeed or fail together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Lock
from typing import TypeVar

Result = TypeVar("Result")


class _LateError(Exception):
    """The task was not begun, for another had failed."""


def in_parallel(tasks: Sequence[Callable[[], Result]], workers: int, stop: Callable[[], object]) -> list[Result]:
    """Runs tasks, up to ``workers`` at a time, the first ones first; returns their results in the order of the tasks.

    On the first failure no further one starts, ``stop`` is called to end the running ones, and that failure is raised.
    """
    lock, failures = Lock(), list[BaseException]()

    def fail(error: BaseException) -> None:
        with lock:
            failures.append(error)
            is_first = len(failures) == 1
        if is_first:
            stop()

    def guarded(task: Callable[[], Result]) -> Result:
        if failures:
            raise _LateError
        try:
            return task()
        except BaseException as error:
            fail(error)
            raise

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(guarded, task) for task in tasks]
        try:
            wait(futures)
        except BaseException as error:  # this thread was interrupted
            fail(error)
            raise
    if failures:
        raise failures[0]
    return [future.result() for future in futures]
