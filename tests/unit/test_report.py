# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a fleet: well-formed, complete, and safe whatever databases are called."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vya.backupdb.plugins.filter.fleet_report import FilterModule as FleetReport
from ansible_collections.vya.backupdb.plugins.filter.fleet_status import FilterModule as FleetStatus
from ansible_collections.vya.backupdb.plugins.module_utils.config import Instance
from ansible_collections.vya.backupdb.plugins.module_utils.operations.objectives import Objectives
from ansible_collections.vya.backupdb.plugins.module_utils.operations.status import StatusWanted, read_status
from ansible_collections.vya.backupdb.plugins.module_utils.repository.local import LocalRepository
from ansible_collections.vya.backupdb.plugins.plugin_utils.html import escaped, tag
from ansible_collections.vya.backupdb.plugins.plugin_utils.report import COLUMNS, page
from kit.sets import publish

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
EVIL = '<script>alert("x")</script>&\'\x07'
VOID = {"meta", "input", "line", "polyline", "circle"}


class Reader(HTMLParser):
    """Refuses what is not well-formed; keeps rows of cells, texts of elements, and every attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.count: dict[str, int] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, key, value) for key, value in attrs]
        self.count[tag] = self.count.get(tag, 0) + 1
        self.open += [] if tag in VOID else [tag]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        elif self.rows and self.rows[-1]:
            self.rows[-1][-1] += " "

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def status(folder: Path, host: str = "db1") -> dict[str, Any]:
    """A host with one database of many backups, one whose name is an attack, and an instance that does not answer."""
    repository = LocalRepository(str(folder))
    repository.prepare()
    for day in range(5):
        publish(repository, NOW - timedelta(days=day, hours=2), database="shop", stored_bytes=1000 - day)
    publish(repository, NOW - timedelta(hours=30), database=EVIL, instance="silent")
    silent = Instance(id="silent", engine="sqlite", path="/nowhere")
    wanted = StatusWanted("db1", Objectives(timedelta(hours=24)), timedelta(hours=20))
    return {**read_status([silent], repository, wanted, NOW), "host": host}


@pytest.fixture
def report(tmp_path: Path) -> str:
    return page([status(tmp_path), {"host": "db2", "error": f"No route to {EVIL}"}], f"Backups {EVIL}", NOW)


def test_every_database_and_every_silent_host_and_instance_has_a_row(report: str) -> None:
    header, *rows = [[" ".join(cell.split()) for cell in row] for row in Reader(report).rows]
    assert header == list(COLUMNS)
    shown = EVIL.replace("\x07", "\ufffd")
    assert [row[:3] for row in rows[:4]] == [
        ["! late newest is 30 h old, the objective is 24 h its instance does not answer", "db1", f"{shown} silent"],
        [rows[1][0], "db1", "silent"],
        [f"? unreachable No route to {shown}", "db2", ""],
        ["- gone its instance is no longer described", "db1", "shop main"],
    ]
    assert rows[1][0].startswith("? unreachable The folder /nowhere of instance silent does not exist")
    assert rows[0][3] == "30 h of 24 h 2026-11-24 06:00 UTC"
    assert rows[3][4:] == ["never", "", "1.0 kB Size of 5 backups, from 996 B to 1.0 kB", rows[3][7], "5"]
    assert rows[4] == ["Host", "Instances", "Repository", "Free", "Stored", "Growth", "Full in"]
    assert [row[0] for row in rows[5:]] == ["db1"]


def test_nothing_of_a_name_becomes_markup_and_nothing_is_fetched(report: str) -> None:
    reader = Reader(report)
    assert reader.count["script"] == 1
    assert "<script>alert" not in report
    assert not re.search(r"https?:|//[a-z]|url\(|@import", report.replace("</", ""))
    assert {name for _tag, name, _value in reader.attributes} & {"src", "href", "srcset", "onclick", "onload"} == set()
    assert ("meta", "http-equiv", "Content-Security-Policy") in reader.attributes


def test_the_table_can_be_used_without_eyes_or_a_mouse(report: str) -> None:
    reader = Reader(report)
    assert [value for name, key, value in reader.attributes if (name, key) == ("th", "scope")] == ["col"] * (
        len(COLUMNS) + 7
    )
    assert sum(key == "aria-sort" for _name, key, _value in reader.attributes) == len(COLUMNS)
    assert reader.count["label"] == 3
    charts = [value for name, key, value in reader.attributes if (name, key) == ("svg", "aria-label")]
    assert charts == [
        "Size of 5 backups, from 996 B to 1.0 kB",
        "Duration of 5 backups, from 2.0 s to 2.0 s",
    ]


def test_tiles_count(report: str) -> None:
    tiles = re.findall(r'<span class="name">([^<]*)</span><strong>([^<]*)</strong>', report)
    found = dict(tiles)
    assert {name: found[name] for name in ("As they should be", "Failed", "Missing", "Late", "Unreachable")} == {
        "As they should be": "0 of 1", "Failed": "0", "Missing": "0", "Late": "1", "Unreachable": "2",
    }  # fmt: skip


def test_hosts_that_never_answered_are_in_the_data(tmp_path: Path) -> None:
    variables = {
        "db1": {"__monitoring_run": {**status(tmp_path), "problems": []}},
        "db2": {"__monitoring_run": {"msg": "Wrong configuration.", "failed": True}},
        "db3": {"__notify_probe": {"msg": "No route to host", "unreachable": True}},
        "db4": {},
    }
    fleet = FleetStatus().filters()["fleet_status"](variables, variables)
    assert [entry.get("error") for entry in fleet] == [
        None, "Wrong configuration.", "No route to host", "The host did not answer.",
    ]  # fmt: skip
    assert len(Reader(FleetReport().filters()["fleet_report"](fleet)).rows) == 1 + 6 + 2


def test_a_fleet_without_databases_has_a_page() -> None:
    assert len(Reader(page([], "Nothing", NOW)).rows) == 1


def test_escaping() -> None:
    assert escaped('<a href="x">&') == "&lt;a href=&quot;x&quot;&gt;&amp;"
    assert tag("p", "<b>", tag("b", 1), None, class_='"', data_x=None) == '<p class="&quot;">&lt;b&gt;<b>1</b></p>'
    assert escaped("bad \udcff\x00 name") == "bad \ufffd\ufffd name"
