"""How rules and waivers name packages and licenses: globs, MatchSpecs, hashes, SPDX expressions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache
from typing import Any, NamedTuple

from channels_app.models.files import PackageFile
from condahub.engine import versions

# Other keys of a MatchSpec (channel, url, license, ...) are not compared here, so a spec that has them would say more than it does.
_SPEC = re.compile(r"[a-z0-9_][a-z0-9_.-]*(?:\s*[<>=!~ ][^\[\]:/\\]*)?", re.IGNORECASE)
_GLOB = re.compile(r"[a-z0-9_.*?-]+", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LICENSE = re.compile(r"[A-Za-z0-9.+*?_ :-]+")
_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
_SEPARATORS = re.compile(r"[-_.]+")


class Identity(NamedTuple):
    """What a pattern is compared with."""

    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    sha256: str


def identity_of(file: PackageFile) -> Identity:
    return Identity(file.name, file.version, file.build, file.build_number, file.subdir, file.sha256)


def key_of(name: str) -> str:
    """One spelling for what advisories, conda and other ecosystems write apart: `Typing_Extensions` -> `typing-extensions`."""
    return _SEPARATORS.sub("-", name.strip().lower())


def is_pattern(text: str) -> bool:
    """A glob of a package name, or a MatchSpec of name, version and build."""
    return bool(_GLOB.fullmatch(text)) or is_spec(text)


def is_spec(text: str) -> bool:
    """A MatchSpec with an exact name and nothing beyond version and build."""
    return bool(_SPEC.fullmatch(text)) and "*" not in text.split()[0].split("=")[0] and versions.parse_spec(text) is not None


def is_sha256(text: str) -> bool:
    return bool(_SHA256.fullmatch(text))


def is_license_pattern(text: str) -> bool:
    return bool(_LICENSE.fullmatch(text)) and text.strip() == text


def name_of(spec: str) -> str:
    """The package name of a spec, or '' of a hash."""
    if is_sha256(spec):
        return ""
    parsed: Any = versions.parse_spec(spec)
    return str(parsed.name.normalized) if parsed is not None else ""


def build_test(texts: Iterable[str]) -> Callable[[Identity], str | None]:
    """A function that gives the first of these patterns which a package matches; hashes, globs and specs together."""
    globs, specs, hashes = [], dict[str, list[str]](), set[str]()
    for text in texts:
        if is_sha256(text):
            hashes.add(text)
        elif _GLOB.fullmatch(text):
            globs.append((re.compile(translate(text.lower())), text))
        else:
            specs.setdefault(name_of(text), []).append(text)
    named: dict[str, str | None] = {}

    def find(identity: Identity) -> str | None:
        if identity.sha256 in hashes:
            return identity.sha256
        name = identity.name
        if name not in named:
            named[name] = next((text for glob, text in globs if glob.match(name)), None)
        found = named[name]
        return found if found is not None else next((text for text in specs.get(name, ()) if matches(text, identity)), None)

    return find


def matches(text: str, identity: Identity) -> bool:
    """Whether a sha256 or MatchSpec means this package."""
    if is_sha256(text):
        return identity.sha256 == text
    spec = versions.parse_spec(text)
    return spec is not None and versions.matches(
        spec,
        name=identity.name,
        version=identity.version,
        build=identity.build,
        build_number=identity.build_number,
        subdir=identity.subdir,
    )


def license_test(allowed: Iterable[str], denied: Iterable[str]) -> Callable[[str], bool]:
    """A function that says of a license expression whether it can be met by what is allowed, without what is denied.

    `A OR B` is met by one of the two, `A AND B` by both; a license WITH an exception also passes where the license itself does.
    What is no SPDX expression is one license by its whole text, and fails where any of its words is denied.
    """
    yes = _glob_test(allowed)
    no = _glob_test(denied)

    def passes(identifiers: tuple[str, ...]) -> bool:
        if no is not None and any(no(one) for one in identifiers):
            return False
        return yes is None or any(yes(one) for one in identifiers)

    @lru_cache(maxsize=4096)
    def test(text: str) -> bool:
        text = text.strip()
        if not text:
            return yes is None
        met = _Expression(text, passes).met()
        if met is not None:
            return met
        return passes((text,)) and (no is None or not any(no(word.strip("(),;/")) for word in text.split()))

    return test


def _glob_test(texts: Iterable[str]) -> Callable[[str], bool] | None:
    union = "|".join(f"(?:{translate(text.lower())})" for text in texts)
    if not union:
        return None
    compiled = re.compile(union)
    return lambda text: compiled.match(text.lower()) is not None


class _Expression:
    """An SPDX license expression (SPDX 2.3, annex D), read by recursive descent: OR binds less than AND, AND less than WITH."""

    def __init__(self, text: str, passes: Callable[[tuple[str, ...]], bool]) -> None:
        self._tokens, self._at, self._passes = _TOKEN.findall(text), 0, passes

    def met(self) -> bool | None:
        """None for what is no expression."""
        try:
            value = self._any()
        except (ValueError, RecursionError):
            return None
        return value if self._at == len(self._tokens) else None

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        word = self._peek()
        self._at += 1
        return word

    def _any(self) -> bool:
        value = self._all()
        while self._peek().upper() == "OR":
            self._next()
            value = self._all() or value
        return value

    def _all(self) -> bool:
        value = self._one()
        while self._peek().upper() == "AND":
            self._next()
            value = self._one() and value
        return value

    def _one(self) -> bool:
        word = self._next()
        if word == "(":
            value = self._any()
            if self._next() != ")":
                raise ValueError
            return value
        if not word or word == ")" or word.upper() in ("AND", "OR", "WITH"):
            raise ValueError
        if self._peek().upper() != "WITH":
            return self._passes((word,))
        self._next()
        exception = self._next()
        if not exception or exception in "()":
            raise ValueError
        return self._passes((f"{word} WITH {exception}", word))
