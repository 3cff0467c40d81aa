"""Reads what the three levels demand of a channel, and judges its files by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.db.models import DateTimeField, Q, Value
from django.utils import timezone

from channels_app.models import Advisory, Channel, PackageFile, Policy, PolicyLevel, Waiver
from channels_app.policies.evaluate import ALLOWED, AdvisoryFacts, Facts, Judge, Objection, Verdict, WaiverFacts
from channels_app.policies.patterns import Identity, key_of
from channels_app.policies.rules import Rules, stored

MAX_REASON_CHARS = 500
IDENTITY_COLUMNS = ("name", "version", "build", "build_number", "subdir", "sha256", "size")
SIGHT_COLUMNS = ("indexed_at", "first_seen_at")
RECORD_COLUMNS = ("record", "patch")
FULL_COLUMNS = (*IDENTITY_COLUMNS, *SIGHT_COLUMNS, *RECORD_COLUMNS)
VERDICT_FIELDS = ("verdict", "verdict_reason", "verdict_changes_at")


class _Said(msgspec.Struct):
    """The part of a record that rules ask for."""

    license: Any = None
    attestations_sha256: str | None = None


class _Patched(msgspec.Struct):
    license: Any = msgspec.UNSET


_said, _patched = msgspec.json.Decoder(_Said), msgspec.json.Decoder(_Patched)
_NO_TIME = Value(None, output_field=DateTimeField())
Known = Mapping[str, tuple[AdvisoryFacts, ...]]


class View:
    """The rules, waivers and advisories that act on one channel, ready to judge its files; immutable."""

    def __init__(self, judge: Judge, advisories: Known | None = None) -> None:
        self.judge = judge
        self._advisories = advisories or {}
        # The record is most of a row, and reading a time takes longest: both are left out where no rule asks for them.
        sight = SIGHT_COLUMNS if judge.needs_first_sight else (_NO_TIME, _NO_TIME)
        self.columns = (*IDENTITY_COLUMNS, *sight, *(RECORD_COLUMNS if judge.needs_record else ()))

    @property
    def says_nothing(self) -> bool:
        """Whether every file is allowed."""
        return self.judge.says_nothing

    def facts(self, row: Sequence[Any], *, full: bool | None = None) -> Facts:
        """Out of a row of `columns`; full: of FULL_COLUMNS."""
        identity = Identity(*row[:6])
        known = self._advisories.get(key_of(identity.name), ()) if self._advisories else ()
        if not (self.judge.needs_record if full is None else full):
            return Facts(identity, row[6], advisories=known)
        said = _said.decode(row[9])
        licenses: tuple[str, ...] = (_text(said.license),)
        if row[10] and (patched := _patched.decode(row[10]).license) is not msgspec.UNSET:
            licenses = (*licenses, _text(patched))
        return Facts(identity, row[6], licenses, bool(said.attestations_sha256), known)

    def verdict(self, row: Sequence[Any], now: datetime) -> Verdict:
        """The verdict on a row of `columns` as it is stored: its reason cut to the column's length."""
        if self.judge.says_nothing:
            return ALLOWED
        made = self.judge.verdict(self.facts(row), first_seen=row[8] or row[7] or now, now=now)
        return made if len(made.reason) <= MAX_REASON_CHARS else made._replace(reason=made.reason[: MAX_REASON_CHARS - 1] + "…")

    def objections(self, file: PackageFile, now: datetime) -> list[Objection]:
        """Everything that any rule objects to in a file, waived or not."""
        facts = self.facts(row_of(file), full=True)
        return list(self.judge.objections(facts, first_seen=file.first_sight, now=now))


def row_of(file: PackageFile) -> list[Any]:
    """A file's FULL_COLUMNS."""
    return [getattr(file, column) for column in FULL_COLUMNS]


def _text(value: object) -> str:
    """Some old records hold a list."""
    if isinstance(value, list):
        return " AND ".join(f"({one})" for one in value if isinstance(one, str))
    return value if isinstance(value, str) else ""


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


def known_advisories(names: Iterable[str] | None = None) -> Known:
    """The loaded advisories by the key of the package's name; of these names only, where some are given."""
    rows = Advisory.objects.order_by("key", "osv_id", "ecosystem")
    if names is not None:
        rows = rows.filter(key__in={key_of(name) for name in names})
    found: dict[str, list[AdvisoryFacts]] = {}
    for one in rows.iterator(chunk_size=2000):
        found.setdefault(one.key, []).append(
            AdvisoryFacts(
                osv_id=one.osv_id,
                key=one.key,
                severity=one.severity,
                aliases=tuple(one.aliases),
                summary=one.summary,
                versions=frozenset(one.versions),
                ranges=tuple((introduced, fixed, last) for introduced, fixed, last in one.ranges),
                ecosystem=one.ecosystem,
            )
        )
    return {key: tuple(several) for key, several in found.items()}


def judge_of(channel: Channel, *, instead: tuple[PolicyLevel, Rules] | None = None) -> Judge:
    """The channel's rules and waivers as the database has them now. instead: rules to try at one level. One or two queries."""
    rules = rules_on(channel)
    if instead is not None:
        rules[instead[0]] = instead[1]
    if all(one.is_empty for one in rules.values()):
        return Judge({})
    return Judge(rules, waivers_on(channel))


def view_of(channel: Channel, *, instead: tuple[PolicyLevel, Rules] | None = None, names: Iterable[str] | None = None) -> View:
    """The channel's view as the database has it now. names: of the packages that it will judge, where they are few."""
    judge = judge_of(channel, instead=instead)
    return View(judge, known_advisories(names) if judge.needs_advisories else None)


def stamp(view: View, files: Iterable[PackageFile], *, now: datetime | None = None) -> list[PackageFile]:
    """Give files the verdict they have now, in memory; those that got another. To be saved: VERDICT_FIELDS."""
    when = now or timezone.now()
    changed = []
    for file in files:
        made = view.verdict(row_of(file), when)
        if (file.verdict, file.verdict_reason, file.verdict_changes_at) != (made.effect, made.reason, made.changes_at):
            file.verdict, file.verdict_reason, file.verdict_changes_at = made.effect, made.reason, made.changes_at
            changed.append(file)
    return changed


def verdict_on(judge: Judge, file_id: int, now: datetime) -> Verdict:
    """What a judge says of one file now, which is allowed where there is none; two queries at most."""
    if judge.says_nothing:
        return ALLOWED
    view = View(judge)
    row = PackageFile.objects.filter(pk=file_id).values_list(*view.columns).first()
    if row is None:
        return ALLOWED
    if judge.needs_advisories:
        view = View(judge, known_advisories([row[0]]))
    return view.verdict(row, now)
