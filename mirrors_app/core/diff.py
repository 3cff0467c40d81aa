"""What changed between what a target shows and what an upstream's index says now."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from mirrors_app.core.beside import Entry
from mirrors_app.core.records import BadRecord, Facts, Refused, UpstreamRecord, digest_of, read_facts
from mirrors_app.core.target import Known
from mirrors_app.core.upstream import Reading, records_of


@dataclass(slots=True)
class Diff:
    """added: new file names; changed: other metadata (or back again), the same bytes; replaced: other bytes under the same name;
    gone: file names that the index no longer has; unchanged: how many are as they were; moved: those of them that were written
    otherwise, so that they may lie elsewhere (of a shard, which has no spelling, all); refused: records that can't be taken.
    """

    added: list[UpstreamRecord] = field(default_factory=list)
    changed: list[UpstreamRecord] = field(default_factory=list)
    replaced: list[UpstreamRecord] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unchanged: int = 0
    moved: list[UpstreamRecord] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def compare(records: Iterable[UpstreamRecord], known: Mapping[str, Known], diff: Diff) -> None:
    """Sort records into the diff."""
    for record in records:
        before = known.get(record.filename)
        if before is None:
            diff.added.append(record)
        elif before.digest == record.digest and not before.left:
            diff.unchanged += 1
            if not record.spelling or record.spelling != before.spelling:
                diff.moved.append(record)
        elif same_bytes(before, record.facts):
            diff.changed.append(record)
        else:
            diff.replaced.append(record)


@dataclass(frozen=True, slots=True)
class Sifted:
    """A whole monolithic index held against what is shown. fresh: entries that are not spelled as they were last time; unseen: file
    names that the index does not have; names: those of all of these, as far as anything of them is shown; shown: how many files are,
    without those that the upstream had left already.
    """

    fresh: list[Entry]
    unseen: set[str]
    names: set[str]
    shown: int


def sift(entries: Collection[Entry], spellings: Mapping[str, bytes | None]) -> Sifted:
    """What has to be looked at; a record that is spelled as it was is not even parsed."""
    fresh = []
    for entry in entries:
        before = spellings.get(entry.filename)
        if not before or entry.section == "v3" or before != digest_of(memoryview(entry.raw)):
            fresh.append(entry)
    unseen = set(spellings)
    unseen.difference_update([one.filename for one in entries])
    left = [filename for filename, spelling in spellings.items() if spelling is None]
    asked = itertools.chain((one.filename for one in fresh if one.filename in spellings), unseen, left)
    return Sifted(fresh, unseen, {filename.rsplit("-", 2)[0] for filename in asked}, len(spellings) - len(left))


def compare_sifted(reading: Reading, sifted: Sifted, known: Mapping[str, Known], *, count: int) -> Diff:
    """Diff of a whole monolithic index of `count` entries, of which the fresh ones are let go of as they are read; known: of the sifted
    names at least.
    """
    diff = Diff(unchanged=count - len(sifted.fresh))
    compare(records_of(reading, sifted.fresh, diff.refused), known, diff)
    # A name whose record became unreadable is no removal: what was shown stays.
    diff.gone = sorted(filename for filename in sifted.unseen if filename in known and not known[filename].left)
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
