"""Reads for lists: the channels, packages and files that somebody who asks may see, and search over them."""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, Count, F, Q, QuerySet, Value

from channels_app.models import Channel, Effect, FileState, Package, PackageFile
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, can
from condahub.errors import Forbidden, NotAuthenticated, NotFound

# What a reader can download; the other states are told to those who work on the channel.
SHOWN_STATES = (FileState.LIVE, FileState.YANKED)


def channels_listed(actor: Actor) -> QuerySet[Channel]:
    """The channels whose index the actor may read, with `packages_count`: of packages that have something to install."""
    shown = Q(packages__files_count__gt=0) & ~Q(packages__latest_version="")
    return Channel.objects.visible_to(actor).select_related("organization").annotate(packages_count=Count("packages", filter=shown))


def sees_all_states(actor: Actor, channel: Channel) -> bool:
    """Whether held and deleted files are shown: to those who may put packages there."""
    return can(actor, Permission.PACKAGE_UPLOAD, channel)


def packages_of(actor: Actor, channel: Channel) -> QuerySet[Package]:
    """The packages of a channel that the actor may read; those that are all held or yanked only for who works on it."""
    packages = Package.objects.filter(channel=channel)
    return packages if sees_all_states(actor, channel) else packages.exclude(latest_version="")


def package_of(actor: Actor, channel: Channel, name: str) -> Package:
    """Raises NotFound."""
    package = packages_of(actor, channel).filter(name=name).first()
    if package is None:
        raise NotFound(f"There is no package of this name in '{channel.name}'.", code="no_such_package")
    return package


def files_of(actor: Actor, channel: Channel) -> QuerySet[PackageFile]:
    """The files of a channel that the actor may read, without the heavy texts that a list does not show."""
    files = PackageFile.objects.filter(channel=channel).exclude(state=FileState.ASIDE).defer("run_exports", "about", "patch")
    return files if sees_all_states(actor, channel) else files.filter(state__in=SHOWN_STATES, verdict=Effect.ALLOW)


def file_of(actor: Actor, channel: Channel, subdir: str, filename: str) -> PackageFile:
    """The file that this name means now: the one that occupies it, else the last that did. Raises NotFound."""
    rows = list(files_of(actor, channel).defer(None).filter(subdir=subdir, filename=filename).order_by("-changed_at", "-pk"))
    rank = {FileState.LIVE.value: 0, FileState.YANKED.value: 1, FileState.HELD.value: 1}
    if not rows:
        raise NotFound(f"There is no such file in '{channel.name}'.", code="no_such_file")
    return min(rows, key=lambda row: rank.get(row.state, 2))


def search(actor: Actor, text: str) -> QuerySet[Any, Any]:
    """Channels and packages whose name or summary holds the text, of what the actor may see; rows with the same keys.

    found_kind ("channel" or "package"), found_channel, found_name, found_summary, found_version.
    """
    visible = Channel.objects.visible_to(actor)
    channels = visible.filter(Q(name__icontains=text) | Q(description__icontains=text)).order_by()
    packages = Package.objects.filter(channel__in=visible).exclude(latest_version="").order_by()
    found_channels = channels.values(
        found_kind=Value("channel", output_field=CharField()),
        found_channel=F("name"),
        found_name=F("name"),
        found_summary=F("description"),
        found_version=Value("", output_field=CharField()),
    )
    found_packages = packages.filter(Q(name__icontains=text) | Q(summary__icontains=text)).values(
        found_kind=Value("package", output_field=CharField()),
        found_channel=F("channel__name"),
        found_name=F("name"),
        found_summary=F("summary"),
        found_version=F("latest_version"),
    )
    return found_channels.union(found_packages, all=True).order_by("found_kind", "found_name", "found_channel")


def organization_to_create_in(actor: Actor, name: str) -> Organization:
    """The organization of this name, or the actor's personal one; whether it may create there is for the service to say.

    Raises NotAuthenticated or Forbidden, also where there is no such organization.
    """
    if actor.is_anonymous:
        raise NotAuthenticated
    organizations = Organization.objects.filter(deleted_at__isnull=True)
    found = organizations.filter(name=name) if name else organizations.filter(personal_of_id=actor.user_id)
    organization = found.first()
    if organization is None:
        raise Forbidden("You may not make a channel there, or there is no such organization.", hint="Name an organization of yours.")
    return organization
