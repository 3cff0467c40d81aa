"""What lists of accounts can be narrowed by."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet


class UserFilter(django_filters.FilterSet):  # type: ignore[misc]
    q = django_filters.CharFilter(method="matching", label="Part of the user name or display name.")
    is_active = django_filters.BooleanFilter(label="Whether it may sign in.")

    def matching(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return rows.filter(Q(username__icontains=value) | Q(display_name__icontains=value))


class OrganizationFilter(django_filters.FilterSet):  # type: ignore[misc]
    q = django_filters.CharFilter(method="matching", label="Part of the name or title.")
    personal = django_filters.BooleanFilter(method="of_a_person", label="Personal ones, or those that are not.")

    def matching(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return rows.filter(Q(name__icontains=value) | Q(title__icontains=value))

    def of_a_person(self, rows: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        return rows.filter(personal_of__isnull=not value)


class GrantFilter(django_filters.FilterSet):  # type: ignore[misc]
    user = django_filters.CharFilter(field_name="user__username", label="A user name.")
    team = django_filters.CharFilter(field_name="team__slug", label="A team's short name.")


class TokenFilter(django_filters.FilterSet):  # type: ignore[misc]
    owner = django_filters.CharFilter(field_name="owner__username", label="Whose: oneself unless said; '*' for all that one may see.")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        owner = self.form.cleaned_data["owner"]
        if owner == "*":
            return queryset
        return queryset.filter(owner__username=owner) if owner else queryset.filter(owner=self.request.user)
