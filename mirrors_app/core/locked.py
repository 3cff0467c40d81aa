"""The plan of a mirror in lock mode: exactly the packages of a lock file, with the upstream's records where it still has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from urllib.parse import urlsplit

from condahub.engine.lockfiles import LockedPackage
from condahub.packages.names import split_filename
from mirrors_app.core.diff import same_bytes
from mirrors_app.core.download import Wanted
from mirrors_app.core.errors import UpstreamError
from mirrors_app.core.plan import Plan, Replaced
from mirrors_app.core.planning import Planner
from mirrors_app.core.records import BadRecord, Facts, Refused, Section, UpstreamRecord, check_filename
from mirrors_app.core.target import SubdirState
from mirrors_app.core.upstream import Reading, read_index, read_shards, records_of

UNKNOWN_BUILD_NUMBER = -1


class LockPlanner(Planner):
    """Locked packages of other channels than the upstream's are left out, when there is an upstream; else all addresses are followed."""

    async def plan(self) -> Plan:
        plan = Plan()
        wanted: dict[str, dict[str, LockedPackage]] = defaultdict(dict)
        for package in self.config.lock or ():
            if self._is_ours(package, plan):
                wanted[package.subdir][package.filename] = package
        self.progress.phase("index")
        states = await self.states()
        for subdir in sorted({*wanted, *states, *self.config.subdirs}):
            records = await self._upstream_records(subdir, wanted[subdir], plan)
            await self._plan_subdir(subdir, wanted[subdir], records, plan)
        self.progress.phase("plan")
        await self._sort((), plan)
        return plan

    def _is_ours(self, package: LockedPackage, plan: Plan) -> bool:
        key = (package.subdir, package.filename)
        if self.config.upstreams and not any(_beneath(package.url, upstream) for upstream in self.config.upstreams):
            plan.left_out[key] = "it is of another channel"
            return False
        if self.config.subdirs and package.subdir not in self.config.subdirs:
            plan.left_out[key] = "its subdir is not mirrored"
            return False
        try:
            check_filename(package.filename)
            if not (package.sha256 or package.md5):
                raise BadRecord("the lock has no hash of it, so nothing could verify it")
        except BadRecord as error:
            plan.refused.append(Refused(*key, str(error)))
            return False
        return True

    async def _upstream_records(self, subdir: str, wanted: Mapping[str, LockedPackage], plan: Plan) -> dict[str, UpstreamRecord]:
        """filename -> the upstream's own record of those that it has with the very bytes of the lock."""
        if not wanted:
            return {}
        for upstream in self.config.upstreams:
            try:
                reading = await read_index(self.fetcher, upstream, subdir, None, shards=True)
            except UpstreamError as error:
                # The packages may be there even so; then their own metadata has to do.
                self.progress.log(error.detail)
                continue
            found = await self._records_in(reading, wanted)
            if found:
                return {one.filename: one for one in found if _is_locked(one, wanted[one.filename])}
        return {}

    async def _records_in(self, reading: Reading, wanted: Mapping[str, LockedPackage]) -> list[UpstreamRecord]:
        ignored: list[Refused] = []
        if reading.state.kind == "shards":
            names = {split_filename(filename).name for filename in wanted} & reading.shards.keys()
            contents = await read_shards(self.fetcher, reading, sorted(names))
            return [record for content in contents.values() for record in content.records if record.filename in wanted]
        return list(records_of(reading, [entry for entry in reading.entries if entry.filename in wanted], ignored))

    async def _plan_subdir(
        self, subdir: str, wanted: Mapping[str, LockedPackage], records: Mapping[str, UpstreamRecord], plan: Plan
    ) -> None:
        known = await self.on_target(lambda: self.target.known(subdir, None))
        for filename, package in sorted(wanted.items()):
            record = records.get(filename) or provisional(package)
            before = known.get(filename)
            if before is None or not same_bytes(before, record.facts):
                if before is not None:
                    plan.replaced.append(Replaced(record, before))
                plan.fetch.append(Wanted(record, aside=before is not None and self.config.replaced == "hold"))
            elif record.raw and (before.digest != record.digest or before.left):
                plan.changed.append(record)
            else:
                plan.unchanged += 1
        gone = [(subdir, filename) for filename, one in sorted(known.items()) if filename not in wanted]
        if self.config.removed == "drop":
            plan.take += gone
        else:
            plan.left += [key for key in gone if not known[key[1]].left]
        plan.states[subdir] = SubdirState(kind="lock", count=len(wanted), records=len(wanted))


def provisional(package: LockedPackage) -> UpstreamRecord:
    """A record that knows no more than the lock; the package's own metadata completes it. raw is empty until then."""
    name = split_filename(package.filename)
    facts = Facts(
        name=name.name,
        version=name.version,
        build=name.build,
        build_number=UNKNOWN_BUILD_NUMBER,
        size=package.size or None,
        sha256=package.sha256 or None,
        md5=package.md5 or None,
        subdir=package.subdir,
    )
    section: Section = "packages.conda" if name.extension == ".conda" else "packages"
    return UpstreamRecord(
        package.subdir, package.filename, section, name.name, package.size, b"", b"", b"", package.url, package.url, locked=facts
    )


def _is_locked(record: UpstreamRecord, package: LockedPackage) -> bool:
    if record.sha256 and package.sha256:
        return record.sha256 == package.sha256
    return bool(record.md5) and record.md5 == package.md5


def _beneath(url: str, channel: str) -> bool:
    package, base = urlsplit(url), urlsplit(channel)
    return (package.scheme, package.netloc) == (base.scheme, base.netloc) and package.path.startswith(base.path)
