"""What a run would do, before it does it: counts, bytes, and why each package that stays out does so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mirrors_app.core.download import Wanted
from mirrors_app.core.filters import Broken
from mirrors_app.core.records import Refused, UpstreamRecord
from mirrors_app.core.target import Known, SubdirState

SHOWN_ITEMS = 200


class Replaced(NamedTuple):
    """A file name that came with other bytes. fetched: the new ones are here, aside."""

    record: UpstreamRecord
    before: Known


class Held(NamedTuple):
    """An index that is not followed until somebody approves it. verdict: empty, shrunken, missing, not_an_index; approval: what
    `MirrorConfig.approved` must hold for it.
    """

    subdir: str
    verdict: str
    reason: str
    approval: str


@dataclass(slots=True)
class Plan:
    """fetch: to be downloaded; reuse: the bytes are here; changed: new metadata of shown bytes; replaced: alerts; take: not to be shown
    any more; left: gone upstream and kept; left_out: (subdir, filename) -> reason; refused: can't be taken, for good;
    moved: as they were, and perhaps elsewhere; broken: dependencies that exclusions break; lost: could not be read now; states, raw:
    to be published with it.
    """

    fetch: list[Wanted] = field(default_factory=list)
    reuse: list[UpstreamRecord] = field(default_factory=list)
    changed: list[UpstreamRecord] = field(default_factory=list)
    moved: list[UpstreamRecord] = field(default_factory=list)
    replaced: list[Replaced] = field(default_factory=list)
    take: list[tuple[str, str]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    left_out: dict[tuple[str, str], str] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    lost: list[Refused] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    postponed: int = 0
    unchanged: int = 0
    states: dict[str, SubdirState] = field(default_factory=dict)
    raw: dict[str, bytes] = field(default_factory=dict)

    @property
    def fetch_bytes(self) -> int:
        return sum(one.record.size for one in self.fetch)

    def as_dict(self) -> dict[str, Any]:
        """For machines: counts, bytes and the first items of each list."""
        return {
            "fetch": {"files": len(self.fetch), "bytes": self.fetch_bytes, "items": _items(one.record for one in self.fetch)},
            "reuse": {"files": len(self.reuse), "bytes": sum(one.size for one in self.reuse)},
            "changed": {"files": len(self.changed), "items": _items(self.changed)},
            "replaced": {"files": len(self.replaced), "items": _items(one.record for one in self.replaced)},
            "removed": {"files": len(self.take), "items": ["/".join(key) for key in self.take[:SHOWN_ITEMS]]},
            "kept_though_gone": {"files": len(self.left), "items": ["/".join(key) for key in self.left[:SHOWN_ITEMS]]},
            "left_out": {"files": len(self.left_out), "reasons": dict(Counter(self.left_out.values()).most_common())},
            "refused": [one._asdict() for one in [*self.refused, *self.lost][:SHOWN_ITEMS]],
            "broken_dependencies": [one._asdict() for one in self.broken[:SHOWN_ITEMS]],
            "held": [one._asdict() for one in self.held],
            "unchanged": self.unchanged,
            "postponed": self.postponed,
        }

    def rows(self) -> list[tuple[str, int, int | None, str]]:
        """For people: (what, files, bytes or None, remark)."""
        rows: list[tuple[str, int, int | None, str]] = [
            ("to fetch", len(self.fetch), self.fetch_bytes, ""),
            ("already here", len(self.reuse), sum(one.size for one in self.reuse), ""),
            ("new metadata only", len(self.changed), None, ""),
            ("same name, other bytes", len(self.replaced), sum(one.record.size for one in self.replaced), "an alert; both are kept"),
            ("to remove", len(self.take), None, ""),
            ("gone upstream, kept", len(self.left), None, ""),
            ("unchanged", self.unchanged, None, ""),
        ]
        if self.postponed:
            rows.append(("for a later run", self.postponed, None, "past the number of packages of one run"))
        rows += [("left out", count, None, reason) for reason, count in Counter(self.left_out.values()).most_common()]
        rows += [("refused", 1, None, f"{one.subdir}/{one.filename}: {one.reason}") for one in [*self.refused, *self.lost]]
        rows += [("broken", 1, None, f"{one.subdir}/{one.filename} needs {one.depends}: {one.reason}") for one in self.broken]
        rows += [("held", 1, None, f"{one.subdir}: {one.reason}") for one in self.held]
        return rows


def _items(records: Any) -> list[str]:
    return ["/".join(one.key) for one, _ in zip(records, range(SHOWN_ITEMS), strict=False)]


def summary(counts: Mapping[str, int]) -> str:
    """'3 added, 1 changed'."""
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing changed"
