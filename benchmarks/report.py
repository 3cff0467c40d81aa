"""What was measured, what it had to be, and whether it is: as a table on the terminal, and as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles

from benchmarks.load import Rates

HEADINGS = ("what", "measured", "target", "ratio", "verdict")


@dataclass(frozen=True)
class Row:
    """One number. `met` is None where there is nothing to reach: the number is there to be compared with."""

    what: str
    measured: str
    target: str = ""
    ratio: str = ""
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """As HEADINGS name them."""
        verdict = "" if self.met is None else "reached" if self.met else "MISSED"
        return self.what, self.measured, self.target, self.ratio, verdict


def noted(what: str, measured: str, ratio: str = "") -> Row:
    """A number without a target."""
    return Row(what, measured, ratio=ratio)


def at_most(what: str, value: float, limit: float, unit: str, *, binding: bool = True, more: str = "") -> Row:
    """A number that must not be more; `binding` False shows the target without a verdict; `more` is said beside the number."""
    return Row(
        what,
        f"{_number(value)} {unit}" + (f" ({more})" if more else ""),
        f"<= {_number(limit)} {unit}",
        f"{value / limit:.2f}",
        value <= limit if binding else None,
    )


def share(what: str, rates: Rates, name: str, ceiling: str, least: float | None, unit: str) -> Row:
    """A rate as a share of what a peer did in the same rounds; `least` None: no target."""
    found = rates.ratio(name, ceiling)
    target = f">= {least:.2f} of {_number(rates[ceiling])}" if least is not None else f"(of {_number(rates[ceiling])})"
    return Row(what, f"{_number(rates[name])} {unit}", target, f"{found:.2f}", None if least is None else found >= least)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def milliseconds(seconds: Sequence[float]) -> str:
    """p50 and p95 of some durations."""
    return f"p50 {median(seconds) * 1000:,.1f} ms, p95 {percentile(seconds, 95) * 1000:,.1f} ms"


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` of a hundred do not exceed."""
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


def as_text(title: str, rows: Sequence[Row]) -> str:
    """The table as a terminal shows it."""
    table = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return "\n".join([f"== {title}", lines[0], "  ".join("-" * width for width in widths), *lines[1:], ""])


def as_markdown(sections: Iterable[tuple[str, Sequence[Row]]], *, command: str) -> str:
    """All sections as a page, with the machine and the command that made it."""
    parts = ["# Benchmarks", "", f"Measured on {datetime.now(UTC):%Y-%m-%d} by `{command}`.", "", machine(), ""]
    for title, rows in sections:
        parts += [f"## {title}", "", f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
        parts += [f"| {' | '.join(cell.replace('|', '/') for cell in row.cells())} |" for row in rows]
        parts.append("")
    return "\n".join(parts)


def summary(sections: Iterable[tuple[str, Sequence[Row]]]) -> tuple[str, int]:
    """The closing words, and how many targets were missed."""
    judged = [(title, row) for title, rows in sections for row in rows if row.met is not None]
    missed = [(title, row) for title, row in judged if not row.met]
    lines = [f"{len(judged) - len(missed)} of {len(judged)} targets reached."]
    lines += [f"missed: {title}: {row.what}: {row.measured}, target {row.target}" for title, row in missed]
    return "\n".join(lines), len(missed)


def machine() -> str:
    """Where it was measured."""
    model = _field("/proc/cpuinfo", "model name") or platform.processor()
    memory_gib = int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 1024**2
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores of {model}, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load {load:.1f} when this was written."
    )


def _field(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
