"""Which environments an advisory is about: its names and versions held against the packages of builds that somebody may see."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from channels_app.models import Advisory
from channels_app.policies.evaluate import AdvisoryFacts
from channels_app.policies.patterns import key_of
from condahub.accounts.policy import Actor
from condahub.errors import Invalid, NotFound
from environments_app.models import BuildPackage
from environments_app.selectors import packages_seen

MAX_AFFECTED_VERSIONS = 400
MAX_ID_CHARS = 100


def affected(actor: Actor, advisory: str, *, all_builds: bool = False) -> QuerySet[BuildPackage]:
    """The packages that an advisory affects, in the current (or all) builds that the actor may see.

    advisory: the id of a loaded one, or an alias of it (its CVE number). Raises NotFound, Invalid where too many match.
    """
    facts = _facts_of(advisory.strip()[:MAX_ID_CHARS])
    seen = packages_seen(actor, all_builds=all_builds)
    found = Q(pk__in=[])
    count = 0
    for key in sorted({one.key for one in facts}):
        said = [one for one in facts if one.key == key]
        # The spelling differs only from the first separator on.
        alike = seen.filter(name__istartswith=key.partition("-")[0])
        for name, version in alike.order_by().values_list("name", "version").distinct():
            if key_of(name) == key and any(one.affects(version) for one in said):
                found |= Q(name=name, version=version)
                count += 1
    if count > MAX_AFFECTED_VERSIONS:
        raise Invalid(f"More than {MAX_AFFECTED_VERSIONS} versions are affected.", code="too_many_matches", hint="Ask for a package.")
    return seen.filter(found).select_related("build__environment__organization")


def _facts_of(named: str) -> list[AdvisoryFacts]:
    rows = list(Advisory.objects.filter(osv_id__iexact=named)) if named else []
    if not rows and named:
        # Within JSON an alias is text on every database; which one it is, is told afterwards.
        likely = Advisory.objects.filter(aliases__icontains=named)
        rows = [row for row in likely if named.lower() in (str(alias).lower() for alias in row.aliases)]
    if not rows:
        raise NotFound(f"No advisory '{named}' is loaded.", code="no_such_advisory", hint="IT loads advisories, in OSV's format.")
    return [
        AdvisoryFacts(
            osv_id=row.osv_id,
            key=row.key,
            severity=row.severity,
            versions=frozenset(row.versions),
            ranges=tuple((introduced, fixed, last) for introduced, fixed, last in row.ranges),
            ecosystem=row.ecosystem,
        )
        for row in rows
    ]
