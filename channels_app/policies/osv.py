"""Reads advisories in OSV's format (https://ossf.github.io/osv-schema/): one entry gives one advisory a package name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import datetime
from functools import cmp_to_key
from typing import Any

import msgspec

from channels_app.models.policy import Severity
from channels_app.policies.numbering import is_later
from channels_app.policies.patterns import key_of
from condahub.engine import versions

# Names of these are conda's too, often enough; an operator names others.
ECOSYSTEMS = ("conda", "pypi")
MAX_VERSIONS = 5000
MAX_ALIASES = 50
_PURL = re.compile(r"pkg:([a-z]+)/([^@?#]+)")
_WORDS = {
    "LOW": Severity.LOW,
    "MODERATE": Severity.MEDIUM,
    "MEDIUM": Severity.MEDIUM,
    "HIGH": Severity.HIGH,
    "IMPORTANT": Severity.HIGH,
    "CRITICAL": Severity.CRITICAL,
}


class _Package(msgspec.Struct):
    name: str = ""
    ecosystem: str = ""
    purl: str = ""


class _Range(msgspec.Struct):
    type: str = "ECOSYSTEM"
    events: list[dict[str, str]] = []


class _Affected(msgspec.Struct):
    package: _Package = msgspec.field(default_factory=_Package)
    ranges: list[_Range] = []
    versions: list[str] = []
    severity: list[dict[str, Any]] = []
    database_specific: dict[str, Any] = {}
    ecosystem_specific: dict[str, Any] = {}


class Entry(msgspec.Struct):
    """One OSV entry; keys that are not named here are let pass."""

    id: str
    affected: list[_Affected] = []
    aliases: list[str] = []
    summary: str = ""
    details: str = ""
    severity: list[dict[str, Any]] = []
    modified: datetime | None = None
    withdrawn: datetime | None = None
    database_specific: dict[str, Any] = {}


class Said(msgspec.Struct, frozen=True):
    """What an entry says of one name. ranges: [introduced, fixed or None, last affected or None]."""

    name: str
    key: str
    ecosystem: str
    severity: Severity
    versions: list[str]
    ranges: list[tuple[str, str | None, str | None]]


def read_entries(data: bytes) -> list[Entry]:
    """One entry, or a list of them. Raises msgspec.ValidationError, msgspec.DecodeError."""
    value = msgspec.json.decode(data)
    return msgspec.convert(value if isinstance(value, list) else [value], list[Entry])


def said_of(entry: Entry, ecosystems: Collection[str] = ECOSYSTEMS) -> Iterator[Said]:
    """What the entry says of packages of these ecosystems, one a name; nothing of what can't be compared with a version."""
    found: dict[tuple[str, str], Said] = {}
    for affected in entry.affected:
        ecosystem, name = _named(affected.package)
        if ecosystem not in ecosystems or not name:
            continue
        said = Said(
            name=name[:128],
            key=key_of(name)[:128],
            ecosystem=ecosystem[:60],
            severity=_severity(entry, affected),
            versions=[text for text in affected.versions[:MAX_VERSIONS] if len(text) <= 64],
            ranges=[one for given in affected.ranges if given.type != "GIT" for one in _intervals(given, ecosystem)],
        )
        place = (said.ecosystem, said.key)
        found[place] = _together(found[place], said) if place in found else said
    yield from (one for one in found.values() if one.versions or one.ranges)


def _named(package: _Package) -> tuple[str, str]:
    """(ecosystem, name); a purl says it when the ecosystem is one that OSV has no word for."""
    if found := _PURL.match(package.purl):
        return found[1], found[2].rpartition("/")[2]
    return package.ecosystem.partition(":")[0].lower(), package.name


def _together(one: Said, other: Said) -> Said:
    return msgspec.structs.replace(one, versions=[*one.versions, *other.versions], ranges=[*one.ranges, *other.ranges])


_TURNS = {"introduced": 1, "last_affected": 2}


def _intervals(given: _Range, ecosystem: str) -> Iterator[tuple[str, str | None, str | None]]:
    """OSV's events, which stand in any order, as intervals: each `introduced` with the `fixed` or `last_affected` that ends it."""
    introduced: str | None = None
    for version, what in _in_order(given, ecosystem):
        if what == "introduced":
            introduced = introduced if introduced is not None else version
        elif what in ("fixed", "limit") and introduced is not None:
            yield introduced, version, None
            introduced = None
        elif what == "last_affected" and introduced is not None:
            yield introduced, None, version
            introduced = None
    if introduced is not None:
        yield introduced, None, None


def _in_order(given: _Range, ecosystem: str) -> list[tuple[str, str]]:
    """(version, what) as far as versions are some; of one version, `fixed` before what begins there, and `last_affected` behind it."""

    def compared(one: tuple[str, str], other: tuple[str, str]) -> int:
        if one[0] != other[0] and "0" in (one[0], other[0]):
            return -1 if one[0] == "0" else 1
        later = is_later(one[0], other[0], ecosystem=ecosystem) - is_later(other[0], one[0], ecosystem=ecosystem)
        return later or _TURNS.get(one[1], 0) - _TURNS.get(other[1], 0)

    events = [(version, what) for event in given.events for what, version in event.items()]
    return sorted([one for one in events if one[0] == "0" or versions.is_version(one[0])], key=cmp_to_key(compared))


def _severity(entry: Entry, affected: _Affected) -> Severity:
    """By the CVSS 3 score where there is one, else by the word that the database adds; unknown without either."""
    scores = [
        score
        for one in (*affected.severity, *entry.severity)
        if isinstance(one.get("score"), str) and (score := base_score(one["score"])) is not None
    ]
    if scores:
        return _of_score(max(scores))
    for place in (affected.ecosystem_specific, affected.database_specific, entry.database_specific):
        word = place.get("severity")
        if isinstance(word, str) and word.upper() in _WORDS:
            return _WORDS[word.upper()]
    return Severity.UNKNOWN


def _of_score(score: float) -> Severity:
    """CVSS 3.1, section 5."""
    if score >= 9:
        return Severity.CRITICAL
    if score >= 7:
        return Severity.HIGH
    return Severity.MEDIUM if score >= 4 else Severity.LOW


_WEIGHTS = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}


def base_score(vector: str) -> float | None:
    """The base score of a CVSS 3.0 or 3.1 vector (CVSS 3.1, section 7.1); None for any other text."""
    if not vector.startswith("CVSS:3."):
        return None
    metrics = dict(part.split(":", 1) for part in vector.split("/")[1:] if ":" in part)
    try:
        changed = metrics["S"] == "C"
        weight = {name: table[metrics[name]] for name, table in _WEIGHTS.items()}
        privileges = _PRIVILEGES[metrics["S"]][metrics["PR"]]
    except KeyError:
        return None
    lost = 1 - (1 - weight["C"]) * (1 - weight["I"]) * (1 - weight["A"])
    impact = 7.52 * (lost - 0.029) - 3.25 * (lost - 0.02) ** 15 if changed else 6.42 * lost
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * weight["AV"] * weight["AC"] * privileges * weight["UI"]
    return _rounded_up(min((1.08 if changed else 1) * (impact + exploitability), 10))


def _rounded_up(score: float) -> float:
    """To one decimal, as CVSS 3.1's appendix A does it without the errors of binary fractions."""
    scaled = round(score * 100_000)
    return scaled / 100_000 if scaled % 10_000 == 0 else (scaled // 10_000 + 1) / 10
