"""How a build ends: completed with its lock and packages and perhaps current, or failed with a sentence; told, audited, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext_noop

from channels_app.services.policies import hidden_matching
from condahub.accounts.models import User
from condahub.accounts.policy import SYSTEM
from condahub.audit.services import record as audit
from condahub.engine.lock import HubLock
from condahub.engine.protocol import Conflict
from condahub.engine.versions import exact_name, parse_spec
from condahub.errors import HubError
from condahub.events.services import emit
from condahub.jobs import services as jobs
from condahub.jobs.context import JobCancelled, JobContext
from condahub.jobs.models import Job
from condahub.jobs.states import JobState
from environments_app.building import folders
from environments_app.building.context import NO_SCRIPTS, Scripts
from environments_app.models import Build, BuildChannel, BuildPackage, BuildState, Environment, Lock
from environments_app.models.build import MAX_SENTENCE_CHARS
from environments_app.services.builds import keep_members, move
from environments_app.spec import SpecInvalid, parse

MAX_HIDDEN = 50
# What an event says of a failure: it reaches people who may not read every channel that the build is made of.
REASONS: Mapping[str, str] = {
    "unsolvable": gettext_noop("it can't be solved"),
    "timed_out": gettext_noop("it took too long"),
    "out_of_memory": gettext_noop("it needed too much memory"),
    "environment_too_large": gettext_noop("it is too large"),
    "quota_exceeded": gettext_noop("the organization's quota is used up"),
    "storage_full": gettext_noop("there is no room left on the builder"),
    "channel_withdrawn": gettext_noop("a channel can't be read any more"),
    "author_gone": gettext_noop("whoever asked for it has no account here any more"),
    "worker_lost": gettext_noop("its worker died"),
}


@dataclass(frozen=True)
class Made:
    """What a finished build has. prefix: the folder's key, its own or an earlier build's; '' for none."""

    lock: HubLock
    prefix: str
    size: int
    link_scripts: tuple[str, ...] = ()
    scripts: Scripts = NO_SCRIPTS


def keep_lock(lock: HubLock) -> Lock:
    """The row of a lock: equal ones are one."""
    content = lock.to_bytes()
    row, _ = Lock.objects.get_or_create(
        sha256=lock.sha256, defaults={"packages_sha256": lock.packages_sha256, "content": content, "size": len(content)}
    )
    return row


def same_packages(build: Build, lock: HubLock, fits: Callable[[Build], bool]) -> Build | None:
    """An earlier build of the environment that is on the disk and has the same packages and variables, and fits."""
    earlier = build.environment.builds.filter(
        state=BuildState.COMPLETED, archived_at__isnull=True, lock__packages_sha256=lock.packages_sha256
    )
    for one in earlier.exclude(prefix="").select_related("lock").order_by("-number"):
        same = one.request.get("variables", {}) == build.request.get("variables", {})
        if same and fits(one) and folders.prefix(one.prefix).is_dir():
            return one
    return None


def complete(build: Build, job: JobContext, made: Made, timings: Mapping[str, float]) -> None:
    """Record what was made, and make it current if it is newer than every completed build. Raises LeaseLost, Forbidden."""
    with transaction.atomic():
        environment = Environment.objects.select_for_update(of=("self",)).select_related("organization").get(pk=build.environment_id)
        require_lease(job.job)
        lock = keep_lock(made.lock)
        rows = list(package_rows(build, made.lock))
        BuildPackage.objects.filter(build=build).delete()
        BuildPackage.objects.bulk_create(rows, batch_size=500)
        # Asked for before it completes itself.
        newest = environment.builds.filter(state=BuildState.COMPLETED).order_by("-number").values_list("number", flat=True).first()
        moved = move(
            build,
            BuildState.COMPLETED,
            lock=lock,
            prefix=made.prefix,
            size=made.size,
            package_count=_count(made.lock),
            timings=dict(timings),
            link_scripts=list(made.link_scripts),
            ran_scripts=list(made.scripts.ran),
            scripts_sha256=made.scripts.sha256,
            scripts_size=made.scripts.size,
        )
        if not moved:
            raise jobs.LeaseLost(str(job.job))
        for channel in made.lock.channels:
            BuildChannel.objects.filter(build=build, name=channel.name).update(revision=channel.revision)
        keep_members(build)
        if environment.deleted_at is None and (newest is None or build.number > newest):
            environment.current_build, environment.current_is_chosen = build, False
            environment.save(update_fields=["current_build", "current_is_chosen"])
        audit(
            actor=SYSTEM,
            action="build.complete",
            target=f"build:{build}",
            organization_id=environment.organization_id,
            details={
                "lock": lock.sha256,
                "packages": len(rows),
                "key": made.prefix,
                "author": build.author,
                **({"ran_scripts": len(made.scripts.ran), "scripts_sha256": made.scripts.sha256} if made.scripts.sha256 else {}),
            },
        )
        emit(
            type="build.finished",
            target=environment,
            object_name=str(build),
            object_id=build.pk,
            payload={"environment": str(environment), "number": build.number},
            tell=_author_ids(build),
        )


def fail(build: Build, *, error: HubError, timings: Mapping[str, float], conflict: Mapping[str, Any] | None = None) -> bool:
    """Record why it failed. False when it had ended by then."""
    detail: dict[str, Any] = {"phase": build.phase, "hint": error.hint}
    if conflict is not None:
        known = msgspec.convert(conflict, Conflict)
        detail |= explained(build.specification.text, known)
        detail["hidden"] = _hidden(build, [*(one.spec for one in known.specs), *known.missing])
    sentence = error.detail[:MAX_SENTENCE_CHARS]
    with transaction.atomic():
        if not move(
            build, BuildState.FAILED, error_code=error.code[:64], error_sentence=sentence, error_detail=detail, timings=dict(timings)
        ):
            return False
        environment = Environment.objects.select_related("organization").get(pk=build.environment_id)
        audit(
            actor=SYSTEM,
            action="build.fail",
            target=f"build:{build}",
            organization_id=environment.organization_id,
            details={"code": error.code, "author": build.author},
        )
        emit(
            type="build.failed",
            target=environment,
            object_name=str(build),
            object_id=build.pk,
            payload={
                "environment": str(environment),
                "number": build.number,
                "code": error.code,
                "reason": REASONS.get(error.code, gettext_noop("the build says why")),
            },
            tell=_author_ids(build),
        )
    return True


def _author_ids(build: Build) -> list[int]:
    return list(User.objects.filter(username=build.author).values_list("pk", flat=True))


def require_lease(job: Job) -> None:
    """Raise LeaseLost where the job is another worker's by now, JobCancelled where somebody asked to stop it."""
    held = Job.objects.select_for_update().filter(pk=job.pk, fencing=job.fencing, state=JobState.RUNNING)
    asked = held.values_list("cancel_requested", flat=True).first()
    if asked is None:
        raise jobs.LeaseLost(str(job))
    if asked:
        raise JobCancelled(str(job))


def _count(lock: HubLock) -> int:
    """Of this machine's platform, else of the first that there is."""
    platform = lock.platforms.get(folders.current_platform()) or next(iter(lock.platforms.values()), None)
    return len(platform.conda) + len(platform.pypi) if platform is not None else 0


def package_rows(build: Build, lock: HubLock) -> Iterable[BuildPackage]:
    """What a lock says of a build's packages, not saved yet."""
    requested = by_name(build.request.get("dependencies", []))
    wheels = by_name(build.request.get("pip", []))
    for subdir, platform in lock.platforms.items():
        for record in platform.conda:
            yield BuildPackage(
                build=build,
                kind=BuildPackage.Kind.CONDA,
                platform=subdir,
                name=record.name,
                version=record.version,
                build_string=record.build,
                build_number=record.build_number,
                subdir=record.subdir,
                channel=record.channel,
                filename=record.filename,
                sha256=record.sha256,
                size=record.size or 0,
                license=record.license[:200],
                requested=requested.get(record.name, "")[:500],
            )
        for wheel in platform.pypi:
            yield BuildPackage(
                build=build,
                kind=BuildPackage.Kind.PYPI,
                platform=subdir,
                name=wheel.name,
                version=wheel.version,
                channel=wheel.index[:255],
                filename=wheel.filename,
                sha256=wheel.sha256,
                size=wheel.size or 0,
                license=wheel.license[:200],
                requested=wheels.get(wheel.name.lower().replace("_", "-").replace(".", "-"), "")[:500],
            )


def by_name(lines: Iterable[str]) -> dict[str, str]:
    """The line that asks for a package, by the package's name."""
    found: dict[str, str] = {}
    for line in lines:
        name = exact_name(parse_spec(line)) or line.partition("[")[0].partition(" ")[0]
        found.setdefault(name.lower().replace("_", "-").replace(".", "-"), line)
        found.setdefault(name.lower(), line)
    return found


def explained(text: str, conflict: Conflict) -> dict[str, Any]:
    """The solver's tree, and each line of the person's own that it speaks of, with its number. text: the specification."""
    try:
        _, spec = parse(text, public_url=settings.CONDAHUB_PUBLIC_URL)
        lines = {line.text: line.line for line in spec.dependencies}
    except SpecInvalid:
        lines = {}
    return {
        "platform": conflict.platform,
        "tree": conflict.text,
        "specs": [{"spec": one.spec, "why": one.why, "line": lines.get(one.spec, 0)} for one in conflict.specs],
        "missing": list(conflict.missing),
    }


def _hidden(build: Build, specs: Iterable[str]) -> list[dict[str, str]]:
    """The candidates for these that policy keeps back; each names its channel, whose readers alone are told of it."""
    found: dict[int, dict[str, str]] = {}
    platforms = {*build.request.get("platforms", []), "noarch"}
    channels = [row.channel for row in build.made_of.select_related("channel") if row.channel is not None]
    for spec in dict.fromkeys(spec.rpartition("::")[2].strip() for spec in specs):
        if exact_name(parse_spec(spec)) is None:
            continue
        for channel in channels:
            for file in hidden_matching(channel, spec):
                if file.subdir in platforms and len(found) < MAX_HIDDEN:
                    row = {"spec": spec, "channel": channel.name, "subdir": file.subdir, "filename": file.filename}
                    found.setdefault(file.pk, {**row, "verdict": file.verdict, "reason": file.verdict_reason})
    return list(found.values())
