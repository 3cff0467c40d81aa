"""Bars of a chart as numbers for an SVG, which works without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from channels_app.portal.reads import Week

BAR_STEP = 10
HEIGHT = 100
LEAST_HEIGHT = 2


@dataclass(frozen=True)
class Bar:
    """One bar in a picture of HEIGHT; x, y: its upper left corner."""

    x: int
    y: int
    height: int
    count: int
    start: date


def bars(weeks: Sequence[Week]) -> list[Bar]:
    """A bar a week, the largest of them as high as the picture; none is so low that it can't be seen."""
    most = max((week.count for week in weeks), default=0) or 1
    heights = [max(LEAST_HEIGHT, round(HEIGHT * week.count / most)) for week in weeks]
    return [
        Bar(number * BAR_STEP + 1, HEIGHT - height, height, week.count, week.start)
        for number, (week, height) in enumerate(zip(weeks, heights, strict=True))
    ]
