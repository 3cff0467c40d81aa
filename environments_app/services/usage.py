"""How many bytes organizations hold by their environments: for quotas, and for the bars that show them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Sum

from environments_app.models import Build, BuildArtifact, Wheel


def used_by_organization(organization_id: int) -> int:
    """Logical bytes of the organization's folders, each once, and of its artifacts, those of deleted environments too until they
    are collected. Wheels are counted apart.
    """
    rows = _folders([organization_id]).union(_artifacts([organization_id]), _scripts([organization_id]), all=True)
    return sum(total or 0 for _, total in rows)


def usage_rows(organization_ids: Collection[int]) -> list[QuerySet[Any, Any]]:
    """The same with wheels, of several organizations: rows of (organization id, bytes), unasked."""
    wheels = Wheel.objects.filter(organization__in=organization_ids).order_by().values_list("organization").annotate(total=Sum("size"))
    return [_folders(organization_ids), _artifacts(organization_ids), _scripts(organization_ids), wheels]


def _folders(organization_ids: Collection[int]) -> QuerySet[Any, Any]:
    # Of the builds that share a folder the first stands for it.
    earlier = Build.objects.filter(prefix=OuterRef("prefix"), pk__lt=OuterRef("pk"), archived_at__isnull=True).exclude(prefix="")
    builds = Build.objects.filter(~Exists(earlier), environment__organization__in=organization_ids, archived_at__isnull=True)
    return builds.order_by().values_list("environment__organization").annotate(total=Sum("size"))


def _artifacts(organization_ids: Collection[int]) -> QuerySet[Any, Any]:
    made = BuildArtifact.objects.filter(build__environment__organization__in=organization_ids).order_by()
    return made.values_list("build__environment__organization").annotate(total=Sum("size"))


def _scripts(organization_ids: Collection[int]) -> QuerySet[Any, Any]:
    # What they wrote is kept beside the lock, so that an archived build can be had again.
    kept = Build.objects.filter(environment__organization__in=organization_ids, scripts_size__gt=0).order_by()
    return kept.values_list("environment__organization").annotate(total=Sum("scripts_size"))
