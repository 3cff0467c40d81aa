"""Reads about policy: what levels say, what they hide and why, what a change would hide, waivers, requests."""

from __future__ import annotations

import functools
import operator
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import Q, QuerySet
from django.utils import timezone

from channels_app.closure import Closure, closures
from channels_app.models import Channel, Effect, PackageFile, PackageRequest, Policy, PolicyLevel, Waiver
from channels_app.policies.evaluate import AdvisoryFacts
from channels_app.policies.rules import Rules, read_rules
from channels_app.policies.view import View, known_advisories, row_of, view_of
from channels_app.services.scopes import Scope
from condahub.accounts import selectors as account_selectors
from condahub.accounts.models import Organization
from condahub.accounts.policy import Actor, Permission, can, reads_all
from condahub.errors import Forbidden, NotAuthenticated

# A preview of a very large hub ends here and says that it did.
PREVIEW_SECONDS = 25.0
PREVIEW_CHUNK_ROWS = 2000
PREVIEW_SAMPLES = 50


def require_signed_in(actor: Actor) -> None:
    if actor.is_anonymous or not actor.is_active:
        raise NotAuthenticated


def organization_for(actor: Actor, name: str, permission: Permission) -> Organization:
    """The organization on which the actor has this right; hidden and unknown ones answer alike. Raises NotAuthenticated, Forbidden."""
    require_signed_in(actor)
    found = Organization.objects.filter(name=name, deleted_at__isnull=True).first()
    if found is None or not can(actor, permission, found):
        raise Forbidden
    return found


def policy_of(scope: Scope) -> dict[str, Any]:
    """One level's rules as they are stored, with who changed them last."""
    return _told(scope, Policy.objects.filter(**scope.columns).first())


def _told(scope: Scope, found: Policy | None) -> dict[str, Any]:
    if found is None:
        return {"level": scope.level, "rules": {}, "changed_at": None, "changed_by": ""}
    return {"level": scope.level, "rules": found.rules, "changed_at": found.changed_at, "changed_by": found.changed_by}


def policies_on(actor: Actor, channel: Channel) -> list[dict[str, Any]]:
    """What acts on a channel, the widest level first; an organization's rules are for those who know the organization. One query."""
    scopes = [Scope.of_installation()]
    if can(actor, Permission.ORGANIZATION_READ, channel.organization):
        scopes.append(Scope.of_organization(channel.organization))
    scopes.append(Scope.of_channel(channel))
    rows = Policy.objects.filter(functools.reduce(operator.or_, (Q(**scope.columns) for scope in scopes)))
    by_level = {row.level: row for row in rows}
    return [_told(scope, by_level.get(scope.level)) for scope in scopes]


# -- what is hidden, and why ---------------------------------------------------------------------------------------------


class Hidden(NamedTuple):
    """A file that policy hides, with all that IT and whoever misses it should know."""

    file: PackageFile
    rule: str
    level: str
    license: str
    advisories: list[AdvisoryFacts]
    closure: Closure


def hidden_in(channel: Channel) -> QuerySet[PackageFile]:
    """The files that policy hides; for everybody signed in who may read the channel."""
    return PackageFile.objects.hidden().filter(channel=channel).defer("run_exports", "about")


def explained(channel: Channel, files: Sequence[PackageFile]) -> list[Hidden]:
    """Why these files are hidden, and what they would bring with them."""
    view, now = view_of(channel, names={file.name for file in files}), timezone.now()
    known = View(view.judge, known_advisories({file.name for file in files}))
    found = closures(channel, files)
    result = []
    for file in files:
        facts = known.facts(row_of(file), full=True)
        said = known.judge.verdict(facts, first_seen=file.first_sight, now=now)
        license_name = facts.licenses[-1] if facts.licenses else ""
        result.append(Hidden(file, said.rule, said.level or "", license_name, facts.affecting, found[file.pk]))
    return result


# -- what a change would hide --------------------------------------------------------------------------------------------


@dataclass
class Preview:
    """What rules would do if they were saved: files that would be hidden or shown and are not now. complete: all were looked at."""

    examined: int = 0
    hidden_now: int = 0
    would_hold: int = 0
    would_deny: int = 0
    newly_hidden: int = 0
    newly_shown: int = 0
    complete: bool = True
    by_rule: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, str]] = field(default_factory=list)


def preview(*, actor: Actor, scope: Scope, rules: dict[str, Any]) -> Preview:
    """A dry run of `set_policy`: nothing is saved. Raises Forbidden, Unprocessable."""
    scope.require_keeper(actor, Permission.POLICY_UPDATE)
    wanted = read_rules(rules)
    result = Preview()
    ends_at = time.monotonic() + PREVIEW_SECONDS
    for channel in scope.channels().filter(deleted_at__isnull=True).order_by("pk"):
        if not _preview_channel(result, channel, scope.level, wanted, ends_at):
            result.complete = False
            break
    return result


def _preview_channel(result: Preview, channel: Channel, level: PolicyLevel, rules: Rules, ends_at: float) -> bool:
    """False when the time was over before the end."""
    view, now = view_of(channel, instead=(level, rules)), timezone.now()
    rows = PackageFile.objects.filter(channel=channel, state="live").order_by().values_list("filename", "verdict", *view.columns)
    for filename, effect, *values in rows.iterator(chunk_size=PREVIEW_CHUNK_ROWS):
        result.examined += 1
        made = view.verdict(values, now)
        result.hidden_now += effect != Effect.ALLOW
        result.would_hold += made.effect == Effect.HOLD
        result.would_deny += made.effect == Effect.DENY
        if made.effect == Effect.ALLOW:
            result.newly_shown += effect != Effect.ALLOW
        elif effect == Effect.ALLOW:
            result.newly_hidden += 1
            result.by_rule[made.rule] += 1
            if len(result.samples) < PREVIEW_SAMPLES:
                place = {"channel": channel.name, "subdir": values[4], "filename": filename}
                result.samples.append({**place, "effect": made.effect.value, "rule": made.rule, "reason": made.reason})
        if result.examined % PREVIEW_CHUNK_ROWS == 0 and time.monotonic() > ends_at:
            return False
    return True


# -- waivers and requests ------------------------------------------------------------------------------------------------


def waivers_seen_by(actor: Actor) -> QuerySet[Waiver]:
    """Waivers that act on what the actor may read: the whole hub's, its organizations', its channels'."""
    require_signed_in(actor)
    organizations = account_selectors.visible_organizations(actor)
    channels = Channel.objects.visible_to(actor)
    wide = Q(level=PolicyLevel.INSTALLATION) | Q(level=PolicyLevel.ORGANIZATION, organization__in=organizations)
    return Waiver.objects.select_related("organization", "channel__organization").filter(
        (wide & Q(channel=None)) | (wide & Q(channel__in=channels)) | Q(level=PolicyLevel.CHANNEL, channel__in=channels)
    )


def waiver_for(actor: Actor, pk: int) -> Waiver:
    """Raises Forbidden, also where there is none."""
    found = waivers_seen_by(actor).filter(pk=pk).first()
    if found is None:
        raise Forbidden
    return found


def requests_seen_by(actor: Actor) -> QuerySet[PackageRequest]:
    """One's own requests, and those on channels where one may answer; all of them for who reads everything."""
    require_signed_in(actor)
    visible = Channel.objects.visible_to(actor)
    if reads_all(actor):
        return PackageRequest.objects.select_related("channel__organization").filter(channel__in=visible)
    asked_of = visible.filter(requests__isnull=False).select_related("organization").distinct()
    answerable = [channel.pk for channel in asked_of if can(actor, Permission.REQUEST_ANSWER, channel)]
    mine = Q(asker_id=actor.user_id, channel__in=visible) if actor.user_id is not None else Q(pk__in=[])
    return PackageRequest.objects.select_related("channel__organization").filter(mine | Q(channel__in=answerable))


def request_for(actor: Actor, pk: int) -> PackageRequest:
    """Raises Forbidden, also where there is none."""
    found = requests_seen_by(actor).filter(pk=pk).first()
    if found is None:
        raise Forbidden
    return found
