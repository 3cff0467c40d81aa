"""Solves an environment for its platforms through the hub's own channels; runs in a child process."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import rattler
from rattler import Channel as RattlerChannel
from rattler import ChannelPriority, Gateway, GenericVirtualPackage, RepoDataRecord, Version
from rattler.exceptions import GatewayError, SolverError

from condahub.engine.addresses import Addresses
from condahub.engine.conflicts import explain
from condahub.engine.lock import HubLock
from condahub.engine.protocol import SUBDIRS, Conflict, Platform, Progress, Solve, SolveAnswer
from condahub.engine.rattler_records import rattler_record
from condahub.engine.records import CondaRecord, LockedChannel, PlatformLock, record_of
from condahub.engine.specs import match_spec
from condahub.engine.virtual_packages import virtual_packages
from condahub.errors import HubError, Unprocessable

MAX_CONCURRENT_REQUESTS = 16
MIN_SOLVER_SECONDS = 1.0

Say = Callable[[Progress], None]


class Unsolvable(HubError):
    """No choice of packages satisfies everything that was asked for."""

    code = "unsolvable"
    status = 422

    def __init__(self, conflict: Conflict) -> None:
        named = ", ".join(one.spec for one in conflict.specs[:10])
        if conflict.missing:
            why = f": no channel has {', '.join(conflict.missing[:10])}" + (f", for {named}" if named else "")
        else:
            why = f": {named} can't all be had" if named else ""
        super().__init__(f"The environment can't be solved for {conflict.platform}{why}.")
        self.conflict = conflict


class SolveTimedOut(HubError):
    code = "timed_out"
    status = 422
    hint = "Pin more packages to the versions you need, or ask for fewer platforms."


def solve(request: Solve, say: Say) -> SolveAnswer:
    """Solve each platform; raises Unsolvable, SolveTimedOut, Unprocessable, or HubError for channels that can't be read."""
    return asyncio.run(_solve(request, say))


async def _solve(request: Solve, say: Say) -> SolveAnswer:
    deadline = time.monotonic() + request.timeout_seconds
    addresses = Addresses(request.channels, request.token)
    Path(request.cache_folder).mkdir(parents=True, exist_ok=True)
    # A new one for each task: a gateway's memory never looks at a channel twice.
    gateway = Gateway(cache_dir=Path(request.cache_folder), client=addresses.client(), max_concurrent_requests=MAX_CONCURRENT_REQUESTS)
    platforms: dict[str, PlatformLock] = {}
    seconds: dict[str, float] = {}
    for number, platform in enumerate(request.platforms):
        say(Progress("solve", number, len(request.platforms), "platforms"))
        started = time.monotonic()
        platforms[platform.subdir] = await _one(request, platform, addresses, gateway, deadline)
        seconds[platform.subdir] = round(time.monotonic() - started, 3)
    say(Progress("solve", len(request.platforms), len(request.platforms), "platforms"))
    channels = [LockedChannel(channel.name, channel.revision) for channel in request.channels]
    return SolveAnswer(lock=HubLock.of(channels=channels, platforms=platforms), seconds=seconds)


async def _one(request: Solve, platform: Platform, addresses: Addresses, gateway: Gateway, deadline: float) -> PlatformLock:
    if platform.subdir not in SUBDIRS:
        raise Unprocessable(
            f"Environments can't be solved for '{platform.subdir[:40]}'.", code="invalid_platform", hint=f"Use {', '.join(SUBDIRS)}."
        )
    offered = virtual_packages(platform.subdir, platform.virtual_packages)
    specs = (*request.specs, *platform.specs)
    previous = request.previous.platforms.get(platform.subdir) if request.previous is not None else None
    known = previous.conda if previous is not None else ()
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise SolveTimedOut(f"Solving took longer than {request.timeout_seconds:g} seconds.")
    try:
        found = await rattler.solve(
            sources=[RattlerChannel(addresses.index(channel)) for channel in request.channels],
            specs=[match_spec(spec, request.channels) for spec in specs],
            gateway=gateway,
            platforms=[platform.subdir, "noarch"],  # type: ignore[list-item]  # one of SUBDIRS
            locked_packages=_known_records(known, addresses, lambda name: name not in request.keep),
            pinned_packages=_known_records(known, addresses, lambda name: name in request.keep),
            virtual_packages=[_virtual(name, version, build) for name, version, build in offered],
            timeout=datetime.timedelta(seconds=max(MIN_SOLVER_SECONDS, remaining)),
            channel_priority=ChannelPriority.Strict if request.channel_priority == "strict" else ChannelPriority.Disabled,
            exclude_newer=_in_utc(request.exclude_newer),
            strategy=request.strategy,
            constraints=[match_spec(spec, request.channels) for spec in request.constraints],
            # A channel must not be able to bring others in: those of the request are the ones its author may read.
            channel_relations="disabled",
        )
    except SolverError as error:
        said = addresses.scrub(str(error))
        if "timeout" in said.lower() or "timed out" in said.lower() or time.monotonic() >= deadline:
            raise SolveTimedOut(f"Solving took longer than {request.timeout_seconds:g} seconds.") from None
        raise Unsolvable(explain(platform.subdir, said, [*specs, *request.constraints])) from None
    except GatewayError as error:
        raise _unreadable(addresses.scrub(str(error)), request) from None
    records = tuple(_record(record, addresses) for record in found)
    return PlatformLock(conda=records, virtual_packages=tuple(f"{name}={version}={build}" for name, version, build in offered))


def _unreadable(said: str, request: Solve) -> HubError:
    named = [channel.name for channel in request.channels if channel.name in said] or [channel.name for channel in request.channels]
    which = f"The channel {named[0]}" if len(named) == 1 else f"One of the channels {', '.join(named)}"
    return HubError(f"{which} could not be read.", code="channel_unreadable", hint=said[:1000], status=422)


def _in_utc(moment: datetime.datetime | None) -> datetime.datetime | None:
    """rattler replaces the time zone rather than converting."""
    if moment is not None and moment.tzinfo is None:
        raise Unprocessable("exclude_newer needs a time zone.", code="invalid_time")
    return moment.astimezone(datetime.UTC) if moment is not None else None


def _virtual(name: str, version: str, build: str) -> GenericVirtualPackage:
    try:
        return GenericVirtualPackage(rattler.PackageName(name), Version(version), rattler.BuildString(build))
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise Unprocessable(f"'{version[:40]}' can't be the version of {name}.", code="invalid_virtual_package") from None


def _known_records(records: tuple[CondaRecord, ...], addresses: Addresses, wanted: Callable[[str], bool]) -> list[RepoDataRecord]:
    by_name = {channel.name: addresses.index(channel) for channel in addresses.channels}
    return [
        rattler_record(record, channel=by_name[record.channel], address=f"{by_name[record.channel]}{record.subdir}/{record.filename}")
        for record in records
        if record.channel in by_name and wanted(record.name)
    ]


def _record(found: RepoDataRecord, addresses: Addresses) -> CondaRecord:
    facts = msgspec.json.decode(found.to_json(), type=dict)
    channel = addresses.channel_at(str(facts.get("channel") or ""))
    if channel is None or not found.url.startswith(addresses.index(channel)):
        # An index can name addresses outside of its channel; what is there, nobody has allowed.
        raise Unprocessable(f"{found.file_name} does not lie in its channel.", code="foreign_address")
    return record_of(facts, channel=channel.name, subdir=found.subdir, filename=found.file_name)


def would_it_solve(request: Solve, say: Say) -> SolveAnswer:
    """The same, where a conflict is an answer too."""
    try:
        return solve(request, say)
    except Unsolvable as error:
        return SolveAnswer(lock=None, conflict=error.conflict)
