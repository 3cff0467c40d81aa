"""What differs between two builds: packages added, removed, upgraded, downgraded, rebuilt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from condahub.engine.versions import is_newer
from environments_app.models import Build, BuildPackage


class Change(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    UPGRADED = "upgraded"
    DOWNGRADED = "downgraded"
    REBUILT = "rebuilt"


@dataclass(frozen=True, slots=True)
class Difference:
    """One package of one platform. before, after: None where it is not there."""

    change: Change
    platform: str
    kind: str
    name: str
    before: BuildPackage | None
    after: BuildPackage | None

    @property
    def size_change(self) -> int:
        """Bytes that the later build holds more."""
        return (self.after.size if self.after else 0) - (self.before.size if self.before else 0)


def diff(before: Build, after: Build) -> list[Difference]:
    """By platform and name; packages with the same bytes are left out. Two queries."""
    old, new = _by_identity(before.packages.all()), _by_identity(after.packages.all())
    found = []
    for identity in sorted(old.keys() | new.keys()):
        was, now = old.get(identity), new.get(identity)
        change = _change(was, now)
        if change is not None:
            platform, kind, name = identity
            found.append(Difference(change, platform, kind, name, was, now))
    return found


def _by_identity(packages: Iterable[BuildPackage]) -> dict[tuple[str, str, str], BuildPackage]:
    return {(package.platform, package.kind, package.name): package for package in packages}


def _change(was: BuildPackage | None, now: BuildPackage | None) -> Change | None:
    if was is None:
        return Change.ADDED
    if now is None:
        return Change.REMOVED
    if was.sha256 == now.sha256:
        return None
    if is_newer(now.version, was.version):
        return Change.UPGRADED
    if is_newer(was.version, now.version):
        return Change.DOWNGRADED
    # The same version: the higher build number is the later one.
    if now.build_number != was.build_number:
        return Change.UPGRADED if now.build_number > was.build_number else Change.DOWNGRADED
    return Change.REBUILT
