"""What this app gives the rooms below it: places for grants, quota use."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q
from django.utils.translation import gettext_noop

from condahub.accounts import places, quota
from condahub.accounts.policy import AccessTarget, Actor, Permission
from condahub.errors import Forbidden, NotAuthenticated
from condahub.events import types
from condahub.events.types import EventType, Severity
from condahub.jobs import selectors as jobs
from condahub.ops import doctor, gc


def register() -> None:
    """Called once, when the app is ready."""
    from channels_app.services import requests, thinning
    from environments_app import bundles, checkups, tasks  # noqa: F401 - importing tasks registers the job kinds
    from environments_app.building import garbage, resuming
    from environments_app.portal import panels
    from environments_app.services import policies, schedules, usage

    bundles.register()
    panels.register()
    quota.register_usage("environments", usage.used_by_organization)
    requests.on_answer("builds", resuming.on_answer)
    thinning.register_keeper("builds", garbage.revisions_of)
    jobs.register_guard("builds", _hidden_jobs)
    gc.register_collector("environments", garbage.collect_environments)
    gc.register_collector("environment folders", garbage.collect_folders)
    doctor.register_check("environments", checkups.check_folders)
    doctor.register_check("sandbox", checkups.check_sandbox)
    policies.on_change(schedules.on_settings)
    for event_type in _event_types():
        types.register(event_type)
    places.register(places.ENVIRONMENT, find=_find_environment, names_of=_names_of_environments)


def _event_types() -> tuple[EventType, ...]:
    return (
        EventType(
            "environment.changed",
            "environment",
            gettext_noop("An environment was changed, archived, brought back, deleted, or pointed to another build by hand."),
            gettext_noop("{object} was {change} by {actor}."),
            Permission.ENVIRONMENT_READ,
        ),
        EventType(
            "environment.channel_withdrawn",
            "environment",
            gettext_noop(
                "A channel of an environment can't be read any more by whoever built it; "
                "it is not rebuilt by itself until it is built anew."
            ),
            gettext_noop("{object} is not rebuilt by itself any more: a channel that it is made of was withdrawn."),
            Permission.ENVIRONMENT_READ,
            Severity.WARNING,
            Permission.ENVIRONMENT_UPDATE,
        ),
        EventType(
            "watch.problem",
            "organization",
            gettext_noop("A watched file could not be built from; it is tried again when it changes, and every hour."),
            gettext_noop("The watched file {file} can't be built: {reason}"),
            Permission.ENVIRONMENT_UPDATE,
            Severity.WARNING,
            Permission.ORGANIZATION_UPDATE,
        ),
    )


def _hidden_jobs(actor: Actor) -> Q:
    """The logs of builds name packages of channels that some of the organization may not read."""
    from environments_app.models import Build
    from environments_app.services.builds import BUILD_KIND

    return Q(kind=BUILD_KIND) & ~Q(pk__in=Build.objects.visible_to(actor).filter(job__isnull=False).values("job"))


def _find_environment(actor: Actor, name: str) -> AccessTarget:
    """`<organization>/<environment>`."""
    from environments_app import selectors

    organization, slash, environment = name.partition("/")
    if not slash:
        raise NotAuthenticated() if actor.is_anonymous else Forbidden()
    return selectors.environment_for(actor, organization, environment, Permission.ENVIRONMENT_READ).access_target


def _names_of_environments(ids: Collection[int]) -> dict[int, str]:
    from environments_app.models import Environment

    rows = Environment.objects.existing().filter(pk__in=ids).values_list("pk", "organization__name", "name")
    return {pk: f"{organization}/{name}" for pk, organization, name in rows}
