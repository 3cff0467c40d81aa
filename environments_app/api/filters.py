"""What lists of environments, builds and packages can be narrowed by."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from condahub.accounts.permissions import Visibility
from environments_app.models import BuildState


class EnvironmentFilter(django_filters.FilterSet):  # type: ignore[misc]
    visibility = django_filters.ChoiceFilter(choices=Visibility.choices, label="Who may see it.")
    archived = django_filters.BooleanFilter(field_name="archived_at", lookup_expr="isnull", exclude=True, label="Set aside or not.")
    q = django_filters.CharFilter(method="matching", label="Part of the name or description.")

    def matching(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return rows.filter(Q(name__icontains=value) | Q(description__icontains=value))


class AnyEnvironmentFilter(EnvironmentFilter):
    organization = django_filters.CharFilter(field_name="organization__name", label="The name of an organization.")


class BuildFilter(django_filters.FilterSet):  # type: ignore[misc]
    state = django_filters.ChoiceFilter(choices=BuildState.choices, label="The state it is in.")


class PackageFilter(django_filters.FilterSet):  # type: ignore[misc]
    platform = django_filters.CharFilter(label="The platform, such as linux-64.")
    q = django_filters.CharFilter(field_name="name", lookup_expr="icontains", label="Part of the name.")
