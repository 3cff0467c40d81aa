"""How a build chooses among the packages that would do: until which day it looks, what it updates, what it keeps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from condahub.accounts.policy import Actor
from condahub.engine.lock import HubLock, PlatformLock
from condahub.errors import Conflict, Unprocessable
from environments_app.models import Build, Environment, SpecificationKind


@dataclass(frozen=True)
class Choices:
    """exclude_newer: nothing that was made after this moment. update: these anew, all others stay at the current build's versions where
    that goes. keep: these stay as they are in the current build, whatever else it costs.
    """

    exclude_newer: datetime | None = None
    update: Collection[str] = ()
    keep: Collection[str] = ()

    def values(self, actor: Actor, environment: Environment | None, kind: SpecificationKind) -> dict[str, Any]:
        """What a request says of them, nothing where nothing was chosen. Raises Unprocessable, Conflict."""
        if (self.exclude_newer or self.update or self.keep) and kind != SpecificationKind.YAML:
            raise Unprocessable(
                "A lock file leaves nothing to choose.", code="nothing_to_choose", hint="Leave update, keep and exclude_newer out."
            )
        made: dict[str, Any] = {}
        if self.exclude_newer is not None:
            made["exclude_newer"] = self.exclude_newer.astimezone(UTC).isoformat()
        if self.update or self.keep:
            if environment is None:
                raise Unprocessable(
                    "Only what an environment's current build holds can be updated or kept.",
                    code="no_such_build",
                    hint="Name the environment, or leave update and keep out.",
                )
            update, keep = (sorted({name.lower() for name in names}) for names in (self.update, self.keep))
            made |= {"update": update, "keep": keep, "previous": _previous(actor, environment, {*update, *keep}).number}
        return made


def _previous(actor: Actor, environment: Environment, names: Collection[str]) -> Build:
    # What is in a build is told to those alone who may read all that it is made of.
    build = Build.objects.visible_to(actor).select_related("lock").filter(pk=environment.current_build_id or 0).first()
    if build is None or build.lock is None:
        raise Conflict(
            f"'{environment}' has no current build that you may see, whose versions could stay.",
            code="no_such_build",
            hint="Build it first.",
        )
    lock = HubLock.from_bytes(bytes(build.lock.content))
    there = {record.name for platform in lock.platforms.values() for record in platform.conda}
    if unknown := sorted(set(names) - there):
        raise Unprocessable(
            f"There is no conda package '{unknown[0][:60]}' in build {build.number}, the current one.",
            code="not_in_build",
            hint="'update' and 'keep' name packages of the current build.",
        )
    return build


def chosen(environment_id: int | None, request: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Solve that follow from a request. Raises Unprocessable where the build is gone whose versions should stay."""
    made: dict[str, Any] = {"channel_priority": request.get("channel_priority", "strict")}
    if "exclude_newer" in request:
        made["exclude_newer"] = datetime.fromisoformat(request["exclude_newer"])
    if "previous" in request:
        earlier = Build.objects.filter(environment=environment_id, number=request["previous"]).select_related("lock").first()
        if earlier is None or earlier.lock is None:
            raise Unprocessable(f"Build {request['previous']}, whose versions should stay, is gone.", code="no_such_build")
        made |= {"previous": _staying(HubLock.from_bytes(bytes(earlier.lock.content)), request), "keep": tuple(request["keep"])}
    return made


def _staying(lock: HubLock, request: Mapping[str, Any]) -> HubLock:
    """What of the earlier lock the solver is shown: without what is updated; with nothing to update, what is kept alone."""

    def stays(name: str) -> bool:
        return name not in request["update"] if request["update"] else name in request["keep"]

    platforms = {
        subdir: PlatformLock(conda=tuple(record for record in platform.conda if stays(record.name)))
        for subdir, platform in lock.platforms.items()
    }
    return HubLock.of(channels=lock.channels, platforms=platforms)
