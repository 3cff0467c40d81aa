"""What lists of channels, packages and files can be narrowed by."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import F, Q, QuerySet

from channels_app.models import ChannelKind, Effect, FileState
from condahub.accounts.permissions import Visibility


class ChannelFilter(django_filters.FilterSet):  # type: ignore[misc]
    organization = django_filters.CharFilter(field_name="organization__name", label="The name of an organization.")
    visibility = django_filters.ChoiceFilter(choices=Visibility.choices, label="Who may read it.")
    kind = django_filters.ChoiceFilter(choices=ChannelKind.choices, label="Where its packages come from.")
    q = django_filters.CharFilter(method="matching", label="Part of the name or description.")

    def matching(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return rows.filter(Q(name__icontains=value) | Q(description__icontains=value))


class PackageFilter(django_filters.FilterSet):  # type: ignore[misc]
    q = django_filters.CharFilter(method="matching", label="Part of the name or summary.")
    subdir = django_filters.CharFilter(method="for_subdir", label="Packages with a file for this platform, such as linux-64.")

    def matching(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return rows.filter(Q(name__icontains=value) | Q(summary__icontains=value))

    def for_subdir(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        # The JSON list of platforms can't be searched alike on every database; the files can.
        return rows.filter(
            channel__files__subdir=value,
            channel__files__state=FileState.LIVE,
            channel__files__verdict=Effect.ALLOW,
            channel__files__name=F("name"),
        ).distinct()


class FileFilter(django_filters.FilterSet):  # type: ignore[misc]
    name = django_filters.CharFilter(label="The package's name.")
    subdir = django_filters.CharFilter(label="The platform, such as linux-64.")
    version = django_filters.CharFilter(label="The version, as the package says it.")
    state = django_filters.ChoiceFilter(choices=FileState.choices, label="The state of the file.")
