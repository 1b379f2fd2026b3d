# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that succeed or fail together."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils import parallel
from ansible_collections.vya.backupdb.plugins.module_utils.errors import ToolFailedError
from ansible_collections.vya.backupdb.plugins.module_utils.parallel import in_parallel


def test_results_stand_in_the_order_of_the_tasks() -> None:
    def late(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    assert in_parallel([partial(late, seconds) for seconds in (0.05, 0, 0.02)], 3, list) == [0.05, 0, 0.02]
    assert in_parallel([], 1, list) == []


def test_first_failure_stops_the_others() -> None:
    stopped, started = threading.Event(), threading.Event()

    def waits() -> None:
        started.set()
        assert stopped.wait(60)
        raise ToolFailedError("ended because of the other")

    def fails() -> None:
        started.wait(60)
        raise ToolFailedError("the first")

    never: list[int] = []
    with pytest.raises(ToolFailedError, match="the first"):
        in_parallel([waits, fails, *[partial(never.append, 1)] * 50], 2, stopped.set)
    assert never == []


def test_an_interrupt_of_who_waits_stops_the_running_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()

    def interrupted(_futures: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_parallel([partial(stopped.wait, 60)], 1, stopped.set)
    assert stopped.is_set()
