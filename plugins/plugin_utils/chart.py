# Copyright: (c) 2026, the vya.backupdb authors
# GNU General Public License v3.0-or-later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small charts: one line, as SVG in the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from .html import Html, tag

WIDTH, HEIGHT, MARGIN = 92, 28, 3


def chart(points: Sequence[tuple[datetime, float]], label: str) -> Html | None:
    """Values over time from zero up, oldest first; None where there are fewer than two."""
    if len(points) < 2:
        return None
    first, last = points[0][0], points[-1][0]
    span = (last - first).total_seconds() or 1.0
    most = max(value for _moment, value in points) or 1.0

    def place(moment: datetime, value: float) -> str:
        left = MARGIN + (WIDTH - 2 * MARGIN) * (moment - first).total_seconds() / span
        top = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value / most
        return f"{left:.1f},{top:.1f}"

    line = " ".join(place(*point) for point in points)
    floor = HEIGHT - MARGIN
    left, top = place(*points[-1]).split(",")
    return tag(
        "svg",
        tag("title", label),
        tag("line", x1=MARGIN, y1=floor, x2=WIDTH - MARGIN, y2=floor, class_="floor"),
        tag("polyline", points=line),
        tag("circle", cx=left, cy=top, r="2"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
        aria_label=label,
        class_="chart",
    )
