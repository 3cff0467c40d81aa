"""conda-mirror's blacklist and whitelist, as its version 0.10 understands them, so that its configurations go on meaning the same."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import orjson

from condahub.engine import versions
from mirrors_app.core.errors import BadConfiguration

if TYPE_CHECKING:
    from mirrors_app.core.filters import Candidate

# repodata key -> glob, or a conda spec for version and build; all must match.
GlobRule = tuple[tuple[str, str], ...]
Test = Callable[[str], bool]

_SPEC_CHARACTERS = re.compile(r"[<>=^$!]")
_OPERATORS = ("=", "<", ">", "!", "~")


def read_rules(items: object, what: str) -> tuple[GlobRule, ...]:
    """The list under `blacklist` or `whitelist` of its YAML. Raises BadConfiguration."""
    if items is None:
        return ()
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise BadConfiguration(f"'{what}' is not a list of tables.", hint="Write: - name: numpy")
    rules = tuple(tuple(sorted((str(key).lower(), str(glob).lower()) for key, glob in item.items())) for item in items)
    for rule in rules:
        _tests(rule)
    return rules


class GlobRules:
    """What a blacklist matches is out, unless the whitelist matches it too; with dependencies, what whitelisted packages need is in."""

    def __init__(self, blacklist: Iterable[GlobRule], whitelist: Iterable[GlobRule], *, with_dependencies: bool) -> None:
        self._black = [_tests(rule) for rule in blacklist]
        self._white = [_tests(rule) for rule in whitelist]
        self._with_dependencies = with_dependencies

    def left_out(self, candidates: Sequence[Candidate]) -> dict[tuple[str, str], str]:
        """key -> reason."""
        out: list[Candidate] = []
        required: list[Candidate] = []
        for one in candidates:
            table = orjson.loads(bytes(one.raw))
            table.setdefault("subdir", one.subdir)
            if any(_holds(tests, table) for tests in self._white):
                required.append(one)
            elif any(_holds(tests, table) for tests in self._black):
                out.append(one)
        if self._with_dependencies:
            out = _without_needed(out, required)
        return {one.key: "on the blacklist" for one in out}


def _holds(tests: Mapping[str, Test], table: Mapping[str, Any]) -> bool:
    return all(test(str(table.get(key, "")).lower()) for key, test in tests.items())


def _tests(rule: GlobRule) -> dict[str, Test]:
    tests: dict[str, Test] = {}
    for key, pattern in rule:
        if key == "version" and _SPEC_CHARACTERS.search(pattern):
            version, _, build = pattern.partition(" ")
            if build:
                tests.setdefault("build", _build_test(build))
            tests[key] = _version_test(version)
        elif key == "build" and _SPEC_CHARACTERS.search(pattern):
            tests[key] = _build_test(pattern)
        else:
            tests[key] = _glob_test(pattern)
    return tests


def _glob_test(pattern: str) -> Test:
    return lambda text: fnmatch(text, pattern)


def _regex_test(pattern: str) -> Test:
    try:
        return lambda text, found=re.compile(pattern): bool(found.match(text))  # type: ignore[misc]
    except re.error as error:
        raise BadConfiguration(f"'{pattern}' is not a regular expression.") from error


def _version_test(pattern: str) -> Test:
    """A conda version spec; a part between ^ and $ is a regular expression."""
    if pattern.startswith("^") or pattern.endswith("$"):
        return _regex_test(pattern)
    spec = versions.parse_spec(f"x {pattern or '*'}")
    if spec is None:
        raise BadConfiguration(f"'{pattern}' is not a version spec.", hint="Write '>=1.2,<2', '1.2.*' or '^1\\.[0-9]$'.")
    return lambda text: versions.matches(spec, name="x", version=text, build="0", build_number=0, subdir="noarch")


def _build_test(pattern: str) -> Test:
    """As conda-mirror has it: no glob here but a lone '*'."""
    if pattern.startswith("^") or pattern.endswith("$"):
        return _regex_test(pattern)
    if pattern.startswith(_OPERATORS):
        return _version_test(pattern)
    return lambda text: pattern == "*" or text == pattern


def _without_needed(out: Sequence[Candidate], required: Sequence[Candidate]) -> list[Candidate]:
    """As conda-mirror does it: dependencies are looked for in the same subdir, and not for names that are required already."""
    settled = {(one.subdir, one.facts.name) for one in required}
    left, waiting = list(out), list(required)
    tests: dict[str, Callable[[Candidate], bool]] = {}
    while left and waiting:
        needs: dict[tuple[str, str], set[str]] = defaultdict(set)
        for one in waiting:
            for text in one.facts.depends:
                name, _, spec = text.strip().partition(" ")
                if (one.subdir, name) not in settled:
                    needs[one.subdir, name].add(spec.strip())
        waiting = []
        still: list[Candidate] = []
        for one in left:
            specs = needs.get((one.subdir, one.facts.name), set())
            fits = any(tests.setdefault(spec, _dependency_test(spec))(one) for spec in specs)
            (waiting if fits else still).append(one)
        left = still
    return left


def _dependency_test(spec: str) -> Callable[[Candidate], bool]:
    version, _, build = spec.partition(" ")
    try:
        test_version = _version_test(version)
    except BadConfiguration:
        return lambda one: False
    test_build = _build_test(build.strip()) if build.strip() else None
    return lambda one: test_version(one.facts.version) and (test_build is None or test_build(one.facts.build))
