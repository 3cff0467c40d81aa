"""Reads pixi.lock (6 and 7), conda-lock.yml (1) and `@EXPLICIT` files, which strangers may have written, into plain records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import yaml

from condahub.engine.lock import HubLock
from condahub.engine.records import CondaRecord, LockedChannel, PlatformLock, PypiRecord, record_of
from condahub.errors import Unprocessable

MAX_LOCK_BYTES = 32 * 1024 * 1024
MAX_PACKAGES = 50_000

_EXTENSIONS = (".conda", ".tar.bz2")
_HASH = re.compile(r"(?:sha256:)?(?P<sha256>[0-9a-f]{64})|(?P<md5>[0-9a-f]{32})")
_SUBDIR = re.compile(r"noarch|[a-z]+-[a-z0-9_]+")


class ForeignPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A conda package that a lock file names. channel: its address as written, without credentials; sha256, md5: may be ''."""

    channel: str
    subdir: str
    filename: str
    name: str
    version: str
    build: str
    sha256: str = ""
    md5: str = ""
    size: int | None = None
    facts: dict[str, Any] = {}

    def as_record(self, channel: str) -> CondaRecord:
        """The record in the hub's channel of that name, as far as the file tells of it."""
        known = {"name": self.name, "version": self.version, "build": self.build, "sha256": self.sha256, "md5": self.md5, "size": self.size}
        facts = {"build_number": _build_number(self.build), **self.facts, **known}
        if self.subdir == "noarch" and not facts.get("noarch"):
            facts["noarch"] = "python" if any(line.split(" ")[0] == "python" for line in facts.get("depends", ())) else "generic"
        try:
            return record_of(facts, channel=channel, subdir=self.subdir, filename=self.filename)
        except (msgspec.ValidationError, TypeError) as error:
            raise _refused(f"{self.filename}: {error}") from error


class ForeignWheel(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel that a lock file names. address: as written, without credentials, or a file name alone."""

    address: str
    filename: str
    name: str
    version: str
    sha256: str = ""
    requires: tuple[str, ...] = ()
    requires_python: str = ""


class ForeignPlatform(msgspec.Struct, frozen=True, kw_only=True):
    """What a lock file gives one platform."""

    conda: tuple[ForeignPackage, ...] = ()
    pypi: tuple[ForeignWheel, ...] = ()
    virtual_packages: tuple[str, ...] = ()


class ForeignLock(msgspec.Struct, frozen=True, kw_only=True):
    """A lock file as read. kind: "pixi", "conda-lock" or "explicit"; channels: addresses or names in their order."""

    kind: str
    channels: tuple[str, ...]
    platforms: dict[str, ForeignPlatform]

    @property
    def packages(self) -> Iterable[ForeignPackage]:
        """Every conda package, those of several platforms once."""
        seen: set[tuple[str, str, str]] = set()
        for platform in self.platforms.values():
            for package in platform.conda:
                key = (package.channel, package.subdir, package.filename)
                if key not in seen:
                    seen.add(key)
                    yield package


def hub_lock(
    foreign: ForeignLock,
    *,
    channels: Iterable[LockedChannel],
    conda: Callable[[ForeignPackage], CondaRecord],
    pypi: Callable[[ForeignWheel], PypiRecord],
) -> HubLock:
    """The hub's lock of a foreign one; `conda` and `pypi` answer with the hub's own record of a package, or raise."""
    platforms = {
        subdir: PlatformLock(
            conda=tuple(conda(package) for package in platform.conda),
            pypi=tuple(pypi(wheel) for wheel in platform.pypi),
            virtual_packages=platform.virtual_packages,
        )
        for subdir, platform in foreign.platforms.items()
    }
    return HubLock.of(channels=channels, platforms=platforms)


def read_lock(text: str, *, environment: str = "default") -> ForeignLock:
    """Read a lock file, whichever of the three it is. environment: which of a pixi.lock's.

    Raises Unprocessable (`invalid_lock`) with a sentence for whatever can't be built from: other formats and versions,
    packages from source, local paths, Git, damaged lines, more than MAX_PACKAGES or MAX_LOCK_BYTES.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_LOCK_BYTES:
        raise _refused(f"It is larger than {MAX_LOCK_BYTES // 2**20} MiB.")
    if any(line.strip() == "@EXPLICIT" for line in text.splitlines()):
        return _explicit(text)
    document = _document(text)
    version = document.get("version")
    if isinstance(document.get("package"), list) and "metadata" in document:
        if version != "1":
            raise _refused(f"Version {version!r} of conda-lock's files can't be read; version 1 can.")
        return _checked(_conda_lock(document))
    if isinstance(document.get("packages"), list) and isinstance(document.get("environments"), dict):
        if version not in ("6", "7"):
            raise _refused(f"Version {version!r} of pixi.lock can't be read; versions 6 and 7 can.")
        return _checked(_pixi(document, environment))
    raise _refused("It is neither a pixi.lock, nor a conda-lock.yml, nor an @EXPLICIT file.")


def _refused(sentence: str) -> Unprocessable:
    return Unprocessable(f"The lock file can't be used. {sentence}", code="invalid_lock")


class _Loader(yaml.CSafeLoader):
    """Every scalar is the text it is written as: a version 1.10 is no number, a hash of digits and an e neither."""

    yaml_implicit_resolvers: dict[str, Any] = {}


def _document(text: str) -> dict[str, Any]:
    if "\x00" in text:
        raise _refused("It holds a NUL character.")
    try:
        # No lock file needs aliases, a bomb does; composing happens in C, so the events have to tell.
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise _refused("It uses YAML aliases.")
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a safe loader with fewer types
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise _refused(f"It is not YAML{where}.") from error
    if not isinstance(document, dict):
        raise _refused("It is neither a pixi.lock, nor a conda-lock.yml, nor an @EXPLICIT file.")
    return document


def _mappings(value: Any, what: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _refused(f"Its {what} are not a list of entries.")
    return value


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key, "")
    if not isinstance(value, str):
        raise _refused(f"'{key}' of an entry is not a text.")
    return value


def _number(entry: Mapping[str, Any], key: str) -> int | None:
    text = _text(entry, key)
    if not text or text == "null":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise _refused(f"'{key}: {text[:40]}' is not a number.")
    return int(text)


def _build_number(build: str) -> int:
    last = build.rpartition("_")[2]
    return int(last) if last.isascii() and last.isdigit() and len(last) < 10 else 0


def split_address(address: str) -> tuple[str, str, str]:
    """(channel without credentials, subdir, file name) of a package's address. Unprocessable if it is none."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _refused(f"'{_shown(address)}' is not the address of a package in a channel.")
    folder, _, filename = unquote(parts.path).rpartition("/")
    channel, _, subdir = folder.rpartition("/")
    if not filename.endswith(_EXTENSIONS) or _SUBDIR.fullmatch(subdir) is None or not filename.isprintable():
        raise _refused(f"'{_shown(address)}' is not the address of a package in a channel.")
    return without_credentials(f"{parts.scheme}://{parts.netloc}{channel}"), subdir, filename


def without_credentials(address: str) -> str:
    """The address without user, password, `/t/<token>`, query and fragment."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    path = re.sub(r"^/t/[^/]+", "", parts.path)
    return f"{parts.scheme}://{host}{path}" if parts.scheme else address


def _shown(address: str) -> str:
    return without_credentials(address)[:200]


def _package(address: str, facts: Mapping[str, Any], *, sha256: str, md5: str) -> ForeignPackage:
    channel, subdir, filename = split_address(address)
    stem = filename.removesuffix(".conda").removesuffix(".tar.bz2")
    pieces = stem.rsplit("-", 2)
    if len(pieces) != 3 or not all(pieces):
        raise _refused(f"'{_shown(address)}' is not named name-version-build.")
    for digest, length in ((sha256, 64), (md5, 32)):
        if digest and re.fullmatch(f"[0-9a-f]{{{length}}}", digest) is None:
            raise _refused(f"{filename}: '{digest[:80]}' is not a hash.")
    return ForeignPackage(
        channel=channel,
        subdir=subdir,
        filename=filename,
        name=str(facts.get("name") or pieces[0]).lower(),
        version=str(facts.get("version") or pieces[1]),
        build=str(facts.get("build") or pieces[2]),
        sha256=sha256,
        md5=md5,
        size=_number(facts, "size"),
        facts={key: value for key, value in facts.items() if key in _KEPT and value not in ("", "null")},
    )


_KEPT = frozenset(CondaRecord.__struct_fields__) - {"name", "version", "build", "subdir", "channel", "filename", "sha256", "md5", "size"}


def _wheel(address: str, *, name: str, version: str, sha256: str, entry: Mapping[str, Any]) -> ForeignWheel:
    parts = urlsplit(address)
    filename = unquote(parts.path).rpartition("/")[2]
    if parts.scheme not in ("http", "https") or not filename.endswith(".whl"):
        raise _refused(f"'{name or _shown(address)}' is not a wheel at an address: sources, folders and Git can't be built from.")
    if not name or not version:
        raise _refused(f"{filename} has no name or version.")
    requires = entry.get("requires_dist") or ()
    if not isinstance(requires, list | tuple) or not all(isinstance(line, str) for line in requires):
        raise _refused(f"{filename}: its requirements are not a list of texts.")
    return ForeignWheel(
        address=without_credentials(address),
        filename=filename,
        name=name.lower(),
        version=version,
        sha256=sha256,
        requires=tuple(requires),
        requires_python=_text(entry, "requires_python"),
    )


def _pixi(document: Mapping[str, Any], environment: str) -> ForeignLock:
    chosen = document["environments"].get(environment)
    if not isinstance(chosen, dict) or not isinstance(chosen.get("packages"), dict):
        known = ", ".join(sorted(map(str, document["environments"])))[:200]
        raise _refused(f"It has no environment '{environment}'; it has: {known}.")
    entries = {
        _text(entry, kind): entry for entry in _mappings(document["packages"], "packages") for kind in ("conda", "pypi") if kind in entry
    }
    said = {_text(one, "name"): one for one in _mappings(document.get("platforms", []), "platforms")}
    platforms: dict[str, ForeignPlatform] = {}
    for name, references in chosen["packages"].items():
        # Version 7 may name several variants of one platform: the one called like it, else the first, is it.
        one = said.get(name, {})
        subdir = _text(one, "subdir") or name
        if subdir != name and (subdir in platforms or subdir in chosen["packages"]):
            continue
        conda, pypi = [], []
        for reference in _mappings(references, "packages"):
            if "conda" in reference:
                conda.append(_pixi_conda(_text(reference, "conda"), entries))
            elif "pypi" in reference:
                pypi.append(_pixi_wheel(_text(reference, "pypi"), entries))
            else:
                raise _refused(f"It names a package from source ({', '.join(map(str, reference))[:80]}): only built packages can be used.")
        platforms[subdir] = ForeignPlatform(
            conda=tuple(conda), pypi=tuple(pypi), virtual_packages=tuple(map(str, one.get("virtual-packages") or ()))
        )
    channels = [without_credentials(_text(channel, "url")) for channel in _mappings(chosen.get("channels", []), "channels")]
    return ForeignLock(kind="pixi", channels=tuple(channels), platforms=platforms)


def _pixi_conda(address: str, entries: Mapping[str, Mapping[str, Any]]) -> ForeignPackage:
    entry = entries.get(address)
    if entry is None:
        raise _refused(f"'{_shown(address)}' is used but not described.")
    if urlsplit(address).scheme not in ("http", "https"):
        raise _refused(f"'{_shown(address)}' is built from source: only built packages can be used.")
    facts = dict(entry)
    for key in ("build_number", "timestamp"):
        if key in facts:
            facts[key] = _number(facts, key)
    return _package(address, facts, sha256=_text(entry, "sha256"), md5=_text(entry, "md5"))


def _pixi_wheel(address: str, entries: Mapping[str, Mapping[str, Any]]) -> ForeignWheel:
    entry = entries.get(address)
    if entry is None:
        raise _refused(f"'{_shown(address)}' is used but not described.")
    return _wheel(address, name=_text(entry, "name"), version=_text(entry, "version"), sha256=_text(entry, "sha256"), entry=entry)


def _conda_lock(document: Mapping[str, Any]) -> ForeignLock:
    metadata = document["metadata"]
    if not isinstance(metadata, dict):
        raise _refused("Its metadata is not a mapping.")
    conda: dict[str, list[ForeignPackage]] = {str(subdir): [] for subdir in metadata.get("platforms") or ()}
    pypi: dict[str, list[ForeignWheel]] = {}
    for entry in _mappings(document["package"], "packages"):
        # Optional ones belong to a category that has to be asked for; of virtual packages there is no file.
        if _text(entry, "optional") == "true" or _text(entry, "name").startswith("__"):
            continue
        hashes = entry.get("hash") or {}
        if not isinstance(hashes, dict):
            raise _refused(f"The hash of '{_text(entry, 'name')[:80]}' is not a mapping.")
        subdir, address, sha256, md5 = _text(entry, "platform"), _text(entry, "url"), _text(hashes, "sha256"), _text(hashes, "md5")
        if _text(entry, "manager") == "pip":
            wheel = _wheel(address, name=_text(entry, "name"), version=_text(entry, "version"), sha256=sha256, entry={})
            pypi.setdefault(subdir, []).append(wheel)
        else:
            facts = {"depends": _conda_lock_depends(entry), "name": _text(entry, "name"), "version": _text(entry, "version")}
            conda.setdefault(subdir, []).append(_package(address, facts, sha256=sha256, md5=md5))
    channels = [without_credentials(_text(channel, "url")) for channel in _mappings(metadata.get("channels") or [], "channels")]
    platforms = {
        subdir: ForeignPlatform(conda=tuple(conda.get(subdir, ())), pypi=tuple(pypi.get(subdir, ()))) for subdir in {**conda, **pypi}
    }
    return ForeignLock(kind="conda-lock", channels=tuple(channels), platforms=platforms)


def _conda_lock_depends(entry: Mapping[str, Any]) -> list[str]:
    dependencies = entry.get("dependencies") or {}
    if not isinstance(dependencies, dict):
        raise _refused(f"The dependencies of '{_text(entry, 'name')[:80]}' are not a mapping.")
    return [f"{name} {rest}".strip() for name, rest in dependencies.items()]


def _explicit(text: str) -> ForeignLock:
    packages: list[ForeignPackage] = []
    channels: dict[str, None] = {}
    said = re.search(r"^#\s*platform:\s*([a-z0-9_-]+)\s*$", text, re.MULTILINE)
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#") or line == "@EXPLICIT":
            continue
        address, _, mark = line.partition("#")
        found = _HASH.fullmatch(mark)
        if mark and found is None:
            raise _refused(f"Line {number}: '{mark[:80]}' is not a hash.")
        try:
            package = _package(address, {}, sha256=(found and found["sha256"]) or "", md5=(found and found["md5"]) or "")
        except Unprocessable as error:
            raise _refused(f"Line {number} is not the address of a package in a channel: '{_shown(address)}'.") from error
        packages.append(package)
        channels.setdefault(package.channel)
    subdirs = {package.subdir for package in packages} - {"noarch"}
    if said is None and len(subdirs) > 1:
        raise _refused(f"Its packages are for several platforms: {', '.join(sorted(subdirs))}.")
    subdir = said[1] if said else next(iter(subdirs), "noarch")
    return _checked(ForeignLock(kind="explicit", channels=tuple(channels), platforms={subdir: ForeignPlatform(conda=tuple(packages))}))


def _checked(lock: ForeignLock) -> ForeignLock:
    count = 0
    for subdir, platform in lock.platforms.items():
        count += len(platform.conda) + len(platform.pypi)
        names = [package.name for package in platform.conda]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise _refused(f"{subdir}: it names two packages called {twice}.")
    if count > MAX_PACKAGES:
        raise _refused(f"It names more than {MAX_PACKAGES} packages.")
    return lock
