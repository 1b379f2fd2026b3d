# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark, with next to no data and the tools that are there: that it runs, not how fast."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import benchmark.__main__
import benchmark.fleet
import benchmark.growth
import pytest
from benchmark.contest import Contestant, Result, hold, ratio, table
from benchmark.measure import Cost, FailedError, run


def written(report: Path, run: Callable[[list[str]], None], options: str, *titles: str) -> str:
    """What a benchmark writes into a document under these titles, in the place of what was there."""
    marks = [
        (f"<!-- begin of what was measured, {title} -->\n", f"<!-- end of what was measured, {title} -->\n")
        for title in titles
    ]
    report.write_text("# Before\n" + "".join(f"{begin}old\n{end}" for begin, end in marks) + "# After")
    run([*shlex.split(options), "--report", str(report)])
    text = report.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("# After")
    assert "old" not in text
    for (begin, end), title in zip(marks, titles, strict=True):
        assert text.count(begin) == 1
        assert text.partition(begin)[2].partition(end)[0].startswith(f"\n### {title}\n\n20")
    return text


def test_the_benchmark_runs(tmp_path: Path) -> None:
    small = "--megabytes 1 --tables 4 --rounds 1 --only zstd 'pg_dump -Fd' pg_restore"
    titles = [f"{engine}: {work}" for engine in ("PostgreSQL", "MariaDB") for work in ("backup", "restore")]
    text = written(tmp_path / "report.md", benchmark.__main__.main, small, *titles)
    for name in ("pg_dump \\| zstd -1", "pg_restore -j2", "zstd -dc \\| psql", "zstd -dc \\| mariadb"):
        assert f"| `{name}` | " in text
    assert text.count("| **vya.backupdb** | ") == 4


@pytest.mark.parametrize("engine", ["PostgreSQL", "MariaDB"])
def test_growth_is_measured(tmp_path: Path, engine: str) -> None:
    small = "--megabytes 1 2 --tables 4 6 --table-megabytes 1 --databases 2 --rounds 1 --small-rounds 1 --engines"
    titles = [f"{engine}: {grows}" for grows in ("more data", "more tables", "databases of 1 MB")]
    text = written(tmp_path / "report.md", benchmark.growth.main, f"{small} {engine.lower()}", *titles)
    assert [line.partition(" | ")[0] for line in text.splitlines() if re.match(r"\| \d+ ", line)] == [
        "| 4", "| 6", "| 1", "| 2",
    ]  # fmt: skip


def test_what_a_fleet_costs_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.fleet.main(["--hosts", "2", "--forks", "2", "--rounds", "1", "--ssh"])
    head, ping, play, ratios = capsys.readouterr().out.splitlines()
    assert head.startswith("2 hosts by SSH, 2 forks, ")
    walls, cpus = zip(
        *([float(word) for word in re.findall(r"([\d.]+) s\b", line)] for line in (ping, play)), strict=True
    )
    assert min(walls) > 0.2
    assert cpus[1] > cpus[0] > 0.2
    assert re.fullmatch(r"ratio( +[\d.]+){2}", ratios)


def test_costs_are_measured(tmp_path: Path) -> None:
    busy = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    large = "import time; held = bytearray(150 << 20); time.sleep(0.3); print('x' * 1000)"
    target = tmp_path / "out"
    cost = run([(sys.executable, "-c", busy), (sys.executable, "-c", large)], target=target)
    assert 0.3 < cost.seconds < 30
    assert 0.3 < cost.cpu_seconds < 10
    assert 150 < cost.peak_bytes >> 20 < 200
    assert target.read_text() == "x" * 1000 + "\n"
    with pytest.raises(FailedError, match="broken"):
        run([("cat",), (sys.executable, "-c", "raise SystemExit('broken')")])


def test_ratios_are_of_the_same_round() -> None:
    ours = Result("vya.backupdb", [Cost(seconds, 1, 1) for seconds in (1, 20, 2)])
    other = Result("a | b", [Cost(seconds, 1, 1) for seconds in (2, 40, 2)])
    assert ratio(ours, other) == 0.5
    lines = table([ours, other])
    assert lines[2:] == [
        "| **vya.backupdb** | 2.0 | 1.0 to 20.0 |  | 1.0 | 0 |",
        "| `a \\| b` | 2.0 | 2.0 to 40.0 | 0.50 | 1.0 | 0 |",
    ]


def test_everybody_has_a_turn_in_every_round(tmp_path: Path) -> None:
    order: list[str] = []
    both = [
        Contestant(name, [("true",)], before=lambda name=name: order.append(name))  # type: ignore[misc]
        for name in ("one", "two")
    ]
    assert [len(result.costs) for result in hold(both, 3)] == [3, 3]
    assert order == ["one", "two"] * 3
