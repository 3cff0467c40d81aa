"""Which of an upstream's packages a mirror brings in, and for each of the others the reason."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from condahub.engine import versions
from mirrors_app.core.errors import BadConfiguration
from mirrors_app.core.globs import GlobRule, GlobRules
from mirrors_app.core.records import Facts

# Older builders wrote seconds; as milliseconds such a number would be a day in January 1970.
_MILLISECONDS_FROM = 100_000_000_000
_PLURAL = {1: "version"}

Key = tuple[str, str]


class Candidate(NamedTuple):
    """One package to decide about; raw is its record's JSON."""

    subdir: str
    filename: str
    facts: Facts
    raw: Any

    @property
    def key(self) -> Key:
        return (self.subdir, self.filename)


class Broken(NamedTuple):
    """A package that is brought in though nothing that is brought in satisfies one of its dependencies."""

    subdir: str
    filename: str
    depends: str
    reason: str


@dataclass(slots=True)
class Decision:
    """left_out: key -> reason; broken: what the exclusions break, only looked for with dependencies."""

    left_out: dict[Key, str]
    broken: list[Broken]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """include, exclude: MatchSpecs. Only includes: nothing else enters; only excludes: all else; both: what matches an include and no
    exclude. readded: MatchSpecs that no exclude holds against. names, excluded_names: the same by lists of names. newest_versions:
    of each name in each subdir; max_bytes: of one package; licenses, excluded_licenses: globs, any case; built_after, built_before:
    the builder's timestamp; 0, () and None mean no limit. with_dependencies: what chosen packages need enters too, from the subdir
    and noarch, older versions as well, but never against an exclude or a limit. blacklist, whitelist: conda-mirror's. admitted:
    MatchSpecs of what enters whatever the rest says.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    readded: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    excluded_names: frozenset[str] = frozenset()
    newest_versions: int = 0
    max_bytes: int = 0
    licenses: tuple[str, ...] = ()
    excluded_licenses: tuple[str, ...] = ()
    built_after: datetime | None = None
    built_before: datetime | None = None
    with_dependencies: bool = False
    blacklist: tuple[GlobRule, ...] = ()
    whitelist: tuple[GlobRule, ...] = ()
    admitted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for text in (*self.include, *self.exclude, *self.readded, *self.admitted):
            if versions.parse_pattern(text) is None:
                raise BadConfiguration(f"'{text[:120]}' is not a MatchSpec.", hint="Write 'numpy >=1.26', 'py*' or '*[license=MIT]'.")

    @property
    def needs_all(self) -> bool:
        """Whether one package's verdict may depend on packages of other names."""
        return self.with_dependencies

    @property
    def is_open(self) -> bool:
        """Whether everything enters."""
        return replace(self, admitted=()) == Filters(with_dependencies=self.with_dependencies)

    def fingerprint(self) -> str:
        """Changes when the filters do."""
        text = "\n".join(f"{one.name}={_spelled(getattr(self, one.name))}" for one in fields(self))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def decide(self, candidates: Sequence[Candidate]) -> Decision:
        """Decide about all candidates at once; with `needs_all` they must be all that the upstream has, else whole names."""
        return _Deciding(self, candidates).decide()


def _spelled(value: object) -> str:
    return repr(sorted(value)) if isinstance(value, frozenset) else repr(value)


class _Specs:
    """Many MatchSpecs asked at once: by exact name where they have one."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._named: dict[str, list[tuple[str, Any]]] = defaultdict(list)
        self._patterns: list[tuple[str, Any]] = []
        for text in texts:
            spec = versions.parse_pattern(text)
            name = versions.exact_name(spec)
            (self._patterns if name is None else self._named[name]).append((text, spec))

    def first(self, one: Candidate) -> str | None:
        """The first spec that matches, as it was written."""
        specs = [*self._named.get(one.facts.name, ()), *self._patterns]
        if not specs:
            return None
        identity = identity_of(one)
        return next((text for text, spec in specs if versions.matching(spec, identity, subdir=one.subdir)), None)


def identity_of(one: Candidate) -> Any | None:
    """What MatchSpecs are matched with."""
    facts = one.facts
    return versions.candidate(
        name=facts.name,
        version=facts.version,
        build=facts.build,
        build_number=facts.build_number,
        subdir=one.subdir,
        license=facts.license or "",
    )


class _Deciding:
    def __init__(self, filters: Filters, candidates: Sequence[Candidate]) -> None:
        self.filters, self.candidates = filters, candidates
        self.includes, self.excludes = _Specs(filters.include), _Specs(filters.exclude)
        self.readded, self.admitted = _Specs(filters.readded), _Specs(filters.admitted)
        self.chooses = bool(filters.include or filters.names)

    def decide(self) -> Decision:
        filters = self.filters
        barred: dict[Key, str] = {}
        unchosen: dict[Key, str] = {}
        for one in self.candidates:
            if reason := self._bar(one):
                barred[one.key] = reason
            elif self.chooses and not self._chosen(one):
                unchosen[one.key] = "matches no include"
        if filters.blacklist or filters.whitelist:
            rules = GlobRules(filters.blacklist, filters.whitelist, with_dependencies=filters.with_dependencies)
            unchosen |= {key: reason for key, reason in rules.left_out(self.candidates).items() if key not in barred}
        if filters.newest_versions:
            self._keep_newest(barred, unchosen)
        for one in self.candidates if filters.admitted else ():
            if (one.key in barred or one.key in unchosen) and self.admitted.first(one) is not None:
                barred.pop(one.key, None)
                unchosen.pop(one.key, None)
        broken: list[Broken] = []
        if filters.with_dependencies and not (filters.blacklist or filters.whitelist):
            broken = Closure(self.candidates, barred, unchosen).close()
        return Decision({**barred, **unchosen}, broken)

    def _chosen(self, one: Candidate) -> bool:
        return one.facts.name in self.filters.names or self.includes.first(one) is not None

    def _bar(self, one: Candidate) -> str | None:
        """Why it may not enter even when others need it."""
        filters, facts = self.filters, one.facts
        if facts.name in filters.excluded_names:
            return "its name is on the list of excluded names"
        if filters.exclude and (text := self.excludes.first(one)) is not None and self.readded.first(one) is None:
            return f"excluded by '{text}'"
        if filters.max_bytes and (facts.size or 0) > filters.max_bytes:
            return f"larger than {filters.max_bytes} bytes"
        return self._bar_by_licence(facts) or self._bar_by_date(facts)

    def _bar_by_licence(self, facts: Facts) -> str | None:
        licence = (facts.license or "").casefold()
        if any(fnmatchcase(licence, glob.casefold()) for glob in self.filters.excluded_licenses):
            return f"its licence '{facts.license or ''}' is excluded"
        if self.filters.licenses and not any(fnmatchcase(licence, glob.casefold()) for glob in self.filters.licenses):
            return f"its licence '{facts.license or ''}' is not among the allowed ones"
        return None

    def _bar_by_date(self, facts: Facts) -> str | None:
        after, before = self.filters.built_after, self.filters.built_before
        if after is None and before is None:
            return None
        built = built_at(facts)
        if built is None:
            return "it does not say when it was built"
        if after is not None and built < after:
            return f"built before {after:%Y-%m-%d}"
        if before is not None and built >= before:
            return f"built after {before:%Y-%m-%d}"
        return None

    def _keep_newest(self, barred: Mapping[Key, str], unchosen: dict[Key, str]) -> None:
        count = self.filters.newest_versions
        groups: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
        for one in self.candidates:
            if one.key not in barred and one.key not in unchosen:
                groups[one.subdir, one.facts.name].append(one)
        for group in groups.values():
            kept = versions.newest({one.facts.version for one in group}, count)
            for one in group:
                if one.facts.version not in kept:
                    unchosen[one.key] = f"older than the newest {count} {_PLURAL.get(count, 'versions')}"


def built_at(facts: Facts) -> datetime | None:
    """When the builder says it was built (milliseconds, in old packages seconds, since 1970)."""
    stamp = facts.timestamp
    if not stamp or stamp < 0:
        return None
    try:
        return datetime.fromtimestamp(stamp / 1000 if stamp >= _MILLISECONDS_FROM else stamp, UTC)
    except (OverflowError, ValueError, OSError):
        return None


class Closure:
    """Adds to the chosen packages all that satisfies what they need, as far as nothing bars it."""

    def __init__(self, candidates: Sequence[Candidate], barred: Mapping[Key, str], unchosen: dict[Key, str]) -> None:
        self.barred, self.unchosen = barred, unchosen
        self._made: dict[str, list[tuple[Candidate, Any]]] = {}
        self.chosen: list[Candidate] = []
        self._pool: dict[str, list[Candidate]] = defaultdict(list)
        for one in candidates:
            self._pool[one.facts.name].append(one)
            if one.key not in barred and one.key not in unchosen:
                self.chosen.append(one)
        self._found: dict[tuple[str, str], list[Candidate]] = {}

    def close(self) -> list[Broken]:
        """Takes what is needed out of `unchosen`; returns what stays unsatisfied because something is barred."""
        broken: list[Broken] = []
        waiting = self.chosen
        while waiting:
            one = waiting.pop()
            for text in one.facts.depends:
                fitting = self._fitting(text, one.subdir)
                allowed = [other for other in fitting if other.key not in self.barred]
                for other in allowed:
                    if self.unchosen.pop(other.key, None) is not None:
                        waiting.append(other)
                if fitting and not allowed:
                    broken.append(Broken(one.subdir, one.filename, text, self.barred[fitting[0].key]))
        return sorted(broken)

    def _fitting(self, text: str, subdir: str) -> list[Candidate]:
        """All that satisfies a dependency of a package in this subdir; one in noarch may need something of any platform."""
        cached = self._found.get((text, subdir))
        if cached is not None:
            return cached
        spec = versions.parse_spec(text)
        name = versions.exact_name(spec) if spec is not None else None
        found = [
            one
            for one, identity in self._identities(name or "")
            if (subdir == "noarch" or one.subdir in (subdir, "noarch")) and versions.matching(spec, identity, subdir=one.subdir)
        ]
        self._found[text, subdir] = found
        return found

    def _identities(self, name: str) -> list[tuple[Candidate, Any]]:
        """Made when a name is first asked for: most names of a large upstream never are."""
        if name not in self._made:
            self._made[name] = [(one, identity_of(one)) for one in self._pool.get(name, ())]
        return self._made[name]
