"""Sentences about roles, in the language of the page; programs get them in English."""

from __future__ import annotations

from django.utils.translation import gettext, gettext_noop

from condahub.accounts.models import Grant, GrantSource
from condahub.accounts.permissions import Level

ROLES = (gettext_noop("reader"), gettext_noop("contributor"), gettext_noop("maintainer"), gettext_noop("owner"))


def held_by_hand(grant: Grant) -> str:
    """reader on this channel (by hand)"""
    source = gettext("by hand") if grant.source == GrantSource.MANUAL else grant.get_source_display().lower()
    said = {
        Level.ORGANIZATION: lambda: gettext("%(role)s on this organization (%(source)s)"),
        Level.CHANNEL: lambda: gettext("%(role)s on this channel (%(source)s)"),
        Level.PACKAGE: lambda: gettext("%(role)s on this package %(package)s (%(source)s)"),
        Level.ENVIRONMENT: lambda: gettext("%(role)s on this environment (%(source)s)"),
    }
    return said[grant.access_target.level]() % {"role": gettext(grant.role), "package": grant.package_name, "source": source}


def held_by_team(grant: Grant, team: str) -> str:
    """reader on this channel through the team core"""
    said = {
        Level.ORGANIZATION: lambda: gettext("%(role)s on this organization through the team %(team)s"),
        Level.CHANNEL: lambda: gettext("%(role)s on this channel through the team %(team)s"),
        Level.PACKAGE: lambda: gettext("%(role)s on this package %(package)s through the team %(team)s"),
        Level.ENVIRONMENT: lambda: gettext("%(role)s on this environment through the team %(team)s"),
    }
    return said[grant.access_target.level]() % {"role": gettext(grant.role), "package": grant.package_name, "team": team}
