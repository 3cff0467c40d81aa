"""Reads what the three levels demand of a channel, and judges its files by it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from django.db.models import Q
from django.utils import timezone

from channels_app.models import Advisory, Channel, PackageFile, Policy, PolicyLevel, Waiver
from channels_app.policies.evaluate import ALLOWED, AdvisoryFacts, Facts, Judge, Verdict, WaiverFacts
from channels_app.policies.patterns import Identity
from channels_app.policies.rules import Rules, stored

MAX_REASON_CHARS = 500
IDENTITY_COLUMNS = ("name", "version", "build", "build_number", "subdir", "sha256")
PLAIN_COLUMNS = (*IDENTITY_COLUMNS, "size", "indexed_at", "first_seen_at")
# The record is most of a row: it is read only where a rule asks for it.
FULL_COLUMNS = (*PLAIN_COLUMNS, "record", "patch")
VERDICT_FIELDS = ("verdict", "verdict_reason", "verdict_changes_at")


class Sight(NamedTuple):
    """What judging a file takes."""

    facts: Facts
    first_seen: datetime


class _Said(msgspec.Struct):
    """The part of a record that rules ask for."""

    license: Any = None
    attestations_sha256: str | None = None


class _Patched(msgspec.Struct):
    license: Any = msgspec.UNSET


_said, _patched = msgspec.json.Decoder(_Said), msgspec.json.Decoder(_Patched)


def columns(judge: Judge) -> tuple[str, ...]:
    """The columns of PackageFile that `sight_of` needs for this judge."""
    return FULL_COLUMNS if judge.needs_record else PLAIN_COLUMNS


def sight_of(row: Sequence[Any]) -> Sight:
    """Out of a row of `columns`."""
    name, version, build, build_number, subdir, sha256, size, indexed_at, first_seen_at = row[:9]
    identity = Identity(name, version, build, build_number, subdir, sha256)
    if len(row) == len(PLAIN_COLUMNS):
        return Sight(Facts(identity, size), first_seen_at or indexed_at)
    said = _said.decode(row[9])
    licenses = [_text(said.license)]
    if row[10] and (patched := _patched.decode(row[10]).license) is not msgspec.UNSET:
        licenses.append(_text(patched))
    return Sight(Facts(identity, size, tuple(licenses), bool(said.attestations_sha256)), first_seen_at or indexed_at)


def _text(value: object) -> str:
    """Some old records hold a list."""
    if isinstance(value, list):
        return " AND ".join(f"({one})" for one in value if isinstance(one, str))
    return value if isinstance(value, str) else ""


def sight_of_file(file: PackageFile) -> Sight:
    return sight_of([getattr(file, column) for column in FULL_COLUMNS])


def rules_on(channel: Channel) -> dict[PolicyLevel, Rules]:
    """The rules that apply to a channel, by level."""
    rows = Policy.objects.filter(
        Q(level=PolicyLevel.INSTALLATION)
        | Q(level=PolicyLevel.ORGANIZATION, organization=channel.organization_id)
        | Q(level=PolicyLevel.CHANNEL, channel=channel)
    )
    return {PolicyLevel(level): stored(rules) for level, rules in rows.values_list("level", "rules")}


def waivers_on(channel: Channel) -> list[WaiverFacts]:
    """The waivers that act on a channel now."""
    rows = (
        Waiver.objects.filter(expires_at__gt=timezone.now())
        .filter(Q(channel=None) | Q(channel=channel))
        .filter(Q(level=PolicyLevel.INSTALLATION) | Q(level=PolicyLevel.CHANNEL) | Q(organization=channel.organization_id))
    )
    return [
        WaiverFacts(PolicyLevel(level), what, rule, advisory, expires_at)
        for level, what, rule, advisory, expires_at in rows.values_list("level", "what", "rule", "advisory", "expires_at")
    ]


def advisory_facts(rows: Iterable[Advisory]) -> list[AdvisoryFacts]:
    return [
        AdvisoryFacts(
            osv_id=one.osv_id,
            key=one.key,
            severity=one.severity,
            aliases=tuple(one.aliases),
            summary=one.summary,
            versions=frozenset(one.versions),
            ranges=tuple((introduced, fixed, last) for introduced, fixed, last in one.ranges),
        )
        for one in rows
    ]


def judge_of(channel: Channel, *, instead: tuple[PolicyLevel, Rules] | None = None, names: Iterable[str] | None = None) -> Judge:
    """The judge of a channel as the database has it now. instead: rules to try at one level.

    names: package names' keys that it will be asked about, where they are few; else all advisories are read.
    """
    rules = rules_on(channel)
    if instead is not None:
        rules[instead[0]] = instead[1]
    if all(one.is_empty for one in rules.values()):
        return Judge({})
    advisories: list[AdvisoryFacts] = []
    if any(one.advisories is not None for one in rules.values()):
        found = Advisory.objects.all() if names is None else Advisory.objects.filter(key__in=set(names))
        advisories = advisory_facts(found.iterator(chunk_size=2000))
    return Judge(rules, advisories, waivers_on(channel))


def judged(judge: Judge, sight: Sight, now: datetime) -> Verdict:
    """The verdict as it is stored: its reason cut to the column's length."""
    made = judge.verdict(sight.facts, first_seen=sight.first_seen, now=now)
    return made if len(made.reason) <= MAX_REASON_CHARS else made._replace(reason=made.reason[: MAX_REASON_CHARS - 1] + "…")


def stamp(judge: Judge, files: Iterable[PackageFile], *, now: datetime | None = None) -> list[PackageFile]:
    """Give files the verdict they have now, in memory; those that got another. The fields are in VERDICT_FIELDS."""
    when = now or timezone.now()
    changed = []
    for file in files:
        made = ALLOWED if judge.says_nothing else judged(judge, sight_of_file(file), when)
        if (file.verdict, file.verdict_reason, file.verdict_changes_at) != (made.effect, made.reason, made.changes_at):
            file.verdict, file.verdict_reason, file.verdict_changes_at = made.effect, made.reason, made.changes_at
            changed.append(file)
    return changed
