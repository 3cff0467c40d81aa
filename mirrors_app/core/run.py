"""One run of a mirror: plan, verified downloads, one atomic publication, and an honest word at the end."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from condahub.errors import HubError
from mirrors_app.core.config import MirrorConfig
from mirrors_app.core.cycles import seldom_collected
from mirrors_app.core.download import Downloader, Downloads, Progress
from mirrors_app.core.errors import Cancelled, WindowClosed
from mirrors_app.core.fetch import Fetcher
from mirrors_app.core.filters import Broken
from mirrors_app.core.inspector import Depth
from mirrors_app.core.locked import LockPlanner
from mirrors_app.core.plan import Held, Plan, summary
from mirrors_app.core.planning import Planner
from mirrors_app.core.records import Refused, UpstreamRecord
from mirrors_app.core.target import Publication, SubdirState, Target
from mirrors_app.core.upstream import read_index

Status = Literal["ok", "partial", "held", "failed"]
# A second look when the upstream's index moved while its packages were fetched.
MAX_PASSES = 2


@dataclass(slots=True)
class RunReport:
    """ok: the target shows what the upstream has, as far as it was asked for; partial: all but what `refused` and `replaced` name;
    held: nothing was changed until somebody approves; failed: nothing was changed, `reason` says why.

    added, changed, removed, kept_though_gone: (subdir, filename); replaced: the same name with other bytes, (subdir, filename, old
    sha256, new sha256); left_out: reason -> how many; bytes: downloaded of packages; received_bytes: of everything.
    """

    status: Status = "ok"
    reason: str = ""
    hint: str = ""
    added: list[tuple[str, str]] = field(default_factory=list)
    changed: list[tuple[str, str]] = field(default_factory=list)
    removed: list[tuple[str, str]] = field(default_factory=list)
    kept_though_gone: list[tuple[str, str]] = field(default_factory=list)
    replaced: list[tuple[str, str, str, str]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    unchanged: int = 0
    files: int = 0
    bytes: int = 0
    received_bytes: int = 0
    seconds: float = 0.0
    upstream_moved: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For a history, a log, --json."""
        table = {name: getattr(self, name) for name in self.__slots__}
        table["refused"] = [one._asdict() for one in self.refused]
        table["broken"] = [one._asdict() for one in self.broken]
        table["held"] = [one._asdict() for one in self.held]
        table["left_out"] = dict(self.left_out)
        return table

    def sentence(self) -> str:
        """One line for people."""
        counts = {
            "added": len(self.added),
            "with new metadata": len(self.changed),
            "removed": len(self.removed),
            "gone upstream and kept": len(self.kept_though_gone),
            "with other bytes under the same name": len(self.replaced),
            "refused": len(self.refused),
        }
        return self.reason or summary(counts)


class Silent:
    """A Progress that nobody watches."""

    def phase(self, name: str) -> None: ...

    def planned(self, files: int, size_bytes: int) -> None: ...

    def received(self, count_bytes: int) -> None: ...

    def finished(self, files: int) -> None: ...

    def log(self, line: str) -> None: ...


async def sync(
    config: MirrorConfig,
    target: Target,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] = lambda: False,
    depth: Depth = "whole",
) -> RunReport:
    """Bring the target to the upstream's present revision. Never raises for what an upstream, a disk or a package does: the report says it.

    cancelled: asked before each request; when true the run ends as failed, what was fetched stays for the next one. depth: how much of
    each package is read and checked; `identity` is enough for a target that copies bytes and shows the upstream's own records.
    """
    report = RunReport()
    started = time.monotonic()
    watcher = progress or Silent()

    def check() -> None:
        if cancelled():
            raise Cancelled("The run was cancelled.", hint="What was fetched so far is kept; the next run goes on from there.")

    with seldom_collected(), ThreadPoolExecutor(1, "mirror-target") as thread:
        try:
            async with Fetcher(config.fetch, config.credentials, check=check) as fetcher:
                for _ in range(MAX_PASSES):
                    await _Pass(config, target, thread, fetcher, watcher, report, depth).run()
                    if not report.upstream_moved or report.status != "partial":
                        break
                report.received_bytes = fetcher.received_bytes
        except HubError as error:
            report.status, report.reason, report.hint = "failed", error.detail, error.hint
    report.seconds = time.monotonic() - started
    return report


async def plan(config: MirrorConfig, target: Target, *, progress: Progress | None = None) -> Plan:
    """What `sync` would do; the target is only read. Raises HubError when the upstream can't be read."""
    with ThreadPoolExecutor(1, "mirror-target") as thread:
        async with Fetcher(config.fetch, config.credentials) as fetcher:
            return await _planner(config, target, thread, fetcher, progress or Silent()).plan()


def _planner(config: MirrorConfig, target: Target, thread: Executor, fetcher: Fetcher, progress: Progress) -> Planner:
    kind = Planner if config.lock is None else LockPlanner
    return kind(config, target, thread, fetcher, progress)


class _Pass:
    """One plan and its execution; a run may need a second one."""

    def __init__(
        self,
        config: MirrorConfig,
        target: Target,
        thread: Executor,
        fetcher: Fetcher,
        progress: Progress,
        report: RunReport,
        depth: Depth,
    ) -> None:
        self.config, self.target, self.thread, self.fetcher = config, target, thread, fetcher
        self.progress, self.report, self.depth = progress, report, depth
        self.planner = _planner(config, target, thread, fetcher, progress)

    async def run(self) -> None:
        report = self.report
        report.refused, report.upstream_moved, report.status = [], False, "ok"
        before = await self.planner.states()
        plan = await self.planner.plan()
        report.held = plan.held
        if plan.held:
            report.status = "held"
            report.reason = " ".join(f"{one.subdir}: {one.reason}" for one in plan.held)
            report.hint = "What was there goes on being shown. Look at the upstream, then approve its index or wait for a better one."
            return
        self.progress.planned(len(plan.fetch), plan.fetch_bytes)
        downloads = await self._download(plan)
        if isinstance(downloads.stopped, Cancelled) or (downloads.stopped is not None and not isinstance(downloads.stopped, WindowClosed)):
            raise downloads.stopped
        await self._publish(plan, downloads)
        self._tell(plan, downloads, before)
        if plan.lost or downloads.refused:
            report.upstream_moved = await self._moved(plan)

    async def _download(self, plan: Plan) -> Downloads:
        if not plan.fetch:
            return Downloads()
        self.progress.phase("download")
        upstream = self.planner.upstream
        downloader = Downloader(
            self.fetcher,
            self.target,
            self.thread,
            progress=self.progress,
            workers=self.config.fetch.connections_per_host,
            fallbacks=[url for url in self.config.upstreams if url != upstream],
            depth=self.depth,
        )
        return await downloader.run(plan.fetch)

    async def _publish(self, plan: Plan, downloads: Downloads) -> None:
        self.progress.phase("publish")
        aside = {one.record.key for one in plan.fetch if one.aside}
        came = [one for one in downloads.fetched if one.key not in aside]
        put = [*plan.reuse, *came, *plan.changed]
        if not (put or plan.take or plan.left or plan.states):
            return
        publication = Publication(
            put=put,
            take=plan.take,
            left=plan.left,
            states=_honest_states(plan, downloads),
            raw=plan.raw,
            moved=plan.moved,
            summary=summary({"added": len(plan.reuse) + len(came), "changed": len(plan.changed), "removed": len(plan.take)}),
        )
        await self.planner.on_target(lambda: self.target.publish(publication))

    def _tell(self, plan: Plan, downloads: Downloads, before: Mapping[str, SubdirState]) -> None:
        report = self.report
        aside = {one.record.key for one in plan.fetch if one.aside}
        follow = self.config.replaced == "follow"
        replaced = {one.record.key: one for one in plan.replaced}
        came = [*(one.key for one in plan.reuse), *(one.key for one in downloads.fetched if one.key not in aside)]
        report.added += [key for key in came if key not in replaced]
        report.changed += [one.key for one in plan.changed]
        report.removed += plan.take
        report.kept_though_gone += plan.left
        report.replaced = [(*key, one.before.sha256, one.record.sha256) for key, one in replaced.items()]
        report.broken = plan.broken
        report.left_out = defaultdict(int)
        for reason in plan.left_out.values():
            report.left_out[reason] += 1
        report.unchanged = plan.unchanged
        report.files += len(downloads.fetched)
        report.bytes += downloads.bytes
        unread = [Refused(subdir, *item) for subdir, state in before.items() if subdir not in plan.states for item in state.refused.items()]
        report.refused = sorted({*plan.refused, *plan.lost, *downloads.refused, *unread})
        if downloads.stopped is not None:
            report.reason, report.hint = downloads.stopped.detail, downloads.stopped.hint
        missing = bool(report.refused or downloads.stopped or (report.replaced and not follow))
        nothing = not (came or plan.changed or plan.take or plan.unchanged or aside)
        report.status = "ok" if not missing else "failed" if nothing and downloads.refused else "partial"
        if report.status == "failed" and not report.reason:
            report.reason = f"None of the {len(downloads.refused)} packages could be had: {downloads.refused[0].reason}"

    async def _moved(self, plan: Plan) -> bool:
        """Whether the upstream's index is another one by now, which would explain packages that were not there."""
        for subdir, state in plan.states.items():
            if not state.url:
                continue
            now = await read_index(self.fetcher, self.planner.upstream, subdir, state, shards=state.kind == "shards")
            if now.standing == "read" and now.state.digest != state.digest:
                self.progress.log(f"{subdir}: the upstream's index changed during the run.")
                return True
        return False


def _honest_states(plan: Plan, downloads: Downloads) -> dict[str, SubdirState]:
    """The states, such that what is missing is looked for again in the next run, and what was refused for good is not."""
    rejected: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for record, reason in downloads.rejected:
        rejected[record.subdir][record.filename] = (record.sha256, reason)
    missing: dict[str, set[str]] = defaultdict(set)
    got = {one.key for one in downloads.fetched}
    names: dict[tuple[str, str], UpstreamRecord] = {one.record.key: one.record for one in plan.fetch}
    for key in names.keys() - got:
        if key[1] not in rejected[key[0]]:
            missing[key[0]].add(names[key].name)
    for one in plan.lost:
        missing[one.subdir].add(one.filename.rsplit("-", 2)[0])
    states = {}
    for subdir, state in plan.states.items():
        changes: dict[str, Any] = {}
        if missing[subdir]:
            changes = {"etag": "", "last_modified": "", "shards": {k: v for k, v in state.shards.items() if k not in missing[subdir]}}
        if rejected[subdir]:
            changes["rejected"] = {**state.rejected, **{name: sha256 for name, (sha256, _) in rejected[subdir].items()}}
            changes["refused"] = {**state.refused, **{name: reason for name, (_, reason) in rejected[subdir].items()}}
        absent = sum(key[0] == subdir for key in names.keys() - got)
        changes["records"] = max(state.records - absent, 0)
        states[subdir] = msgspec.structs.replace(state, **changes)
    return states
