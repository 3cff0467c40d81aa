"""What policy says of a package: a pure function of its facts, its first sight, the time, and what the three levels demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from channels_app.models.files import Effect
from channels_app.models.policy import PolicyLevel, Severity
from channels_app.policies import patterns
from channels_app.policies.numbering import is_later
from channels_app.policies.patterns import Identity
from channels_app.policies.rules import SEVERITY_RANK, Advisories, Cooldown, Licenses, Names, Rules, Size
from condahub.engine import versions

LEVELS = (PolicyLevel.INSTALLATION, PolicyLevel.ORGANIZATION, PolicyLevel.CHANNEL)
_STRICTNESS = {Effect.ALLOW: 0, Effect.HOLD: 1, Effect.DENY: 2}
_WHOSE = {PolicyLevel.INSTALLATION: "This hub", PolicyLevel.ORGANIZATION: "The organization", PolicyLevel.CHANNEL: "The channel"}


class AdvisoryFacts(NamedTuple):
    """One advisory for one package name. ranges: (introduced, fixed or None, last affected or None), in its ecosystem's order."""

    osv_id: str
    key: str
    severity: str
    aliases: tuple[str, ...] = ()
    summary: str = ""
    versions: frozenset[str] = frozenset()
    ranges: tuple[tuple[str, str | None, str | None], ...] = ()
    ecosystem: str = ""

    @property
    def best_name(self) -> str:
        """The CVE number where there is one."""
        return next((one for one in (self.osv_id, *self.aliases) if one.startswith("CVE-")), self.osv_id)

    def affects(self, version: str) -> bool:
        if version in self.versions or any(versions.is_same(version, one) for one in self.versions):
            return True
        return any(self._holds(version, *one) for one in self.ranges)

    def _holds(self, version: str, introduced: str, fixed: str | None, last: str | None) -> bool:
        if introduced != "0" and is_later(introduced, version, ecosystem=self.ecosystem):
            return False
        if fixed is not None:
            return is_later(fixed, version, ecosystem=self.ecosystem)
        return last is None or not is_later(version, last, ecosystem=self.ecosystem)


class Facts(NamedTuple):
    """What rules ask of a package file.

    licenses: the record's own, and the one that a hotfix puts over it where it does: both must pass, as whoever may correct
    a record need not be the one who keeps the rule. size in bytes. advisories: those loaded for its name, whatever the version.
    """

    identity: Identity
    size: int
    licenses: tuple[str, ...] = ()
    attested: bool = False
    advisories: tuple[AdvisoryFacts, ...] = ()

    @property
    def affecting(self) -> list[AdvisoryFacts]:
        """The advisories that affect this version, whatever the rules make of them."""
        return [one for one in self.advisories if one.affects(self.identity.version)]


class WaiverFacts(NamedTuple):
    """A waiver that acts on the channel in question; see channels_app.models.policy.Waiver."""

    level: PolicyLevel
    what: str
    rule: str
    advisory: str
    expires_at: datetime


class Verdict(NamedTuple):
    """What is said of a file. changes_at: the next moment at which it may be another without any edit; None for never."""

    effect: Effect
    reason: str = ""
    rule: str = ""
    level: PolicyLevel | None = None
    changes_at: datetime | None = None


ALLOWED = Verdict(Effect.ALLOW)


class _Finding(NamedTuple):
    """One thing that one rule objects to. until: when it ends by itself."""

    said: str
    until: datetime | None = None
    advisory: tuple[str, ...] = ()


_Check = Callable[[Facts, datetime, datetime], Iterable[_Finding]]


class _Rule(NamedTuple):
    level: PolicyLevel
    name: str
    effect: Effect
    check: _Check


class Objection(NamedTuple):
    """What one rule of one level says of a file, and the moment its waivers run out where it has been waived."""

    level: PolicyLevel
    rule: str
    effect: Effect
    reason: str
    until: datetime | None
    waived_until: datetime | None


def verdict(
    facts: Facts,
    *,
    first_seen: datetime,
    now: datetime,
    rules: Mapping[PolicyLevel, Rules],
    advisories: Sequence[AdvisoryFacts] = (),
    waivers: Sequence[WaiverFacts] = (),
) -> Verdict:
    """The strictest of what all rules of all levels say, but for what each level's own waivers except."""
    known = facts._replace(advisories=tuple(one for one in advisories if one.key == patterns.key_of(facts.identity.name)))
    return Judge(rules, waivers).verdict(known, first_seen=first_seen, now=now)


class Judge:
    """Rules and waivers made ready for many files; immutable, and safe to share between threads."""

    def __init__(self, rules: Mapping[PolicyLevel, Rules], waivers: Iterable[WaiverFacts] = ()) -> None:
        self._waivers = tuple(sorted(set(waivers), key=lambda one: (one.level, one.what, one.rule, one.advisory, one.expires_at)))
        self._waived_names = {patterns.name_of(one.what) for one in self._waivers}
        self._rules = tuple(made for level in LEVELS for made in self._compiled(level, rules.get(level) or Rules()))
        names = {rule.name for rule in self._rules}
        # Whether every file is allowed; whether a rule asks for the first sight, what only the record says, advisories, attestations.
        self.says_nothing = not names
        self.needs_first_sight = "cooldown" in names
        self.needs_record = bool(names & {"licenses", "attestation"})
        self.needs_advisories = "advisories" in names
        self.needs_attestations = "attestation" in names

    def verdict(self, facts: Facts, *, first_seen: datetime, now: datetime) -> Verdict:
        worst: Objection | None = None
        changes_at: datetime | None = None
        for found in self.objections(facts, first_seen=first_seen, now=now):
            moment = found.waived_until or found.until
            if moment is not None and (changes_at is None or moment < changes_at):
                changes_at = moment
            if found.waived_until is None and (worst is None or _outweighs(found, worst)):
                worst = found
        if worst is None:
            return ALLOWED if changes_at is None else Verdict(Effect.ALLOW, changes_at=changes_at)
        return Verdict(worst.effect, worst.reason, worst.rule, worst.level, changes_at)

    def objections(self, facts: Facts, *, first_seen: datetime, now: datetime) -> Iterator[Objection]:
        """Everything that any rule objects to, waived or not."""
        for rule in self._rules:
            for found in rule.check(facts, first_seen, now):
                waived_until = self._waived_until(rule, found, facts.identity, now) if self._waivers else None
                yield Objection(rule.level, rule.name, rule.effect, f"{_WHOSE[rule.level]} {found.said}", found.until, waived_until)

    def _waived_until(self, rule: _Rule, found: _Finding, identity: Identity, now: datetime) -> datetime | None:
        if identity.name not in self._waived_names and "" not in self._waived_names:
            return None
        return max(
            (
                one.expires_at
                for one in self._waivers
                if one.level == rule.level
                and one.expires_at > now
                and one.rule in ("", rule.name)
                and (not one.advisory or one.advisory in found.advisory)
                and patterns.matches(one.what, identity)
            ),
            default=None,
        )

    def _compiled(self, level: PolicyLevel, rules: Rules) -> Iterator[_Rule]:
        checks = {
            "cooldown": _cooldown(rules.cooldown) if rules.cooldown else None,
            "licenses": _licenses(rules.licenses) if rules.licenses else None,
            "names": _names(rules.names) if rules.names else None,
            "size": _size(rules.size) if rules.size else None,
            "advisories": _advised(rules.advisories) if rules.advisories else None,
            "attestation": _attested if rules.attestation else None,
        }
        for name, check in checks.items():
            if check is not None:
                yield _Rule(level, name, Effect(getattr(rules, name).effect), check)


# -- one builder a rule: what it asks of the facts, and the sentence that it says ----------------------------------------


def _cooldown(rule: Cooldown) -> _Check:
    wait = timedelta(days=rule.days)

    @lru_cache(maxsize=4096)
    def said(came: date, due: date) -> str:
        return f"waits {rule.days} days before it shows new packages; this one came on {came} and is due on {due}."

    def check(facts: Facts, first_seen: datetime, now: datetime) -> Iterable[_Finding]:
        until = first_seen + wait
        return () if now >= until else (_Finding(said(first_seen.date(), until.date()), until),)

    return check


def _licenses(rule: Licenses) -> _Check:
    passes = patterns.license_test(rule.allowed, rule.denied)

    def check(facts: Facts, first_seen: datetime, now: datetime) -> Iterable[_Finding]:
        for text in facts.licenses or ("",):
            if not passes(text):
                said = f"does not allow the license '{text[:200]}'." if text else "allows no package that does not name its license."
                return (_Finding(said),)
        return ()

    return check


def _names(rule: Names) -> _Check:
    denied = patterns.build_test(rule.denied)
    allowed = patterns.build_test(rule.allowed) if rule.allowed else None

    def check(facts: Facts, first_seen: datetime, now: datetime) -> Iterable[_Finding]:
        if (pattern := denied(facts.identity)) is not None:
            return (_Finding(f"does not allow '{pattern}'."),)
        if allowed is not None and allowed(facts.identity) is None:
            return (_Finding("allows only the packages that its list names."),)
        return ()

    return check


def _size(rule: Size) -> _Check:
    def check(facts: Facts, first_seen: datetime, now: datetime) -> Iterable[_Finding]:
        if facts.size <= rule.max_bytes:
            return ()
        return (_Finding(f"allows at most {rule.max_bytes:,} bytes, and this has {facts.size:,}."),)

    return check


def _advised(rule: Advisories) -> _Check:
    least = SEVERITY_RANK[Severity(rule.min_severity)]

    def check(facts: Facts, first_seen: datetime, now: datetime) -> Iterable[_Finding]:
        if not facts.advisories:
            return ()
        return [_finding(one) for one in facts.affecting if SEVERITY_RANK[Severity(one.severity)] >= least]

    return check


def _finding(advisory: AdvisoryFacts) -> _Finding:
    said = f"does not allow what {advisory.best_name} ({advisory.severity}) affects"
    return _Finding(f"{said}: {advisory.summary[:200]}" if advisory.summary else f"{said}.", None, (advisory.osv_id, *advisory.aliases))


def _attested(facts: Facts, first_seen: datetime, now: datetime) -> Iterable[_Finding]:
    return () if facts.attested else (_Finding("asks for an attestation, and none came with it."),)


def _outweighs(one: Objection, other: Objection) -> bool:
    """Stricter; of two that are as strict, the one that does not end by itself. What came first stays otherwise."""
    if one.effect != other.effect:
        return _STRICTNESS[one.effect] > _STRICTNESS[other.effect]
    return one.until is None and other.until is not None
