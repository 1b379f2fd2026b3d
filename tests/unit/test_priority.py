# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pace of reading, and priorities that cannot be."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.vya.backupdb.plugins.module_utils.errors import InvalidConfigError, ToolMissingError
from ansible_collections.vya.backupdb.plugins.module_utils.priority import Pace, lower_priority


def test_streams_share_a_pace() -> None:
    pace, began = Pace(1_000_000), time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        passed = list(pool.map(lambda _number: b"".join(pace.paced([b"x" * 25_000] * 5)), range(4)))
    assert [len(data) for data in passed] == [125_000] * 4
    assert time.monotonic() - began >= 0.5


def test_idle_time_is_not_saved_up() -> None:
    pace = Pace(1_000_000)
    time.sleep(0.3)
    began = time.monotonic()
    list(pace.paced([b"x" * 100_000] * 2))
    assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize("rate", [-1, 0, 65535])
def test_a_rate_too_low(rate: int) -> None:
    with pytest.raises(InvalidConfigError, match=r"rate_limit: .* is less than 65536 bytes a second"):
        Pace(rate)


@pytest.mark.parametrize("niceness", [-1, 20])
def test_a_niceness_that_is_none(niceness: int) -> None:
    with pytest.raises(InvalidConfigError, match=r"nice: .* is not between 0 and 19"):
        lower_priority(niceness, None)


def test_priority_is_never_raised() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    lower_priority(0, None)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_without_ionice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolMissingError, match="ionice is not installed"):
        lower_priority(None, "idle")
