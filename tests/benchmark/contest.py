"""One work, several contestants: each has its turn in every round, so that what disturbs the machine disturbs all."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmark.measure import Cost, bytes_below, run

OURS = "vya.backupdb"


@dataclass(frozen=True)
class Contestant:
    """Who does the work: a pipeline, what it reads and where it writes. ``before`` and ``after`` are not timed."""

    name: str
    pipeline: Sequence[Sequence[str]]
    source: Path | None = None
    target: Path | None = None
    stores: Path | None = None
    env: dict[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None

    def turn(self, settle: bool, server: int | None) -> Cost:
        self.before()
        if settle:
            os.sync()
        cost = run(self.pipeline, self.source, self.target, self.env, server)
        if self.stores:
            cost = replace(cost, stored_bytes=bytes_below(self.stores))
        self.after()
        return cost


@dataclass
class Result:
    """The costs of a contestant, one a round."""

    name: str
    costs: list[Cost] = field(default_factory=list)

    def median(self, what: str) -> float:
        return statistics.median(getattr(cost, what) for cost in self.costs)


def hold(
    contestants: Iterable[Contestant], rounds: int, settle: bool = False, server: int | None = None
) -> list[Result]:
    """Every contestant's turn in every round; the costs go to the standard error as they come. With ``settle`` what the
    one before left to be written is on the disk before the next one begins. ``server`` is a process id."""
    contestants = list(contestants)
    results = {contestant.name: Result(contestant.name) for contestant in contestants}
    for number in range(rounds):
        for contestant in contestants:
            cost = contestant.turn(settle, server)
            results[contestant.name].costs.append(cost)
            print(
                f"{number + 1}/{rounds} {contestant.name}: {cost.seconds:.2f} s, CPU {cost.cpu_seconds:.2f} s, "
                f"{cost.peak_bytes >> 20} MiB",
                file=sys.stderr,
            )
    return list(results.values())


def ratio(ours: Result, other: Result) -> float:
    """The median over the rounds of our time to the other's in the same round."""
    pairs = zip(ours.costs, other.costs, strict=True)
    return statistics.median(mine.seconds / its.seconds for mine, its in pairs)


def table(results: Sequence[Result]) -> list[str]:
    """The results as a table in Markdown; the ratio is our time to theirs, below 1 we are faster."""
    ours = next(result for result in results if result.name == OURS)
    stored = any(cost.stored_bytes for result in results for cost in result.costs)
    lines = [
        "| | Seconds, median | Fastest to slowest | We to it | CPU seconds | Largest process, MiB |"
        + (" Stored, MB |" if stored else ""),
        "|---|---|---|---|---|---|" + ("---|" if stored else ""),
    ]
    for result in results:
        times = sorted(cost.seconds for cost in result.costs)
        cells = [
            f"**{result.name}**" if result is ours else f"`{result.name.replace('|', chr(92) + '|')}`",
            f"{result.median('seconds'):.1f}",
            f"{times[0]:.1f} to {times[-1]:.1f}",
            "" if result is ours else f"{ratio(ours, result):.2f}",
            f"{result.median('cpu_seconds'):.1f}",
            f"{result.median('peak_bytes') / (1 << 20):.0f}",
        ]
        if stored:
            cells.append(f"{result.median('stored_bytes') / 1e6:.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines
