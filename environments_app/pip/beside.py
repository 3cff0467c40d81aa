"""Which Python packages the conda packages of an environment bring already, as pip calls them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from condahub.engine.prefix import records
from condahub.engine.records import CondaRecord, PlatformLock

MAX_METADATA_BYTES = 1024 * 1024
MAX_EXTRA_LINES = 500
_PURL = "pkg:pypi/"


@dataclass(frozen=True)
class Provided:
    """A package that conda brings. conda: its conda name; extras: header lines that say what its extras need more."""

    name: str
    version: str
    conda: str
    extras: tuple[str, ...] = ()


def in_prefix(prefix: Path) -> dict[str, Provided]:
    """By name: what the linked conda packages say of themselves in their .dist-info and .egg-info."""
    found: dict[str, Provided] = {}
    for _, record in records(prefix):
        for path in record.get("files", ()):
            if _is_metadata(path):
                one = _read(prefix, path, str(record.get("name", "")))
                if one is not None:
                    found.setdefault(one.name, one)
    return found


def in_lock(platform: PlatformLock, known: Mapping[str, Provided] | None = None) -> dict[str, Provided]:
    """By name: the same for a platform whose packages are not linked here, from their records.

    known: what was found on another platform: a package of that conda name goes by the same name in pip.
    """
    by_conda: dict[str, list[Provided]] = {}
    for one in (known or {}).values():
        by_conda.setdefault(one.conda, []).append(one)
    found: dict[str, Provided] = {}
    for record in platform.conda:
        for one in by_conda.get(record.name) or _from_record(record):
            version = one.version if one.version == record.version else _pep440(record.version)
            if version:
                found.setdefault(one.name, Provided(one.name, version, record.name, one.extras))
    return found


def _from_record(record: CondaRecord) -> Iterable[Provided]:
    names = [purl.removeprefix(_PURL).partition("@")[0].partition("?")[0] for purl in record.purls if purl.startswith(_PURL)]
    needs = {line.partition(" ")[0] for line in record.depends}
    if not names and record.name != "python" and ("python" in needs or record.noarch == "python"):
        names = [record.name]
    return [Provided(canonicalize_name(name), record.version, record.name) for name in names]


def _is_metadata(path: str) -> bool:
    parts = PurePosixPath(path).parts
    if len(parts) < 2:
        return False
    folder, name = parts[-2], parts[-1]
    in_folder = (folder.endswith(".dist-info") and name == "METADATA") or (folder.endswith(".egg-info") and name == "PKG-INFO")
    inside = folder if in_folder else name
    return "site-packages" in parts and (in_folder or name.endswith(".egg-info")) and not inside.startswith(".")


def _read(prefix: Path, path: str, conda: str) -> Provided | None:
    said = _headers(prefix / path)
    if said is None:
        return None
    version = _pep440(str(said.get("Version", "")))
    name = str(said.get("Name", ""))
    if not name or not version:
        return None
    extras = [f"Provides-Extra: {one}" for one in said.get_all("Provides-Extra") or ()]
    extras += [f"Requires-Dist: {one}" for one in said.get_all("Requires-Dist") or () if "extra" in str(one).partition(";")[2]]
    clean = tuple(line for line in extras[:MAX_EXTRA_LINES] if line.isprintable())
    return Provided(canonicalize_name(name), version, conda, clean)


def _headers(path: Path) -> Message | None:
    try:
        # A package's file is its maker's: a link in its place would have another file read.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        return HeaderParser().parsestr(file.read(MAX_METADATA_BYTES).decode(errors="replace"))


def _pep440(text: str) -> str:
    """The version as pip writes it, '' where it is none of pip's."""
    try:
        return str(Version(text))
    except InvalidVersion:
        return ""
