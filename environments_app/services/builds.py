"""Builds: asked for with a specification, moved through their states, cancelled, pinned, deleted."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from channels_app.models import Channel, ChannelKind, VirtualMember
from channels_app.virtual import walls
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, can, require
from condahub.audit.services import record as audit
from condahub.errors import Conflict
from condahub.jobs import services as jobs
from condahub.names import check_name
from environments_app.models import (
    FINAL_STATES,
    Build,
    BuildChannel,
    BuildMember,
    BuildState,
    Environment,
    Specification,
    SpecificationKind,
)
from environments_app.models.states import check_transition
from environments_app.services import environments, sharing
from environments_app.services.choices import Choices
from environments_app.services.policies import settings_for
from environments_app.services.requests import Request, request_for
from environments_app.spec import Problem, Spec, SpecInvalid, parse

BUILD_KIND = "environments.build"
DROP_PREFIX_KIND = "environments.drop_prefix"
KEY_BYTES = 6
_UNFINISHED = tuple(state for state in BuildState if state not in FINAL_STATES)


@dataclass(frozen=True)
class Validated:
    """A specification that could be built, as far as one can tell without solving it."""

    kind: SpecificationKind
    spec: Spec
    request: Request


def validate(*, actor: Actor, text: str, organization: Organization | None = None, environment: Environment | None = None) -> Validated:
    """Read a specification and hold it against the settings there and the actor's rights. Raises SpecInvalid."""
    kind, spec = parse(text, public_url=settings.CONDAHUB_PUBLIC_URL)
    return Validated(kind, spec, request_for(actor, spec, settings_for(organization, environment)))


def may_submit(actor: Actor, organization: Organization, environment: Environment | None) -> None:
    """Whether the actor may have something built there. Raises NotAuthenticated or Forbidden."""
    if environment is None:
        require(actor, Permission.ENVIRONMENT_CREATE, organization)
        require(actor, Permission.BUILD_CREATE, organization)
    else:
        require(actor, Permission.ENVIRONMENT_UPDATE, environment)
        require(actor, Permission.BUILD_CREATE, environment)


def submit_specification(
    *,
    actor: Actor,
    organization: Organization,
    text: str,
    name: str = "",
    description: str | None = None,
    choices: Choices | None = None,
) -> Build:
    """Have a specification built; the environment is made when it is not there. Its name: `name`, else the specification's.

    Raises Forbidden, SpecInvalid, Conflict. The same specification that still waits or runs is
    not built twice: its build is returned.
    """
    environment = _existing(organization, name) if name else None
    if name:
        may_submit(actor, organization, environment)
    kind, spec = parse(text, public_url=settings.CONDAHUB_PUBLIC_URL)
    if not name:
        name = _named_in(spec)
        environment = _existing(organization, name)
        may_submit(actor, organization, environment)
    check_name(name, what="an environment")
    request = request_for(actor, spec, settings_for(organization, environment))
    with transaction.atomic():
        if environment is None:
            about = description if description is not None else spec.description
            environment = environments.create_environment(actor=actor, organization=organization, name=name, description=about)
        environment = environments.lock(environment)
        if environment.archived_at is not None:
            raise Conflict(f"'{environment}' is archived.", code="environment_archived", hint="Bring it back first.")
        request.values.update((choices or Choices()).values(actor, environment, kind))
        return _queue(actor, environment, Validated(kind, spec, request), text)


def build_again(*, actor: Actor, build: Build) -> Build:
    """Have a build's specification built anew, with today's channels and settings, as the next build of its environment.

    Raises Forbidden, SpecInvalid, Conflict.
    """
    return submit_specification(
        actor=actor, organization=build.environment.organization, text=build.specification.text, name=build.environment.name
    )


def _named_in(spec: Spec) -> str:
    if not spec.name:
        raise SpecInvalid([Problem(0, "no_name", "The specification has no name.", "Add 'name:', or name the environment beside it.")])
    return spec.name


def _existing(organization: Organization, name: str) -> Environment | None:
    found = Environment.objects.existing().select_related("organization", "current_build")
    return found.filter(organization=organization, name=name).first()


def _queue(actor: Actor, environment: Environment, validated: Validated, text: str) -> Build:
    """Record the build and its job; the environment's row is taken."""
    specification = _keep(actor, environment.organization, validated, text)
    values = validated.request.values
    for build in environment.builds.filter(specification=specification, state__in=_UNFINISHED).order_by("-number"):
        if build.request == values:
            return build
    shared = sharing.share(actor=actor, environment=environment, visibility=environment.visibility, channels=validated.request.channels)
    environment.last_number += 1
    environment.save(update_fields=["last_number"])
    build = Build.objects.create(
        environment=environment,
        number=environment.last_number,
        key=secrets.token_hex(KEY_BYTES),
        specification=specification,
        request=values,
        author=actor.label,
    )
    BuildChannel.objects.bulk_create(
        BuildChannel(build=build, channel=channel, name=channel.name, organization_id=channel.organization_id, position=position)
        for position, channel in enumerate(validated.request.channels)
    )
    keep_members(build)
    build.job = jobs.enqueue(
        kind=BUILD_KIND,
        payload={"build": build.pk},
        organization_id=environment.organization_id,
        actor_label=actor.label,
    )
    build.save(update_fields=["job"])
    _audit(actor, "build.create", build, {"specification": specification.sha256, "shared_channels": shared})
    return build


def keep_members(build: Build) -> None:
    """Record what the build's virtual channels show: now and, once its lock says, at the revisions that it found them at.

    In the caller's transaction. What is recorded stays: who may not read one of them may not read the build.
    """
    found: set[tuple[int, int]] = set()
    for virtual, revision in build.made_of.filter(channel__kind=ChannelKind.VIRTUAL).values_list("channel", "revision"):
        members = set(VirtualMember.objects.filter(virtual=virtual).values_list("member", flat=True))
        if revision is not None:
            members |= walls.vector_of(virtual, revision).keys()
        found |= {(virtual, member) for member in members}
    if found:
        homes = dict(Channel.objects.filter(pk__in={member for _, member in found}).values_list("pk", "organization"))
        rows = (
            BuildMember(build=build, virtual_id=virtual, member_id=member, organization_id=homes[member])
            for virtual, member in sorted(found)
            if member in homes
        )
        BuildMember.objects.bulk_create(rows, ignore_conflicts=True)


def _keep(actor: Actor, organization: Organization, validated: Validated, text: str) -> Specification:
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    kept, _ = Specification.objects.get_or_create(
        organization=organization,
        sha256=sha256,
        defaults={"kind": validated.kind, "text": text, "canonical": validated.spec.canonical(), "author": actor.label},
    )
    return kept


def move(build: Build, target: BuildState, **values: Any) -> bool:
    """The one place where a build's state changes. False when it was in another state by now."""
    check_transition(BuildState(build.state), target)
    if target is not BuildState.RUNNING:
        values.setdefault("phase", "")
    if target in FINAL_STATES:
        values.setdefault("ended_at", timezone.now())
    moved = Build.objects.filter(pk=build.pk, state=build.state).update(state=target, **values)
    if moved:
        build.state = target
        for name, value in values.items():
            setattr(build, name, value)
    return bool(moved)


def cancel_build(*, actor: Actor, build: Build) -> Build:
    """Stop a build in whatever phase; one that has ended stays as it is. Raises Forbidden."""
    if not (can(actor, Permission.BUILD_CANCEL, build) or can(actor, Permission.JOB_CANCEL, build)):
        require(actor, Permission.BUILD_CANCEL, build)
    with transaction.atomic():
        build = Build.objects.select_for_update(of=("self",)).select_related("environment__organization", "job").get(pk=build.pk)
        if build.state in FINAL_STATES:
            return build
        _stop(actor, build)
        _audit(actor, "build.cancel", build, {})
    return build


def cancel_unfinished(actor: Actor, environment: Environment) -> None:
    """Stop everything that an environment still waits for; in the caller's transaction."""
    waiting = environment.builds.select_for_update(of=("self",)).filter(state__in=_UNFINISHED)
    for build in waiting.select_related("environment__organization", "job"):
        _stop(actor, build)


def _stop(actor: Actor, build: Build) -> None:
    """A queued build ends here. A running one is ended by its worker, which the job tells."""
    if build.job is not None and not build.job.is_final:
        jobs.cancel(actor, build.job)
    if build.state == BuildState.QUEUED or build.job is None or build.job.is_final:
        move(build, BuildState.CANCELLED)


def pin_build(*, actor: Actor, build: Build, pinned: bool) -> Build:
    """Keep a build from retention, or let it go. Raises Forbidden."""
    require(actor, Permission.ENVIRONMENT_UPDATE, build)
    if build.pinned != pinned:
        with transaction.atomic():
            Build.objects.filter(pk=build.pk).update(pinned=pinned)
            build.pinned = pinned
            _audit(actor, "build.pin" if pinned else "build.unpin", build, {})
    return build


def delete_build(*, actor: Actor, build: Build) -> None:
    """Remove an ended build. Raises Forbidden, Conflict for the current, a pinned and an unfinished one."""
    require(actor, Permission.BUILD_DELETE, build)
    with transaction.atomic():
        environment = environments.lock(build.environment)
        build = Build.objects.select_for_update(of=("self",)).get(pk=build.pk)
        build.environment = environment
        reasons = (
            (environment.current_build_id == build.pk, "build_is_current", "the current one", "Activate another first."),
            (build.pinned, "build_is_pinned", "pinned", "Unpin it first."),
            (build.state not in FINAL_STATES, "build_not_ended", f"still {build.state}", "Cancel it first."),
        )
        for holds, code, word, hint in reasons:
            if holds:
                raise Conflict(f"Build {build.number} is {word}.", code=code, hint=hint)
        _audit(actor, "build.delete", build, {"key": build.key})
        prefix = build.prefix
        build.delete()
        environments.ask_for_links(environment)
        drop_prefix(prefix)


def drop_prefix(prefix: str) -> None:
    """Have a folder removed that no build is in any more, after the caller's transaction; one that is still needed stays."""
    if prefix:
        jobs.enqueue(kind=DROP_PREFIX_KIND, payload={"prefix": prefix}, coalesce_key=prefix, actor_label="the hub")


def _audit(actor: Actor, action: str, build: Build, details: dict[str, Any]) -> None:
    audit(actor=actor, action=action, target=f"build:{build}", organization_id=build.environment.organization_id, details=details)
