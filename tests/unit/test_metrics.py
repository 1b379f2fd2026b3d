# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics as Prometheus wants them, the growth of a repository, and what the documents say of both."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from ansible_collections.vya.backupdb.plugins.module_utils.operations.metrics import HELP, PREFIX
from ansible_collections.vya.backupdb.plugins.module_utils.operations.status import STATES
from ansible_collections.vya.backupdb.plugins.module_utils.operations.usage import Growth, growth, with_sample
from ansible_collections.vya.backupdb.plugins.plugin_utils.report import STATES as LOOKS
from hypothesis import given
from hypothesis import strategies as st

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MOMENT = int(NOW.timestamp())


def test_alert_rules_ask_for_metrics_that_there_are() -> None:
    rules = yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(rf"{PREFIX}(\w+)", rule["expr"])}
    assert len(rules) == 9
    assert not asked - set(HELP)


def test_every_metric_and_every_state_is_documented() -> None:
    told = re.findall(r"^\| `(\w+)` \|", (DOCS / "monitoring.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted([f"{PREFIX}{name}" for name in HELP] + list(STATES))
    assert list(LOOKS) == list(STATES)


samples = st.lists(st.tuples(st.integers(MOMENT - 10**7, MOMENT + 10**6), st.integers(0, 10**12)), max_size=400)


@given(samples, st.integers(0, 10**12))
def test_samples_stay_few_in_order_and_end_now(earlier: list[tuple[int, int]], stored: int) -> None:
    kept = with_sample(earlier, NOW, stored)
    assert kept[-1] == (MOMENT, stored)
    assert kept == sorted(kept, key=lambda sample: sample[0])
    assert len(kept) <= 60 * 4 + 2
    assert set(kept[:-1]) <= set(earlier)
    assert all(MOMENT - 60 * 86400 <= moment <= MOMENT for moment, _stored in kept)


def test_hourly_samples_span_the_window() -> None:
    """Samples that come faster than they are kept do not crowd out the old ones."""
    kept: list[tuple[int, int]] = []
    for hour in range(24 * 40):
        kept = with_sample(kept, NOW + timedelta(hours=hour), hour * 1000)
    known = growth(kept, [], NOW + timedelta(hours=24 * 40 - 1))
    assert known == Growth(24_000, "samples")
    assert known.days_until_full(240_000) == 10.0
    assert Growth(0, "samples").days_until_full(5) is None
