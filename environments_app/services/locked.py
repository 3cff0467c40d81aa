"""Finds the packages of a lock file, by their hashes, in the hub's channels that somebody may read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from channels_app.models import Channel, PackageFile
from channels_app.selectors import channel_for
from condahub.accounts.policy import Actor, Permission
from condahub.engine.lock import HubLock
from condahub.engine.lock_reading import ForeignLock, ForeignPackage, ForeignWheel, hub_lock
from condahub.engine.records import CondaRecord, LockedChannel, PypiRecord, record_of
from condahub.errors import Forbidden, NotAuthenticated, Unprocessable
from environments_app.spec import Problem

# Looked through where the channels that the file names do not have a package.
MAX_OTHER_CHANNELS = 500
MAX_NAMED_IN_PROBLEM = 10
_CHUNK = 200

Key = tuple[str, str]


def find_channels(
    actor: Actor, locked: ForeignLock, named: Iterable[str], allowed: Collection[str] | None, problems: list[Problem]
) -> list[Channel]:
    """The channels that hold all packages of a lock file, those of these names first; what none holds becomes a problem.

    Nothing is told of channels that the actor may not read: what only they hold is missing.
    """
    first = [channel for name in dict.fromkeys(named) if (channel := _readable(actor, name)) and _is_allowed(channel, allowed)]
    packages = list(locked.packages)
    found = _find(packages, first)
    left = [package for package in packages if _key(package) not in found]
    others: list[Channel] = []
    if left:
        rest = Channel.objects.visible_to(actor).select_related("organization").exclude(pk__in=[channel.pk for channel in first])
        others = [channel for channel in rest.order_by("name")[:MAX_OTHER_CHANNELS] if _is_allowed(channel, allowed)]
        found |= _find(left, others)
        left = [package for package in left if _key(package) not in found]
    if left:
        problems.append(_missing(left, [*first, *others]))
    used = {file.channel_id for file in found.values()}
    return [channel for channel in (*first, *others) if channel.pk in used]


def lock_from(locked: ForeignLock, channels: Sequence[Channel]) -> HubLock:
    """The hub's lock of exactly those packages, out of these channels as they are now. Raises Unprocessable where one is gone."""
    found = _find(list(locked.packages), channels)
    names = {channel.pk: channel.name for channel in channels}

    def conda(package: ForeignPackage) -> CondaRecord:
        file = found.get(_key(package))
        if file is None:
            raise Unprocessable(f"{package.filename} is in none of the channels any more.", code="package_gone", hint="Lock again.")
        facts = {**json.loads(file.record), **json.loads(file.patch or "{}")}
        return record_of(facts, channel=names[file.channel_id], subdir=file.subdir, filename=file.filename)

    return hub_lock(
        locked,
        channels=[LockedChannel(channel.name, channel.head or None) for channel in channels],
        conda=conda,
        pypi=_wheel,
    )


def _wheel(wheel: ForeignWheel) -> PypiRecord:
    return PypiRecord(
        name=wheel.name,
        version=wheel.version,
        filename=wheel.filename,
        sha256=wheel.sha256,
        requires=wheel.requires,
        requires_python=wheel.requires_python,
    )


def _readable(actor: Actor, name: str) -> Channel | None:
    try:
        return channel_for(actor, name, Permission.CHANNEL_READ)
    except (Forbidden, NotAuthenticated):
        return None


def _is_allowed(channel: Channel, allowed: Collection[str] | None) -> bool:
    return allowed is None or channel.name in allowed


def _key(package: ForeignPackage) -> Key:
    return package.subdir, package.filename


def _find(packages: Sequence[ForeignPackage], channels: Sequence[Channel]) -> dict[Key, PackageFile]:
    """The file of each package in the first of the channels that has its bytes."""
    order = {channel.pk: position for position, channel in enumerate(channels)}
    best: dict[Key, PackageFile] = {}
    wanted = {_key(package): package for package in packages}
    for file in _files(PackageFile.objects.shown(), packages, channels):
        key = (file.subdir, file.filename)
        package = wanted.get(key)
        if package is None or not _is_same(package, file):
            continue
        if key not in best or order[file.channel_id] < order[best[key].channel_id]:
            best[key] = file
    return best


def _is_same(package: ForeignPackage, file: PackageFile) -> bool:
    if package.sha256:
        return file.sha256 == package.sha256
    # An @EXPLICIT file may say no more than the address.
    return not package.md5 or file.md5 == package.md5


def _files(files: object, packages: Sequence[ForeignPackage], channels: Sequence[Channel]) -> Iterable[PackageFile]:
    """By the index that there is: channel, subdir, file name."""
    by_subdir: dict[str, list[str]] = defaultdict(list)
    for package in packages:
        by_subdir[package.subdir].append(package.filename)
    ids = [channel.pk for channel in channels]
    for subdir, names in by_subdir.items():
        for start in range(0, len(names), _CHUNK):
            yield from files.filter(channel__in=ids, subdir=subdir, filename__in=names[start : start + _CHUNK])  # type: ignore[attr-defined]


def _missing(left: Sequence[ForeignPackage], channels: Sequence[Channel]) -> Problem:
    """One problem for all: what policy keeps back in channels that one may read is told apart from what is not here."""
    wanted = {_key(package): package for package in left}
    names = {channel.pk: channel.name for channel in channels}
    hidden = [file for file in _files(PackageFile.objects.hidden(), left, channels) if _is_same(wanted[(file.subdir, file.filename)], file)]
    if hidden:
        told = ", ".join(f"{file.subdir}/{file.filename} in {names[file.channel_id]}" for file in hidden[:MAX_NAMED_IN_PROBLEM])
        return Problem(0, "held_by_policy", f"Policy keeps back: {told}.", "Ask for it to be released, or lock again without it.")
    told = ", ".join(f"{package.subdir}/{package.filename}" for package in left[:MAX_NAMED_IN_PROBLEM])
    more = f" and {len(left) - MAX_NAMED_IN_PROBLEM} more" if len(left) > MAX_NAMED_IN_PROBLEM else ""
    return Problem(
        0,
        "not_in_hub",
        f"No channel that you may read has, with the same hash: {told}{more}.",
        "Upload or mirror them, or send the environment.yml that the file was made from.",
    )
