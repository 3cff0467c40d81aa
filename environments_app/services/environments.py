"""Create, describe, open and close, archive and delete environments; choose which build is current."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, Visibility, require
from condahub.accounts.services import drop_environment
from condahub.audit.services import record as audit
from condahub.errors import Conflict, Forbidden, Unprocessable
from condahub.events.services import emit
from condahub.jobs import services as jobs
from condahub.names import check_name
from environments_app.models import Build, BuildState, Environment
from environments_app.services import sharing

# Brings the folders that people use up to date; run where they are.
LINKS_KIND = "environments.links"
CHANGEABLE = frozenset({"description", "visibility"})
MAX_DESCRIPTION_CHARS = 20_000


def create_environment(
    *, actor: Actor, organization: Organization, name: str, description: str = "", visibility: str = Visibility.PRIVATE
) -> Environment:
    """An environment without builds. Raises Forbidden, Unprocessable for a name or visibility, Conflict `name_taken`."""
    require(actor, Permission.ENVIRONMENT_CREATE, organization)
    check_name(name, what="an environment")
    _check_visibility(visibility)
    _check_description(description)
    environment = Environment(organization=organization, name=name, description=description, visibility=visibility, created_by=actor.label)
    with transaction.atomic():
        try:
            with transaction.atomic():
                environment.save(force_insert=True)
        except IntegrityError:
            raise Conflict(
                f"'{organization.name}' has an environment '{name}' already.", code="name_taken", hint="Choose another name."
            ) from None
        _audit(actor, "environment.create", environment, {"visibility": visibility})
    return environment


def update_environment(*, actor: Actor, environment: Environment, changes: dict[str, Any]) -> Environment:
    """Describe it, or change who may see it. Raises Forbidden (also by a channel it is made of), Unprocessable."""
    require(actor, Permission.ENVIRONMENT_UPDATE, environment)
    unknown = sorted(set(changes) - CHANGEABLE)
    if unknown:
        raise Unprocessable(f"An environment has no '{unknown[0][:60]}' that can be changed.", code="unknown_setting")
    _check_description(changes.get("description", ""))
    with transaction.atomic():
        environment = lock(environment)
        visibility = changes.get("visibility", environment.visibility)
        if visibility != environment.visibility:
            require(actor, Permission.ENVIRONMENT_PUBLISH, environment)
            _check_visibility(visibility)
        shared: list[str] = []
        if visibility in Visibility.values and sharing.is_wider(visibility, environment.visibility):
            shared = sharing.share(actor=actor, environment=environment, visibility=visibility, channels=sharing.channels_of(environment))
        differing = {key: [getattr(environment, key), value] for key, value in changes.items() if getattr(environment, key) != value}
        for key, value in changes.items():
            setattr(environment, key, value)
        environment.save(update_fields=[*changes])
        if differing:
            _audit(actor, "environment.update", environment, {**differing, **({"shared_channels": shared} if shared else {})})
    return environment


def archive_environment(*, actor: Actor, environment: Environment) -> Environment:
    """Set it aside: it stays readable, and takes no new builds until it is brought back."""
    return _set_archived(actor, environment, archived=True)


def unarchive_environment(*, actor: Actor, environment: Environment) -> Environment:
    """Bring it back."""
    return _set_archived(actor, environment, archived=False)


def _set_archived(actor: Actor, environment: Environment, *, archived: bool) -> Environment:
    require(actor, Permission.ENVIRONMENT_UPDATE, environment)
    with transaction.atomic():
        environment = lock(environment)
        if (environment.archived_at is not None) != archived:
            environment.archived_at = timezone.now() if archived else None
            environment.save(update_fields=["archived_at"])
            _audit(actor, "environment.archive" if archived else "environment.unarchive", environment, {})
    return environment


def delete_environment(*, actor: Actor, environment: Environment) -> None:
    """Delete it: nothing of it answers any more, its name is free, its grants are gone. Builds that run are cancelled."""
    from environments_app.services.builds import cancel_unfinished

    require(actor, Permission.ENVIRONMENT_DELETE, environment)
    with transaction.atomic():
        environment = lock(environment)
        cancel_unfinished(actor, environment)
        environment.deleted_at = timezone.now()
        environment.save(update_fields=["deleted_at"])
        drop_environment(actor=actor, environment_id=environment.pk)
        _audit(actor, "environment.delete", environment, {"builds": environment.builds.count()})
        ask_for_links(environment)


def activate_build(*, actor: Actor, environment: Environment, build: Build) -> Environment:
    """Make a finished build the one that everybody gets. It stays so until a newer one than any finishes, or another is chosen.

    Raises Conflict `build_not_completed`, Forbidden.
    """
    require(actor, Permission.ENVIRONMENT_UPDATE, environment)
    with transaction.atomic():
        environment = lock(environment)
        build = Build.objects.select_for_update(of=("self",)).get(pk=build.pk, environment=environment)
        if build.state != BuildState.COMPLETED:
            raise Conflict(
                f"Build {build.number} is {build.state}; only a completed one can be current.",
                code="build_not_completed",
                hint="Choose another.",
            )
        before = environment.current_build
        newest = environment.builds.filter(state=BuildState.COMPLETED).order_by("-number").values_list("number", flat=True).first()
        environment.current_build = build
        environment.current_is_chosen = build.number != newest
        environment.save(update_fields=["current_build", "current_is_chosen"])
        _audit(actor, "environment.activate", environment, {"from": before.number if before else None, "to": build.number})
        ask_for_links(environment)
    return environment


def roll_back(*, actor: Actor, environment: Environment) -> Environment:
    """Go back to the completed build before the current one. Raises Conflict where there is none."""
    require(actor, Permission.ENVIRONMENT_UPDATE, environment)
    visible = Build.objects.visible_to(actor).filter(environment=environment, state=BuildState.COMPLETED)
    current = environment.current_build
    before = visible.filter(number__lt=current.number).order_by("-number").first() if current is not None else None
    if before is None:
        raise Conflict(f"'{environment}' has no earlier build to go back to.", code="no_earlier_build")
    return activate_build(actor=actor, environment=environment, build=before)


def ask_for_links(environment: Environment) -> None:
    """Have the folders of an environment show what the database says, after the caller's transaction."""
    jobs.enqueue(kind=LINKS_KIND, payload={"environment": environment.pk}, coalesce_key=str(environment.pk), actor_label="the hub")


def lock(environment: Environment) -> Environment:
    """Take the environment's row for the rest of the transaction. Raises Forbidden when it was deleted since."""
    found = Environment.objects.select_for_update(of=("self",)).select_related("organization", "current_build")
    taken = found.filter(pk=environment.pk, deleted_at__isnull=True).first()
    if taken is None:
        raise Forbidden()
    return taken


def _check_visibility(visibility: str) -> None:
    if visibility not in Visibility.values:
        raise Unprocessable(f"'{visibility[:40]}' is no visibility.", code="bad_visibility", hint="One of public, internal, private.")
    forbidden = {
        Visibility.PUBLIC.value: not settings.CONDAHUB_ALLOW_PUBLIC_CHANNELS,
        Visibility.INTERNAL.value: not settings.CONDAHUB_ALLOW_INTERNAL_CHANNELS,
    }
    if forbidden.get(visibility):
        raise Forbidden(
            f"This hub does not allow {visibility} environments.", code="visibility_forbidden", hint="Make it private, or ask IT."
        )


def _check_description(description: str) -> None:
    if len(description) > MAX_DESCRIPTION_CHARS:
        raise Unprocessable("The description is too long.", hint=f"At most {MAX_DESCRIPTION_CHARS:,} characters.")


# What subscribers hear of; a new environment is told of by its first build.
_TOLD = {
    "environment.update": "changed",
    "environment.archive": "archived",
    "environment.unarchive": "brought back",
    "environment.activate": "pointed to another build",
    "environment.delete": "deleted",
}


def _audit(actor: Actor, action: str, environment: Environment, details: dict[str, Any]) -> None:
    audit(actor=actor, action=action, target=f"environment:{environment}", organization_id=environment.organization_id, details=details)
    if action in _TOLD:
        emit(
            type="environment.changed",
            target=environment,
            object_name=str(environment),
            object_id=environment.pk,
            payload={"environment": str(environment), "change": _TOLD[action]},
            actor=actor,
        )
