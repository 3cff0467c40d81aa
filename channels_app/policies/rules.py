"""The rules that a policy is made of, as they are written in JSON, and their checking."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from channels_app.models.policy import Severity
from channels_app.policies import patterns
from condahub.errors import Unprocessable

MAX_PATTERNS = 10_000
MAX_COOLDOWN_DAYS = 3650
MAX_BYTES = 2**50

EffectName = Literal["hold", "deny"]
Pattern = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
Patterns = Annotated[list[Pattern], msgspec.Meta(max_length=MAX_PATTERNS)]
SeverityName = Literal["low", "medium", "high", "critical"]

SEVERITY_RANK = {Severity.LOW: 0, Severity.MEDIUM: 1, Severity.HIGH: 2, Severity.CRITICAL: 3, Severity.UNKNOWN: 2}


class _Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Cooldown(_Rule, frozen=True):
    """Nothing that the hub itself has not known for `days`. The builder's timestamp, which anybody can forge, counts for nothing."""

    days: Annotated[int, msgspec.Meta(ge=1, le=MAX_COOLDOWN_DAYS)]
    effect: EffectName = "hold"


class Licenses(_Rule, frozen=True):
    """SPDX identifiers, as globs. An expression passes when it can be met by allowed licenses and without denied ones."""

    allowed: Patterns = []
    denied: Patterns = []
    effect: EffectName = "deny"


class Names(_Rule, frozen=True):
    """Package names as globs, or MatchSpecs of name, version and build. Where something is allowed, nothing else is."""

    allowed: Patterns = []
    denied: Patterns = []
    effect: EffectName = "deny"


class Size(_Rule, frozen=True):
    """No file of more bytes than this."""

    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_BYTES)]
    effect: EffectName = "deny"


class Advisories(_Rule, frozen=True):
    """Nothing that a loaded advisory of at least this severity affects; one that does not say how grave it is counts as high."""

    min_severity: SeverityName = "high"
    effect: EffectName = "deny"


class Attestation(_Rule, frozen=True):
    """Nothing without an attestation (CEP-50) that came with the package."""

    effect: EffectName = "hold"


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One level's rules; those left out do not apply."""

    cooldown: Cooldown | None = None
    licenses: Licenses | None = None
    names: Names | None = None
    size: Size | None = None
    advisories: Advisories | None = None
    attestation: Attestation | None = None

    @property
    def is_empty(self) -> bool:
        return all(getattr(self, name) is None for name in RULE_NAMES)


RULE_NAMES = tuple(Rules.__struct_fields__)


def read_rules(value: Any) -> Rules:
    """Rules out of JSON, checked. Raises Unprocessable that names what is wrong."""
    try:
        rules = msgspec.convert(value, Rules)
    except msgspec.ValidationError as error:
        raise _bad(f"The rules can't be read: {str(error)[:300]}.") from None
    for text in (*(rules.names.allowed if rules.names else ()), *(rules.names.denied if rules.names else ())):
        if not patterns.is_pattern(text):
            raise _bad(f"'{text[:100]}' is neither a glob of a name nor a MatchSpec of name, version and build.")
    for text in (*(rules.licenses.allowed if rules.licenses else ()), *(rules.licenses.denied if rules.licenses else ())):
        if not patterns.is_license_pattern(text):
            raise _bad(f"'{text[:100]}' is not one SPDX identifier.")
    return rules


def as_json(rules: Rules) -> dict[str, Any]:
    """What is stored and shown: the rules that apply, with all that they say."""
    return {name: msgspec.to_builtins(rule) for name in RULE_NAMES if (rule := getattr(rules, name)) is not None}


def stored(value: dict[str, Any]) -> Rules:
    """Rules that were checked when they were stored."""
    return msgspec.convert(value, Rules)


def _bad(detail: str) -> Unprocessable:
    return Unprocessable(
        detail, code="bad_policy", hint=f"Rules are {', '.join(RULE_NAMES)}; docs/policies.md shows each of them with an example."
    )
