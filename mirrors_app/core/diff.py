"""What changed between what a target shows and what an upstream's index says now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from mirrors_app.core.records import BadRecord, Facts, Refused, UpstreamRecord, digest_of, read_facts
from mirrors_app.core.target import Known
from mirrors_app.core.upstream import Entry, Reading, records_of


@dataclass(slots=True)
class Diff:
    """added: new file names; changed: other metadata (or back again), the same bytes; replaced: other bytes under the same name;
    gone: file names that the index no longer has; unchanged: how many are as they were; refused: records that can't be taken.
    """

    added: list[UpstreamRecord] = field(default_factory=list)
    changed: list[UpstreamRecord] = field(default_factory=list)
    replaced: list[UpstreamRecord] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unchanged: int = 0
    refused: list[Refused] = field(default_factory=list)


def compare(records: Iterable[UpstreamRecord], known: Mapping[str, Known], seen: set[str], diff: Diff) -> None:
    """Sort records into the diff; their file names go into `seen`."""
    for record in records:
        seen.add(record.filename)
        before = known.get(record.filename)
        if before is None:
            diff.added.append(record)
        elif before.digest == record.digest and not before.left:
            diff.unchanged += 1
        elif same_bytes(before, record.facts):
            diff.changed.append(record)
        else:
            diff.replaced.append(record)


def compare_entries(reading: Reading, entries: Collection[Entry], known: Mapping[str, Known]) -> Diff:
    """Diff of a whole monolithic index. A record that is spelled as it was last time is not even parsed."""
    diff = Diff()
    seen: set[str] = set()
    fresh: list[Entry] = []
    for entry in entries:
        before = known.get(entry.filename)
        if before is not None and before.spelling and not before.left and before.spelling == digest_of(memoryview(entry.raw)):
            seen.add(entry.filename)
            diff.unchanged += 1
        else:
            fresh.append(entry)
    compare(records_of(reading, fresh, diff.refused), known, seen, diff)
    # A name whose record became unreadable is no removal: what was shown stays.
    seen.update(one.filename for one in diff.refused)
    find_gone(known, seen, diff)
    return diff


def find_gone(known: Mapping[str, Known], seen: Collection[str], diff: Diff) -> None:
    """What is shown, was not seen, and did not leave earlier already."""
    diff.gone = sorted(filename for filename, one in known.items() if filename not in seen and not one.left)


def same_bytes(before: Known, now: Facts) -> bool:
    """Whether the upstream still speaks of the bytes that are shown: by sha256, else md5, else size."""
    if before.sha256 and now.sha256:
        return before.sha256 == now.sha256
    if before.md5 and now.md5:
        return before.md5 == now.md5
    return not now.size or before.size == now.size


def facts_of(reading: Reading) -> tuple[dict[str, Facts], list[Refused]]:
    """filename -> deciding facts of a whole monolithic index, for filters that must see everything."""
    found: dict[str, Facts] = {}
    refused: list[Refused] = []
    for entry in reading.entries:
        try:
            found[entry.filename] = read_facts(entry.raw)
        except BadRecord as error:
            refused.append(Refused(reading.subdir, entry.filename, str(error)))
    return found, refused
