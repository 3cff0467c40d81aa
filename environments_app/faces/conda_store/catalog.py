"""Channels and packages to choose from, and settings, in conda-store's form."""

from __future__ import annotations

from typing import Any

from channels_app.models import Channel, Package, PackageFile
from condahub.accounts.policy import Permission
from condahub.errors import Invalid, NotAuthenticated
from environments_app import selectors
from environments_app.faces.conda_store import shapes
from environments_app.faces.conda_store.entry import Asked, ordered, page_of
from environments_app.services import policies

MAX_VERSIONS = 1000


def list_channels(asked: Asked) -> object:
    rows = Channel.objects.visible_to(asked.actor)
    return page_of(asked, ordered(asked, rows, {"name": "name", "id": "pk"}), _channel)


def _channel(row: Channel) -> dict[str, Any]:
    return {"id": row.pk, "name": row.name, "last_update": shapes.moment(row.created_at)}


def list_packages(asked: Asked) -> object:
    """`distinct_on=name`: each name once, with its latest version; `distinct_on=version`: each version of one name."""
    channels = Channel.objects.visible_to(asked.actor)
    words, exact = asked.text("search"), asked.flag("exact")
    distinct = set(asked.query.getlist("distinct_on"))
    if "version" in distinct:
        return _versions(asked, words)
    rows = Package.objects.filter(channel__in=channels).exclude(latest_version="").select_related("channel")
    if words:
        rows = rows.filter(name=words) if exact else rows.filter(name__icontains=words)
    if distinct == {"name"}:
        names = rows.order_by().values_list("name", flat=True).distinct().order_by("-name" if asked.text("order") == "desc" else "name")
        return page_of(asked, names, lambda name: {"id": 0, "name": name, "channel_id": None, "version": None, "license": None})
    return page_of(asked, ordered(asked, rows, {"name": "name", "channel": "channel__name"}), _package)


def _versions(asked: Asked, name: str) -> object:
    """The versions of one name, in conda's order."""
    if not name:
        raise Invalid("'distinct_on=version' needs 'search' with a package's whole name.", code="missing")
    channels = Channel.objects.visible_to(asked.actor)
    files = PackageFile.objects.shown().filter(channel__in=channels, name=name).order_by()
    found = set(files.values_list("version", flat=True).distinct()[:MAX_VERSIONS])
    versions = selectors.in_order(found, newest_first=asked.text("order") == "desc")
    return page_of(asked, versions, lambda version: {"id": 0, "name": name, "version": version, "channel_id": None, "license": None})


def _package(row: Package) -> dict[str, Any]:
    return {
        "id": row.pk,
        "channel": {"id": row.channel_id, "name": row.channel.name, "last_update": None},
        "channel_id": row.channel_id,
        "name": row.name,
        "version": row.latest_version,
        "license": row.license or None,
        "summary": row.summary or None,
    }


def get_settings(asked: Asked, namespace: str = "", name: str = "") -> object:
    """The settings that hold there, under conda-store's names."""
    if asked.actor.is_anonymous:
        raise NotAuthenticated
    organization = environment = None
    if name:
        environment = selectors.environment_for(asked.actor, namespace, name, Permission.ENVIRONMENT_READ)
        organization = environment.organization
    elif namespace:
        organization = selectors.organization_for(asked.actor, namespace, Permission.ORGANIZATION_READ)
    merged = policies.settings_for(organization, environment)
    return {
        "conda_allowed_channels": sorted(merged.allowed_channels or ()),
        "conda_default_channels": list(merged.default_channels),
        "conda_required_channels": list(merged.required_channels),
        "conda_default_packages": list(merged.default_packages),
        "conda_included_packages": list(merged.included_packages),
        "conda_required_packages": list(merged.required_packages),
        "conda_solve_platforms": list(merged.default_platforms),
        "conda_max_solve_time": merged.solve_seconds,
        "build_artifacts": [shapes.ARTIFACT_TYPES[kind] for kind in merged.artifacts if kind in shapes.ARTIFACT_TYPES],
    }
