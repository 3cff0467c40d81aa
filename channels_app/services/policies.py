"""The verbs of policy: set rules, waive one for a while, release what is held, load advisories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from channels_app.models import Advisory, Channel, PackageFile, Policy, PolicyLevel, Waiver
from channels_app.policies import osv, patterns
from channels_app.policies.rules import RULE_NAMES, Rules, as_json, read_rules, stored
from channels_app.policies.view import view_of
from channels_app.services.scopes import Scope, reapply, take
from condahub.accounts.policy import HUB, Actor, Permission, require
from condahub.audit.services import record as audit
from condahub.errors import Forbidden, NotFound, Unprocessable

MAX_RELEASED_FILES = 1000
CHUNK_ADVISORIES = 500


def set_policy(*, actor: Actor, scope: Scope, rules: dict[str, Any]) -> Rules:
    """Put these rules in place of the level's own; none at all takes its policy away. Raises Forbidden, Unprocessable.

    Bytes obey within seconds; the index follows by a job, and the channel's `policy_state` is "applying" until then.
    """
    scope.require_keeper(actor, Permission.POLICY_UPDATE)
    wanted = read_rules(rules)
    with transaction.atomic():
        ids = take(scope.channels())
        before = Policy.objects.select_for_update().filter(**scope.columns).first()
        old = stored(before.rules) if before is not None else Rules()
        if old == wanted:
            return wanted
        if wanted.is_empty:
            Policy.objects.filter(**scope.columns).delete()
        else:
            values = {"rules": as_json(wanted), "changed_by": actor.label}
            Policy.objects.update_or_create(**scope.columns, defaults=values)
        reapply(ids, actor=actor)
        _audit(actor, "policy.update", scope, {"from": as_json(old), "to": as_json(wanted)})
    return wanted


def waive(
    *,
    actor: Actor,
    scope: Scope,
    what: str,
    reason: str,
    expires_at: datetime,
    rule: str = "",
    advisory: str = "",
    only_in: Channel | None = None,
) -> Waiver:
    """Except packages from this level's rules until `expires_at`. Only the level's own keeper may. Raises Forbidden, Unprocessable.

    what: a sha256, or a MatchSpec of name, version and build; rule: one rule's name, or all of the level's; advisory: of the
    rule on advisories this id alone; only_in: one channel of those that the level's rules act on.
    """
    scope.require_keeper(actor, Permission.POLICY_WAIVE)
    what, reason = what.strip(), reason.replace("\x00", "").strip()[:500]
    _check_waiver(what, reason, expires_at, rule, advisory)
    if only_in is not None and scope.organization is not None and only_in.organization_id != scope.organization.pk:
        raise _bad("That channel is not one of this organization's.")
    with transaction.atomic():
        ids = take(Channel.objects.filter(pk=only_in.pk) if only_in is not None else scope.channels())
        return _grant(actor, scope, ids, what=what, reason=reason, expires_at=expires_at, rule=rule, advisory=advisory, only_in=only_in)


def _grant(actor: Actor, scope: Scope, channel_ids: list[int], *, only_in: Channel | None, **values: Any) -> Waiver:
    where = {**scope.columns, "channel": scope.channel or only_in}
    waiver = Waiver.objects.create(**where, **values, granted_by=actor.label)
    reapply(channel_ids, actor=actor)
    details = {key: str(value) for key, value in values.items() if value}
    _audit(actor, "policy.waive", scope, details | ({"only_in": only_in.name} if only_in is not None else {}))
    return waiver


def _check_waiver(what: str, reason: str, expires_at: datetime, rule: str, advisory: str) -> None:
    if not patterns.is_sha256(what) and not patterns.is_spec(what):
        raise _bad(f"'{what[:100]}' is neither a sha256 nor a MatchSpec of one name, with version and build where they matter.")
    if not reason:
        raise Unprocessable("Say why: this needs a reason.", code="reason_missing", hint="Send a 'reason'; it is kept with the waiver.")
    if expires_at <= timezone.now():
        raise _bad("A waiver ends in the future.")
    if rule not in ("", *RULE_NAMES):
        raise _bad(f"'{rule[:40]}' is no rule.")
    if advisory and rule not in ("", "advisories"):
        raise _bad("An advisory is named for the rule on advisories alone.")


def _bad(detail: str) -> Unprocessable:
    return Unprocessable(detail, code="bad_waiver", hint=f"Rules are {', '.join(RULE_NAMES)}; docs/policies.md says what a waiver names.")


def revoke_waiver(*, actor: Actor, waiver: Waiver) -> None:
    """End a waiver now. Raises Forbidden."""
    scope = scope_of(waiver)
    scope.require_keeper(actor, Permission.POLICY_WAIVE)
    with transaction.atomic():
        ids = take(Channel.objects.filter(pk=waiver.channel_id) if waiver.channel_id is not None else scope.channels())
        if Waiver.objects.filter(pk=waiver.pk).delete()[0]:
            reapply(ids, actor=actor)
            _audit(actor, "policy.revoke_waiver", scope, {"what": waiver.what, "rule": waiver.rule, "reason": waiver.reason})


def scope_of(waiver: Waiver) -> Scope:
    """The level that a waiver belongs to."""
    if waiver.level == PolicyLevel.INSTALLATION:
        return Scope.of_installation()
    if waiver.level == PolicyLevel.ORGANIZATION:
        assert waiver.organization is not None
        return Scope.of_organization(waiver.organization)
    assert waiver.channel is not None
    return Scope.of_channel(waiver.channel)


class Blocking(NamedTuple):
    """One rule of one level that keeps a package back."""

    level: PolicyLevel
    rule: str


def hidden_matching(channel: Channel, what: str) -> list[PackageFile]:
    """The files of a channel that policy hides and that a sha256 or MatchSpec means, at most MAX_RELEASED_FILES."""
    hidden = PackageFile.objects.hidden().filter(channel=channel)
    if patterns.is_sha256(what):
        return list(hidden.filter(sha256=what)[:MAX_RELEASED_FILES])
    found = hidden.filter(name=patterns.name_of(what)).order_by("pk")
    return [file for file in found if patterns.matches(what, patterns.identity_of(file))][:MAX_RELEASED_FILES]


def blocking(channel: Channel, files: Sequence[PackageFile]) -> set[Blocking]:
    """The rules that keep these files back now, waived ones left out."""
    view, now = view_of(channel, names={file.name for file in files}), timezone.now()
    return {Blocking(one.level, one.rule) for file in files for one in view.objections(file, now) if one.waived_until is None}


def release(*, actor: Actor, channel: Channel, what: str, reason: str, expires_at: datetime) -> list[Waiver]:
    """Show what policy hides: one waiver, for this channel alone, of each rule that keeps it back.

    Raises Forbidden where one of those rules is of a level that the actor does not keep, NotFound where nothing is hidden.
    """
    what, reason = what.strip(), reason.replace("\x00", "").strip()[:500]
    _check_waiver(what, reason, expires_at, "", "")
    files = hidden_matching(channel, what)
    if not files:
        raise NotFound(f"Policy hides nothing that '{what[:100]}' means in '{channel.name}'.", code="nothing_hidden")
    rules = sorted(blocking(channel, files))
    scopes = {one.level: Scope.reaching(one.level, channel) for one in rules}
    for level, scope in scopes.items():
        if not scope.is_kept_by(actor):
            raise Forbidden(
                f"A rule of the {level} keeps it back, and only its keeper can waive that.",
                code="not_the_keeper",
                hint=f"The rule is on {', '.join(one.rule for one in rules if one.level == level)}.",
            )
    with transaction.atomic():
        ids = take(Channel.objects.filter(pk=channel.pk))
        return [
            _grant(actor, scopes[one.level], ids, what=what, reason=reason, expires_at=expires_at, rule=one.rule, only_in=channel)
            for one in rules
        ]


class Loaded(NamedTuple):
    """What came of loading advisories. skipped: entries that say nothing of packages as conda names them."""

    entries: int
    advisories: int
    withdrawn: int
    skipped: int


def load_advisories(*, actor: Actor, entries: Iterable[osv.Entry], ecosystems: Sequence[str] = osv.ECOSYSTEMS) -> Loaded:
    """Keep what these OSV entries say, in place of what was kept of the same entries; withdrawn ones go. Raises Forbidden."""
    require(actor, Permission.HUB_OPERATE, HUB)
    wanted = [one.lower() for one in ecosystems]
    # All that is read and made of files comes before the transaction.
    latest = {entry.id[:100]: _advisories(entry, wanted) for entry in entries if entry.id}
    rows = [row for _, several in latest.values() for row in several]
    withdrawn = sum(was_withdrawn for was_withdrawn, _ in latest.values())
    skipped = sum(not several for was_withdrawn, several in latest.values() if not was_withdrawn)
    with transaction.atomic():
        ids = list(latest)
        for start in range(0, len(ids), CHUNK_ADVISORIES):
            Advisory.objects.filter(osv_id__in=ids[start : start + CHUNK_ADVISORIES]).delete()
        Advisory.objects.bulk_create(rows, batch_size=CHUNK_ADVISORIES)
        if ids:
            reapply(take(_channels_on_advisories()), actor=actor)
        loaded = Loaded(len(latest), len(rows), withdrawn, skipped)
        audit(actor=actor, action="advisories.load", target="installation", details=loaded._asdict())
    return loaded


def _advisories(entry: osv.Entry, ecosystems: Sequence[str]) -> tuple[bool, list[Advisory]]:
    """Whether the entry was withdrawn, and the rows that it gives."""
    if entry.withdrawn is not None:
        return True, []
    return False, [
        Advisory(
            osv_id=_text(entry.id)[:100],
            name=_text(one.name),
            key=_text(one.key),
            ecosystem=_text(one.ecosystem),
            severity=one.severity,
            aliases=[_text(alias)[:100] for alias in entry.aliases[: osv.MAX_ALIASES]],
            summary=" ".join(_text(entry.summary or entry.details).split())[:500],
            versions=[_text(version) for version in one.versions],
            ranges=[list(interval) for interval in one.ranges],
            modified_at=entry.modified,
        )
        for one in osv.said_of(entry, ecosystems)
    ]


def _text(text: str) -> str:
    """PostgreSQL stores no NUL character."""
    return text.replace("\x00", "")


def _channels_on_advisories() -> QuerySet[Channel]:
    """The channels on which a rule of some level looks at advisories."""
    found = [one for one in Policy.objects.all() if stored(one.rules).advisories is not None]
    if any(one.level == PolicyLevel.INSTALLATION for one in found):
        return Channel.objects.all()
    return Channel.objects.filter(
        Q(organization__in=[one.organization_id for one in found if one.organization_id is not None])
        | Q(pk__in=[one.channel_id for one in found if one.channel_id is not None])
    )


def _audit(actor: Actor, action: str, scope: Scope, details: dict[str, Any]) -> None:
    audit(actor=actor, action=action, target=scope.target, organization_id=scope.organization_id, details=details)
