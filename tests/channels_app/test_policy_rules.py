"""The verdict is a pure function: the strictest of what is said, and only a level's own waiver loosens that level."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels_app.models import Effect, PolicyLevel, Severity
from channels_app.policies import osv, patterns
from channels_app.policies.evaluate import LEVELS, AdvisoryFacts, Facts, Verdict, WaiverFacts, verdict
from channels_app.policies.numbering import is_later
from channels_app.policies.patterns import Identity, license_test
from channels_app.policies.rules import Rules, as_json, read_rules, stored
from condahub.errors import Unprocessable

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
STRICTNESS = {Effect.ALLOW: 0, Effect.HOLD: 1, Effect.DENY: 2}
INSTALLATION, ORGANIZATION, CHANNEL = LEVELS


def facts(name: str = "numpy", version: str = "1.0", *, size: int = 100, license: str = "MIT", attested: bool = False) -> Facts:
    return Facts(Identity(name, version, "py_0", 0, "noarch", "ab" * 32), size, (license,), attested)


def say(given: dict[PolicyLevel, dict[str, Any]], found: Facts | None = None, **more: Any) -> Verdict:
    rules = {level: read_rules(value) for level, value in given.items()}
    return verdict(found or facts(), first_seen=more.pop("first_seen", NOW), now=more.pop("now", NOW), rules=rules, **more)


# -- each rule ---------------------------------------------------------------------------------------------------------


def test_a_release_waits_for_the_hubs_own_days_and_says_until_when() -> None:
    rules = {CHANNEL: {"cooldown": {"days": 14}}}
    seen = NOW - timedelta(days=13)
    held = say(rules, first_seen=seen)
    assert (held.effect, held.rule, held.level, held.changes_at) == (Effect.HOLD, "cooldown", CHANNEL, seen + timedelta(days=14))
    assert "2026-10-19" in held.reason and "2026-11-02" in held.reason
    assert say(rules, first_seen=seen, now=seen + timedelta(days=14)) == Verdict(Effect.ALLOW)


@pytest.mark.parametrize(
    ("expression", "passes"),
    [
        ("MIT", True),
        ("mit", True),
        ("GPL-3.0-or-later", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR GPL-3.0-only) AND BSD-3-Clause", True),
        ("BSD-3-Clause AND (GPL-2.0-only OR LGPL-2.1-only)", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("", False),
        ("Custom Company Terms", False),
    ],
)
def test_a_license_expression_passes_when_it_can_be_met(expression: str, passes: bool) -> None:
    found = say({CHANNEL: {"licenses": {"allowed": ["MIT", "BSD-*", "Apache-2.0"]}}}, facts(license=expression))
    assert (found.effect == Effect.ALLOW) == passes


def test_a_denied_license_hides_nowhere_in_a_text() -> None:
    passes = license_test([], ["GPL*", "AGPL*"])
    assert passes("MIT") and passes("") and passes("MIT OR GPL-3.0-only") and passes("LGPL-2.1-only")
    for text in ("GPL-3.0-only", "GPL-2.0-only WITH Classpath-exception-2.0", "see LICENSE (GPL-3.0-only", "MIT AND GPL-2.0-only", "GPL 3"):
        assert not passes(text), text


def test_a_corrected_license_does_not_outweigh_the_packages_own() -> None:
    rules = {CHANNEL: {"licenses": {"denied": ["GPL*"]}}}
    assert say(rules, facts()._replace(licenses=("GPL-3.0-only", "MIT"))).effect == Effect.DENY
    assert say(rules, facts()._replace(licenses=("MIT", "GPL-3.0-only"))).effect == Effect.DENY


@pytest.mark.parametrize(
    ("rule", "hidden"),
    [
        ({"denied": ["num*"]}, True),
        ({"denied": ["numpy <1"]}, False),
        ({"denied": ["numpy >=1,<2"]}, True),
        ({"denied": ["scipy"]}, False),
        ({"allowed": ["scipy", "pandas*"]}, True),
        ({"allowed": ["numpy =1.0=py_0"]}, False),
        ({"allowed": ["n*"], "denied": ["numpy"]}, True),
    ],
)
def test_names_are_globs_and_matchspecs(rule: dict[str, list[str]], hidden: bool) -> None:
    assert (say({ORGANIZATION: {"names": rule}}).effect == Effect.DENY) == hidden


def test_size_and_attestation() -> None:
    assert say({CHANNEL: {"size": {"max_bytes": 100}}}).effect == Effect.ALLOW
    assert say({CHANNEL: {"size": {"max_bytes": 99, "effect": "hold"}}}).effect == Effect.HOLD
    assert say({CHANNEL: {"attestation": {}}}).effect == Effect.HOLD
    assert say({CHANNEL: {"attestation": {}}}, facts(attested=True)).effect == Effect.ALLOW


def advisory(severity: str = "high", **more: Any) -> AdvisoryFacts:
    return AdvisoryFacts("GHSA-1", more.pop("key", "numpy"), severity, ("CVE-2026-7",), "Reads past the end.", **more)


@pytest.mark.parametrize(
    ("one", "version", "affected"),
    [
        (advisory(ranges=(("0", "1.2", None),)), "1.1.9", True),
        (advisory(ranges=(("0", "1.2", None),)), "1.2", False),
        (advisory(ranges=(("1.0", None, "1.5"),)), "1.5.0", True),
        (advisory(ranges=(("1.0", None, "1.5"),)), "1.5.1", False),
        (advisory(ranges=(("1.0", None, None),)), "0.9", False),
        (advisory(ranges=(("1.0", None, None),)), "1.0rc1", False),
        (advisory(versions=frozenset({"2.0"})), "2.0.0", True),
        (advisory(ranges=(("0", None, None),), key="other"), "1.0", False),
    ],
)
def test_an_advisory_affects_versions_between_its_marks(one: AdvisoryFacts, version: str, affected: bool) -> None:
    found = say({INSTALLATION: {"advisories": {"min_severity": "high"}}}, facts(version=version), advisories=[one])
    assert (found.effect == Effect.DENY) == affected
    assert not affected or ("CVE-2026-7" in found.reason and "Reads past the end." in found.reason)


@pytest.mark.parametrize(
    ("ordered", "ecosystem"),
    [
        (["1.1.0l", "1.1.1-pre9", "1.1.1", "1.1.1_s", "1.1.1t", "1.1.2"], "conda"),
        (["1.0.2", "1.0.2a", "1.0.2z", "1.0.2za", "1.0.2zh", "1.0.3"], "conda"),
        (["9e", "9f", "10"], "conda"),
        (["2023", "2023c", "2024a"], ""),
        (["9.8", "9.8p1", "9.8p2", "9.9"], "conda"),
        (["1.0.dev1", "1.0a1", "1.0b2", "1.0rc1", "1.0", "1.0.post1", "1.0.1"], "conda"),
        (["1.0.0-alpha.1", "1.0.0-beta", "1.0.0", "1.0.0.1"], "npm"),
        (["1.9", "1.10", "1!0.1"], "conda"),
        (["1.0.dev1", "1.0b", "1.0rc1", "1.0", "1.0.post1"], "pypi"),
    ],
)
def test_versions_are_ordered_as_the_advisorys_upstream_numbers_them(ordered: list[str], ecosystem: str) -> None:
    for at, one in enumerate(ordered):
        assert [is_later(one, other, ecosystem=ecosystem) for other in ordered] == [at > place for place in range(len(ordered))], one


def test_versions_that_are_the_same_are_not_later_than_each_other() -> None:
    for one, other in (("1.0", "1.0.0"), ("1.1.1", "1.1.1_"), ("v2.0", "2"), ("1.0+local", "1.0"), ("1.1.1S", "1.1.1s")):
        assert not is_later(one, other) and not is_later(other, one), one


OPENSSL = [("0", "1.0.2zg", None), ("1.1.1", "1.1.1t", None), ("3.0.0", "3.0.8", None)]


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        *(("1.0.2u", True), ("1.0.2zf", True), ("1.0.2zg", False), ("1.1.0l", False), ("1.1.1", True), ("1.1.1s", True), ("1.1.1t", False)),
        *(("1.1.1w", False), ("3.0.7", True), ("3.0.8", False), ("3.1.0", False)),
    ],
)
def test_openssls_letters_are_held_against_an_advisorys_ranges(version: str, affected: bool) -> None:
    assert advisory(key="openssl", ecosystem="conda", ranges=tuple(OPENSSL)).affects(version) == affected


def test_an_advisory_below_the_least_severity_counts_for_nothing_and_an_unknown_one_counts_as_high() -> None:
    rules = {CHANNEL: {"advisories": {"min_severity": "high"}}}
    assert say(rules, advisories=[advisory("medium", ranges=(("0", None, None),))]).effect == Effect.ALLOW
    assert say(rules, advisories=[advisory("unknown", ranges=(("0", None, None),))]).effect == Effect.DENY
    assert say(rules, facts("Num_Py"), advisories=[advisory(key="num-py", ranges=(("0", None, None),))]).effect == Effect.DENY


@pytest.mark.parametrize(
    "rules",
    [
        {"cooldown": {"days": 0}},
        {"cooldown": {"day": 3}},
        {"cooldown": {"days": True}},
        {"speed": {}},
        {"names": {"denied": ["numpy[license=MIT]"]}},
        {"names": {"denied": ["conda-forge::numpy"]}},
        {"names": {"denied": ["numpy >=1.*.2,<"]}},
        {"licenses": {"allowed": ["MIT OR (BSD"]}},
        {"size": {"max_bytes": -1}},
        {"advisories": {"min_severity": "scary"}},
        {"size": {"max_bytes": 5, "effect": "allow"}},
        [],
        "x",
    ],
)
def test_rules_that_cannot_be_meant_are_refused(rules: Any) -> None:
    with pytest.raises(Unprocessable):
        read_rules(rules)


# -- together ----------------------------------------------------------------------------------------------------------

_rule = st.one_of(
    st.builds(lambda days, effect: {"cooldown": {"days": days, "effect": effect}}, st.integers(1, 40), st.sampled_from(["hold", "deny"])),
    st.sampled_from(
        [
            {"licenses": {"allowed": ["MIT"]}},
            {"licenses": {"denied": ["GPL*"], "effect": "hold"}},
            {"names": {"denied": ["num*"]}},
            {"names": {"allowed": ["scipy"], "effect": "hold"}},
            {"size": {"max_bytes": 50}},
            {"advisories": {"min_severity": "low"}},
            {"attestation": {}},
        ]
    ),
)
_rules = st.lists(_rule, max_size=3).map(lambda several: {key: value for one in several for key, value in one.items()})
_levels = st.fixed_dictionaries({}, optional=dict.fromkeys(LEVELS, _rules))
_facts = st.builds(
    facts,
    st.sampled_from(["numpy", "scipy"]),
    st.sampled_from(["1.0", "2.0"]),
    size=st.sampled_from([10, 100]),
    license=st.sampled_from(["MIT", "GPL-3.0-only", ""]),
    attested=st.booleans(),
)
_seen = st.integers(0, 50).map(lambda days: NOW - timedelta(days=days))
_waivers = st.lists(
    st.builds(
        WaiverFacts,
        st.sampled_from(LEVELS),
        st.sampled_from(["numpy", "numpy >=2", "scipy", "ab" * 32]),
        st.sampled_from(["", "cooldown", "licenses", "names", "size", "advisories"]),
        st.just(""),
        st.integers(-5, 30).map(lambda days: NOW + timedelta(days=days)),
    ),
    max_size=3,
)
_advisories = [AdvisoryFacts("X-1", "numpy", "low", ranges=(("0", "2.0", None),))]


def judge(given: dict[PolicyLevel, Any], found: Facts, seen: datetime, waivers: list[WaiverFacts], now: datetime = NOW) -> Verdict:
    return say(given, found, first_seen=seen, now=now, waivers=waivers, advisories=_advisories)


@settings(max_examples=300, deadline=None)
@given(_levels, _facts, _seen, _waivers, st.sampled_from(LEVELS), _rule)
def test_adding_a_rule_never_loosens(
    given: dict[PolicyLevel, Any], found: Facts, seen: datetime, waivers: list[WaiverFacts], level: PolicyLevel, extra: dict[str, Any]
) -> None:
    before = judge(given, found, seen, waivers)
    (name,) = extra
    if name in given.get(level, {}):
        return
    after = judge({**given, level: {**given.get(level, {}), **extra}}, found, seen, waivers)
    assert STRICTNESS[after.effect] >= STRICTNESS[before.effect]


@settings(max_examples=300, deadline=None)
@given(_levels, _facts, _seen, _waivers)
def test_the_strictest_of_the_three_levels_wins(
    given: dict[PolicyLevel, Any], found: Facts, seen: datetime, waivers: list[WaiverFacts]
) -> None:
    whole = judge(given, found, seen, waivers)
    alone = [judge({level: rules}, found, seen, waivers) for level, rules in given.items()]
    assert STRICTNESS[whole.effect] == max((STRICTNESS[one.effect] for one in alone), default=0)


@settings(max_examples=300, deadline=None)
@given(_levels, _facts, _seen, _waivers, st.sampled_from(LEVELS))
def test_a_waiver_loosens_its_own_level_alone(
    given: dict[PolicyLevel, Any], found: Facts, seen: datetime, waivers: list[WaiverFacts], level: PolicyLevel
) -> None:
    extra = WaiverFacts(level, found.identity.name, "", "", NOW + timedelta(days=1))
    others = {one: rules for one, rules in given.items() if one != level}
    after = judge(given, found, seen, [*waivers, extra])
    assert after.effect == judge(others, found, seen, waivers).effect
    assert STRICTNESS[after.effect] <= STRICTNESS[judge(given, found, seen, waivers).effect]


@settings(max_examples=300, deadline=None)
@given(_levels, _facts, _seen, _waivers, st.integers(0, 60 * 24))
def test_nothing_changes_before_the_moment_that_is_named(
    given: dict[PolicyLevel, Any], found: Facts, seen: datetime, waivers: list[WaiverFacts], hours: int
) -> None:
    first = judge(given, found, seen, waivers)
    assert first == judge(given, found, seen, waivers), "a pure function"
    assert first.changes_at is None or first.changes_at > NOW
    later = NOW + timedelta(hours=hours)
    if first.changes_at is None or later < first.changes_at:
        assert judge(given, found, seen, waivers, later).effect == first.effect


@given(_rules)
def test_rules_come_back_as_they_were_stored(rules: dict[str, Any]) -> None:
    read = read_rules(rules)
    assert stored(json.loads(json.dumps(as_json(read)))) == read
    assert read.is_empty == (not rules) and Rules().is_empty


# -- OSV ---------------------------------------------------------------------------------------------------------------

ENTRY = {
    "id": "GHSA-aaaa",
    "schema_version": "1.6.0",
    "modified": "2026-01-02T03:04:05Z",
    "aliases": ["CVE-2026-1000"],
    "summary": "A flaw.",
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Some_Package", "purl": "pkg:pypi/some-package"},
            "ranges": [
                {"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "abcdef"}]},
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.4"}, {"introduced": "2.0"}, {"last_affected": "2.3"}]},
            ],
            "versions": ["1.0", "1.1"],
        },
        {"package": {"ecosystem": "npm", "name": "some-package"}, "versions": ["9"]},
    ],
}


def test_an_osv_entry_is_read_for_the_ecosystems_that_are_condas_too() -> None:
    (entry,) = osv.read_entries(json.dumps(ENTRY).encode())
    (said,) = osv.said_of(entry)
    assert (said.name, said.key, said.ecosystem, said.severity) == ("some-package", "some-package", "pypi", Severity.CRITICAL)
    assert said.ranges == [("0", "1.4", None), ("2.0", None, "2.3")] and said.versions == ["1.0", "1.1"]
    assert [one.ecosystem for one in osv.said_of(entry, ["npm"])] == ["npm"]


def test_the_events_of_a_range_may_stand_in_any_order() -> None:
    starts = [{"introduced": "1.1.1"}, {"introduced": "0"}, {"introduced": "3.0.0"}, {"introduced": "4.0"}]
    ends = [{"fixed": "3.0.8"}, {"last_affected": "4.0"}, {"fixed": "1.1.1t"}, {"fixed": "1.0.2zg"}, {"fixed": "not a version"}]
    affected = [{"package": {"name": "openssl", "purl": "pkg:conda/openssl"}, "ranges": [{"events": [*starts, *ends]}]}]
    (entry,) = osv.read_entries(json.dumps({"id": "CVE-1", "affected": affected}).encode())
    (said,) = osv.said_of(entry)
    assert said.ranges == [*OPENSSL, ("4.0", None, "4.0")]


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.0/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N", 1.8),
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 9.9),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", None),
        ("nonsense", None),
    ],
)
def test_cvss_3_base_scores(vector: str, score: float | None) -> None:
    assert osv.base_score(vector) == score


@pytest.mark.parametrize("text", ["numpy", "numpy >=1", "numpy=1.2=py3*", "numpy 1.0 py_0", "_x.y-z"])
def test_what_a_waiver_can_name(text: str) -> None:
    assert patterns.is_spec(text)


@pytest.mark.parametrize(
    "text", ["*", "num*", "conda-forge::numpy", "numpy[license=MIT]", "https://x/numpy-1-0.conda", "", "a b c d ]", "../x"]
)
def test_what_a_waiver_cannot_name(text: str) -> None:
    assert not patterns.is_spec(text)
