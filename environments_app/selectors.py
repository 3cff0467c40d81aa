"""Reads of environments and builds, as somebody who asks may see them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cmp_to_key
from typing import Any

from django.db.models import Count, Prefetch, Q, QuerySet, Sum

from channels_app.models import Channel, ChannelKind
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, can
from condahub.accounts.selectors import visible_organizations
from condahub.engine.versions import exact_name, is_newer, matches
from condahub.errors import Forbidden, Invalid, NotAuthenticated, NotFound
from environments_app.models import Build, BuildChannel, BuildPackage, Environment
from environments_app.spec.conda import check_match_spec

MAX_MATCHED_VERSIONS = 400
MAX_ASKS = 20
# What is shown of a build beside its environment.
SHORT_BUILD = ("number", "state", "size", "package_count", "created_at", "ended_at")


def _refused(actor: Actor) -> Exception:
    return NotAuthenticated() if actor.is_anonymous else Forbidden()


def environment_for(actor: Actor, organization: str, name: str, permission: Permission) -> Environment:
    """The environment, if the actor has this right on it; hidden and unknown ones, of hidden and unknown organizations, answer alike.

    Raises NotAuthenticated (anonymous) or Forbidden.
    """
    found = (
        Environment.objects.existing().select_related("organization", "current_build").filter(organization__name=organization, name=name)
    )
    environment = found.first()
    if environment is not None and can(actor, permission, environment):
        return environment
    raise _refused(actor)


def organization_for(actor: Actor, name: str, permission: Permission) -> Organization:
    """The same for an organization."""
    organization = Organization.objects.filter(deleted_at__isnull=True, name=name).first()
    if organization is not None and can(actor, permission, organization):
        return organization
    raise _refused(actor)


def to_build_in(actor: Actor, organization: str, name: str) -> Organization:
    """The organization, if the actor may have an environment of this name built there; asked before a body is read.

    Raises NotAuthenticated or Forbidden, hidden and unknown alike.
    """
    environments = Environment.objects.existing().select_related("organization")
    environment = environments.filter(organization__name=organization, name=name).first()
    if environment is None:
        found = organization_for(actor, organization, Permission.ENVIRONMENT_CREATE)
        if can(actor, Permission.BUILD_CREATE, found):
            return found
    elif can(actor, Permission.ENVIRONMENT_UPDATE, environment) and can(actor, Permission.BUILD_CREATE, environment):
        return environment.organization
    raise _refused(actor)


def build_for(actor: Actor, environment: Environment, number: int) -> Build:
    """A build by its number. Raises NotFound, also for one that is made of channels the actor may not read."""
    build = shown_builds(Build.objects.visible_to(actor)).filter(environment=environment, number=number).first()
    if build is None:
        raise NotFound(f"'{environment}' has no build {number} that you may see.", code="no_such_build")
    return build


def shown_builds(builds: QuerySet[Build]) -> QuerySet[Build]:
    """With what a list shows of them, in a fixed number of queries."""
    made_of = Prefetch("made_of", BuildChannel.objects.order_by("position"))
    return builds.select_related("environment__organization", "specification", "lock", "job").prefetch_related(made_of, "artifacts")


def told_of_failure(actor: Actor, build: Build) -> dict[str, Any]:
    """Why a build failed, in detail, without what policy hides in channels that the actor may not look into; `asks`: what may be asked
    for where.
    """
    detail = dict(build.error_detail)
    if detail.get("hidden"):
        names = {row["channel"] for row in detail["hidden"]}
        known = (
            set() if actor.is_anonymous else set(Channel.objects.visible_to(actor).filter(name__in=names).values_list("name", flat=True))
        )
        detail["hidden"] = [row for row in detail["hidden"] if row["channel"] in known]
    # The solver says `numpy *` where a person wrote `numpy`.
    asks = {(row["channel"], row["spec"].removesuffix(" *")) for row in detail.get("hidden") or ()}
    if detail.get("missing") and not actor.is_anonymous:
        # Somebody uploads into a hosted channel; what a mirror does not have it can bring.
        made_of = [row.channel_id for row in build.made_of.all()]
        mirrors = Channel.objects.visible_to(actor).filter(pk__in=made_of, kind__in=(ChannelKind.MIRROR, ChannelKind.PROXY))
        specs = [spec.removesuffix(" *") for spec in detail["missing"][:MAX_ASKS]]
        asks.update((name, spec) for name in mirrors.values_list("name", flat=True) for spec in specs)
    if asks:
        detail["asks"] = [{"channel": channel, "spec": spec} for channel, spec in sorted(asks)]
    return detail


def builds_of(actor: Actor, environment: Environment) -> QuerySet[Build]:
    return shown_builds(Build.objects.visible_to(actor).filter(environment=environment))


def environments_listed(actor: Actor) -> QuerySet[Environment]:
    """The environments that the actor may see; `current` holds the current build where it may be seen too."""
    return Environment.objects.visible_to(actor).select_related("organization")


def attach_current(actor: Actor, environments: Iterable[Environment]) -> None:
    """Set `shown_current` and `builds_count` of each: of what the actor may see; two queries for all of them."""
    rows = list(environments)
    visible = Build.objects.visible_to(actor).order_by()
    wanted = [row.current_build_id for row in rows if row.current_build_id is not None]
    builds = {build.pk: build for build in visible.filter(pk__in=wanted).only(*SHORT_BUILD, "environment_id")} if wanted else {}
    counted = builds_counted(actor, [row.pk for row in rows])
    for row in rows:
        row.shown_current = builds.get(row.current_build_id or 0)  # type: ignore[attr-defined]
        row.builds_count = counted.get(row.pk, 0)  # type: ignore[attr-defined]


def builds_seen(actor: Actor, wanted: Iterable[int | None], *columns: str) -> dict[int, dict[str, Any]]:
    """Those of these builds that the actor may see, by id: columns alone, since a page of a list makes no objects."""
    ids = [pk for pk in wanted if pk is not None]
    if not ids:
        return {}
    found = Build.objects.visible_to(actor).order_by().filter(pk__in=ids).values("pk", *columns)
    return {row.pop("pk"): row for row in found}


def builds_counted(actor: Actor, environments: Iterable[int]) -> dict[int, int]:
    """How many builds of these environments the actor may see."""
    visible = Build.objects.visible_to(actor).order_by().filter(environment__in=list(environments))
    return dict(visible.values_list("environment_id").annotate(count=Count("pk")))


def environments_in(actor: Actor, organization: str) -> QuerySet[Environment]:
    """The visible environments of one organization. Raises NotAuthenticated or Forbidden where neither it nor any in it may be seen."""
    found = environments_listed(actor).filter(organization__name=organization)
    if not visible_organizations(actor).filter(name=organization).exists() and not found.exists():
        raise _refused(actor)
    return found


def packages_of(build: Build) -> QuerySet[BuildPackage]:
    return BuildPackage.objects.filter(build=build)


def holding(actor: Actor, text: str, *, all_builds: bool = False) -> QuerySet[BuildPackage]:
    """The packages matching a MatchSpec (`openssl <3.0.8`) in the current (or all) builds that the actor may see.

    Raises Invalid where the text is no MatchSpec of one package name.
    """
    spec, problem = check_match_spec(text, 0)
    if problem is not None:
        raise Invalid(problem.detail, code="bad_match_spec", hint="For instance 'openssl <3.0.8'.")
    name = exact_name(spec) or ""
    held = packages_seen(actor, all_builds=all_builds).filter(name=name)
    return held.filter(_matching(spec, name, held)).select_related("build__environment__organization")


def packages_seen(actor: Actor, *, all_builds: bool = False) -> QuerySet[BuildPackage]:
    """The packages of the current (or all) builds that the actor may see."""
    builds = Build.objects.visible_to(actor)
    if not all_builds:
        builds = builds.filter(pk__in=Environment.objects.existing().exclude(current_build=None).values("current_build"))
    return BuildPackage.objects.filter(build__in=builds)


def _matching(spec: Any, name: str, held: QuerySet[BuildPackage]) -> Q:
    """A filter made of the identities there are: versions are compared as conda does, which no database can."""
    columns = ("version", "build_string", "build_number", "subdir")
    found = Q(pk__in=[])
    count = 0
    for version, build, number, subdir in held.order_by().values_list(*columns).distinct():
        if matches(spec, name=name, version=version, build=build, build_number=number, subdir=subdir or "noarch"):
            found |= Q(version=version, build_string=build, build_number=number, subdir=subdir)
            count += 1
    if count > MAX_MATCHED_VERSIONS:
        raise Invalid(f"More than {MAX_MATCHED_VERSIONS} builds of '{name}' match.", code="too_many_matches", hint="Narrow the version.")
    return found


def usage(actor: Actor) -> list[dict[str, Any]]:
    """By organization, of what the actor may see: environments, builds, bytes."""
    visible = Environment.objects.visible_to(actor).order_by()
    builds = Build.objects.visible_to(actor).filter(environment__in=visible).order_by()
    counted = dict(visible.values_list("organization__name").annotate(count=Count("pk")))
    rows = builds.values_list("environment__organization__name").annotate(count=Count("pk"), total=Sum("size"))
    built = {name: (count, total or 0) for name, count, total in rows}
    return [
        {"organization": name, "environments": count, "builds": built.get(name, (0, 0))[0], "bytes": built.get(name, (0, 0))[1]}
        for name, count in sorted(counted.items())
    ]


def in_order(versions: Iterable[str], *, newest_first: bool = False) -> list[str]:
    """Versions in conda's order."""
    return sorted(versions, key=cmp_to_key(_order), reverse=newest_first)


def _order(one: str, other: str) -> int:
    return is_newer(one, other) - is_newer(other, one)
