"""Makes the plan of a run: reads the upstream, compares it with the target, lets the filters decide, and holds what looks wrong."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from mirrors_app.core.config import MirrorConfig
from mirrors_app.core.diff import Diff, compare, compare_sifted, facts_of, find_gone, sift
from mirrors_app.core.download import Progress, Wanted
from mirrors_app.core.errors import UpstreamBroken, UpstreamError, UpstreamMissing
from mirrors_app.core.fetch import Fetcher
from mirrors_app.core.filters import Candidate
from mirrors_app.core.plan import Held, Plan, Replaced
from mirrors_app.core.records import Refused, UpstreamRecord
from mirrors_app.core.target import Known, SubdirState, Target
from mirrors_app.core.upstream import Reading, parse_index, read_index, read_shards

T = TypeVar("T")


@dataclass(slots=True)
class SubdirWork:
    """One subdir's share: the index that was read, what is known of the names that differ at least, what differs, and what the filters
    have to see of it. count: the index's records, or names where it is sharded; shown: records that are shown now, without those that
    were left; names: those that were looked at, None for all; broken_names: of lost shards.
    """

    reading: Reading
    previous: SubdirState | None
    known: Mapping[str, Known]
    diff: Diff
    candidates: list[Candidate]
    count: int
    shown: int
    names: Collection[str] | None = None
    broken_names: set[str] = field(default_factory=set)


class Planner:
    """target_thread: the one thread from which the target is spoken to."""

    def __init__(self, config: MirrorConfig, target: Target, target_thread: Executor, fetcher: Fetcher, progress: Progress) -> None:
        self.config, self.target, self.fetcher, self.progress = config, target, fetcher, progress
        self._thread = target_thread
        self._states: Mapping[str, SubdirState] | None = None
        self.upstream = config.upstreams[0] if config.upstreams else ""

    async def plan(self) -> Plan:
        """Raises UpstreamError when no upstream answers, or none of its subdirs exists."""
        self.progress.phase("index")
        states = await self.states()
        readings = await self._read_all(states)
        plan = Plan()
        self._hold_missing(readings, states, plan)
        if plan.held:
            return plan
        if all(one.standing == "missing" for one in readings.values()):
            raise UpstreamMissing(
                "The upstream has none of the subdirs that this mirror is for.", hint="Check its address and the subdirs."
            )
        self.progress.phase("plan")
        works = await self._compare_all(readings, states)
        self._hold_shrunken(works, plan)
        if plan.held:
            return plan
        await asyncio.to_thread(self._decide, works, plan)
        await self._leave_denied(works, plan)
        await self._sort(works, plan)
        return plan

    async def states(self) -> Mapping[str, SubdirState]:
        """The target's, as they were when they were first asked for."""
        if self._states is None:
            self._states = await self.on_target(self.target.states)
        return self._states

    async def on_target(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _read_all(self, states: Mapping[str, SubdirState]) -> dict[str, Reading]:
        """All subdirs from the first upstream that answers for any of them."""
        failure: UpstreamError | None = None
        for upstream in self.config.upstreams:
            try:
                found = await self._read_from(upstream, states)
            except UpstreamError as error:
                self.progress.log(error.detail)
                failure = failure or error
                continue
            self.upstream = upstream
            if upstream == self.config.upstreams[-1] or any(one.standing in ("read", "unchanged") for one in found.values()):
                return found
        if failure is None:
            failure = UpstreamBroken("No upstream has an index.")
        raise failure

    async def _read_from(self, upstream: str, states: Mapping[str, SubdirState]) -> dict[str, Reading]:
        config = self.config
        shards = not config.filters.needs_all
        decided = config.decided_by()

        async def one(subdir: str) -> Reading:
            previous = states.get(subdir)
            reading = await read_index(self.fetcher, upstream, subdir, previous, shards=shards)
            if reading.standing == "unchanged" and previous is not None and previous.decided != decided:
                reading = await self._reread(upstream, reading, shards=shards)
            return reading

        readings = await asyncio.gather(*(one(subdir) for subdir in config.subdirs), return_exceptions=True)
        for reading in readings:
            if isinstance(reading, BaseException):
                raise reading
        found = {one.subdir: one for one in readings if isinstance(one, Reading)}
        if config.filters.needs_all and any(one.standing == "read" for one in found.values()):
            again = [self._reread(upstream, one, shards=False) if one.standing == "unchanged" else _itself(one) for one in found.values()]
            found = {one.subdir: one for one in await asyncio.gather(*again)}
        return found

    async def _reread(self, upstream: str, reading: Reading, *, shards: bool) -> Reading:
        """An unchanged index with its content: from what the target kept of it, else once more from the upstream."""
        raw = await self.on_target(lambda: self.target.pinned(reading.subdir))
        if raw is not None and (shards or reading.state.kind != "shards"):
            base = f"{upstream}{reading.subdir}/"
            return await asyncio.to_thread(parse_index, reading.state, reading.subdir, raw, base=base)
        return await read_index(self.fetcher, upstream, reading.subdir, None, shards=shards)

    def _hold_missing(self, readings: Mapping[str, Reading], states: Mapping[str, SubdirState], plan: Plan) -> None:
        for subdir, reading in readings.items():
            previous = states.get(subdir)
            had = previous is not None and previous.records > 0
            approval = f"{reading.standing}:{subdir}"
            if reading.standing == "not_an_index" or (reading.standing == "missing" and had and approval not in self.config.approved):
                plan.held.append(Held(subdir, reading.standing, reading.reason, approval))

    async def _compare_all(self, readings: dict[str, Reading], states: Mapping[str, SubdirState]) -> list[SubdirWork]:
        works = []
        for subdir in list(readings):
            # Taken out, so that an index is let go of while it is compared.
            if readings[subdir].standing == "unchanged":
                del readings[subdir]
            elif readings[subdir].state.kind == "shards":
                works.append(await self._compare_shards(readings.pop(subdir), states.get(subdir)))
            else:
                works.append(await self._compare_whole(readings.pop(subdir), states.get(subdir)))
        return works

    async def _compare_whole(self, reading: Reading, previous: SubdirState | None) -> SubdirWork:
        filters = self.config.filters
        decided = previous is not None and previous.decided == self.config.decided_by()
        whole = not filters.is_open and bool(filters.needs_all or filters.newest_versions or not decided)
        spellings = await self._spellings(reading.subdir)
        sifted = await asyncio.to_thread(sift, reading.entries, spellings)
        del spellings
        count = len(reading.entries)
        if not whole:
            reading = dataclasses.replace(reading, entries=())
        known = await self._known(reading.subdir, None if whole else sifted.names)
        diff = await asyncio.to_thread(compare_sifted, reading, sifted, known, count=count)
        candidates: list[Candidate] = []
        if whole:
            candidates = await asyncio.to_thread(_all_candidates, reading, diff.refused)
        elif not filters.is_open:
            candidates = _fresh_candidates(diff)
        if not candidates:
            # They hold the whole text of the index, which nobody needs any more.
            reading = dataclasses.replace(reading, entries=(), text=b"")
        return SubdirWork(reading, previous, known, diff, candidates, count, sifted.shown)

    async def _spellings(self, subdir: str) -> Mapping[str, bytes | None]:
        return await self.on_target(lambda: self.target.spellings(subdir))

    async def _known(self, subdir: str, names: Collection[str] | None) -> Mapping[str, Known]:
        return await self.on_target(lambda: self.target.known(subdir, names))

    async def _compare_shards(self, reading: Reading, previous: SubdirState | None) -> SubdirWork:
        """Only names whose hash is another one are fetched and looked at."""
        decided = previous is not None and previous.decided == self.config.decided_by()
        before = previous.shards if previous is not None and decided else {}
        fresh = [name for name, sha256 in reading.shards.items() if before.get(name) != sha256]
        names: Collection[str] | None = {*fresh, *(before.keys() - reading.shards.keys())} if before else None
        known = await self._known(reading.subdir, names)
        contents = await read_shards(self.fetcher, reading, fresh)
        diff = Diff()
        seen: set[str] = set()
        broken = {name for name, content in contents.items() if content.broken}
        for content in contents.values():
            diff.refused.extend(content.refused)
            compare(content.records, known, diff)
            seen.update([one.filename for one in content.records])
        seen.update(one.filename for one in diff.refused)
        seen.update(filename for filename, one in known.items() if one.name in broken)
        find_gone(known, seen, diff)
        candidates: list[Candidate] = []
        if not self.config.filters.is_open:
            candidates = [_candidate(record) for content in contents.values() for record in content.records]
        shown = previous.records if names is not None and previous is not None else sum(not one.left for one in known.values())
        return SubdirWork(reading, previous, known, diff, candidates, len(reading.shards), shown, names, broken)

    def _hold_shrunken(self, works: Collection[SubdirWork], plan: Plan) -> None:
        share = self.config.shrink_share
        for work in works:
            previous, reading = work.previous, work.reading
            approval = reading.state.digest or f"missing:{reading.subdir}"
            if previous is None or approval in self.config.approved or reading.standing != "read":
                continue
            count = work.count
            shown = previous.records
            if count == 0 and (previous.count or shown):
                plan.held.append(Held(reading.subdir, "empty", "The upstream's index is empty now.", approval))
            elif count < previous.count * (1 - share) and previous.kind == reading.state.kind:
                lost = previous.count - count
                plan.held.append(Held(reading.subdir, "shrunken", f"The index has lost {lost} of {previous.count} entries.", approval))
            elif len(work.diff.gone) > shown * share and shown:
                lost = len(work.diff.gone)
                plan.held.append(Held(reading.subdir, "shrunken", f"The index has lost {lost} of {shown} mirrored records.", approval))

    def _decide(self, works: Collection[SubdirWork], plan: Plan) -> None:
        candidates = [one for work in works for one in work.candidates]
        if not candidates:
            return
        decision = self.config.filters.decide(candidates)
        plan.left_out, plan.broken = decision.left_out, decision.broken

    async def _leave_denied(self, works: Collection[SubdirWork], plan: Plan) -> None:
        """Of new records alone: what is here stays, hidden."""
        if (denied := self.config.denied) is None:
            return
        fresh = [one for work in works for one in work.diff.added if one.key not in plan.left_out and one.raw]
        plan.left_out.update(await self.on_target(lambda: denied(fresh)))

    async def _sort(self, works: Collection[SubdirWork], plan: Plan) -> None:
        for work in works:
            self._sort_subdir(work, plan)
        # What only a lock knows has no record to show before its bytes were read.
        whole = [one.record for one in plan.fetch if one.record.raw]
        held = set(await self.on_target(lambda: self.target.holds(whole))) if whole else set()
        plan.reuse = [one.record for one in plan.fetch if one.record.key in held and not one.aside]
        plan.fetch = [one for one in plan.fetch if one.record.key not in held]
        limit = self.config.max_packages
        if limit and len(plan.fetch) > limit:
            plan.postponed = len(plan.fetch) - limit
            plan.lost += [Refused(*one.record.key, "It is left for a later run.") for one in plan.fetch[limit:]]
            plan.fetch = plan.fetch[:limit]

    def _sort_subdir(self, work: SubdirWork, plan: Plan) -> None:
        subdir, diff, config = work.reading.subdir, work.diff, self.config
        rejected = dict(work.previous.rejected) if work.previous is not None else {}
        refused = _still_refused(work)
        follow = config.replaced == "follow"
        if not config.shows_v3:
            _refuse_v3(work, plan)
        for record in (*diff.added, *diff.replaced):
            if record.key in plan.left_out:
                continue
            if (before_sha256 := rejected.get(record.filename)) and before_sha256 == record.sha256:
                diff.refused.append(Refused(*record.key, refused.get(record.filename, "It was refused before.")))
                continue
            before = work.known.get(record.filename)
            if before is not None:
                plan.replaced.append(Replaced(record, before))
            plan.fetch.append(Wanted(record, aside=before is not None and not follow))
        plan.changed += [one for one in diff.changed if one.key not in plan.left_out]
        plan.unchanged += diff.unchanged
        plan.moved += diff.moved
        unwanted = [filename for filename, one in work.known.items() if (subdir, filename) in plan.left_out and not one.left]
        gone = [(subdir, filename) for filename in sorted({*diff.gone, *unwanted})]
        if config.removed == "drop":
            # What was kept under an earlier setting goes as well.
            older = {filename for filename, one in work.known.items() if one.left} - {one.filename for one in diff.changed}
            gone = sorted({*gone, *((subdir, filename) for filename in older)})
            plan.take += gone
        else:
            plan.left += gone
        lasting = [one for one in diff.refused if one.filename not in work.broken_names]
        plan.refused += lasting
        plan.lost += [one for one in diff.refused if one.filename in work.broken_names]
        refused |= {one.filename: one.reason for one in lasting}
        records = work.shown + _more_shown(work, plan)
        plan.states[subdir] = msgspec.structs.replace(
            work.reading.state,
            count=work.count,
            records=records,
            shards={name: sha256 for name, sha256 in work.reading.shards.items() if name not in work.broken_names},
            decided=config.decided_by(),
            refused=refused,
            rejected=rejected,
        )
        if work.reading.raw:
            plan.raw[subdir] = work.reading.raw


def _refuse_v3(work: SubdirWork, plan: Plan) -> None:
    """Those that the filters would take; nothing of them is fetched. What is shown and has moved there is gone from where it was."""
    diff = work.diff
    late = [one for one in (*diff.added, *diff.changed, *diff.replaced) if one.section == "v3"]
    if not late:
        return
    reason = "This hub's index has no place for records of the section v3 (CEP-48)."
    diff.refused += [Refused(*one.key, reason) for one in late if one.key not in plan.left_out]
    diff.added, diff.changed, diff.replaced = (
        [one for one in several if one.section != "v3"] for several in (diff.added, diff.changed, diff.replaced)
    )
    shown = {filename for filename, one in work.known.items() if not one.left}
    diff.gone = sorted({*diff.gone, *(one.filename for one in late if one.filename in shown)})


def _more_shown(work: SubdirWork, plan: Plan) -> int:
    """How many more records are shown afterwards, if all goes well."""
    subdir = work.reading.subdir
    added = sum(one.key not in plan.left_out for one in work.diff.added)
    gone = len(work.diff.gone) + sum((subdir, filename) in plan.left_out and not one.left for filename, one in work.known.items())
    return added - gone


def _still_refused(work: SubdirWork) -> dict[str, str]:
    """Refusals of names that were not looked at this time."""
    if work.previous is None or work.names is None:
        return {}
    return {filename: reason for filename, reason in work.previous.refused.items() if filename.rsplit("-", 2)[0] not in work.names}


def _candidate(record: UpstreamRecord) -> Candidate:
    return Candidate(record.subdir, record.filename, record.facts, record.raw)


def _fresh_candidates(diff: Diff) -> list[Candidate]:
    return [_candidate(record) for record in (*diff.added, *diff.changed, *diff.replaced)]


def _all_candidates(reading: Reading, refused: list[Refused]) -> list[Candidate]:
    bad = {one.filename for one in refused}
    facts, _ = facts_of(reading)
    return [
        Candidate(reading.subdir, entry.filename, facts[entry.filename], entry.raw)
        for entry in reading.entries
        if entry.filename in facts and entry.filename not in bad
    ]


async def _itself(reading: Reading) -> Reading:
    return reading
