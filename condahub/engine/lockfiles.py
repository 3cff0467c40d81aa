"""Reads lock files, by py-rattler and by hand where it has no reader: which packages exactly, from where, with which hashes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from rattler import LockFile

from condahub.errors import Unprocessable

MAX_LOCK_BYTES = 64 * 2**20
EXPLICIT_MARK = "@EXPLICIT"
_HASHED = re.compile(r"([0-9a-fA-F]{32}|[0-9a-fA-F]{64})")
_PATH_TOKEN = re.compile(r"^/t/[^/]+(?=/)")


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """url: as the lock gives it, without credentials; sha256, md5: lower-case hex or ''; size: bytes, 0 when unknown."""

    url: str
    subdir: str
    filename: str
    sha256: str = ""
    md5: str = ""
    size: int = 0


def read_lock(path: Path) -> list[LockedPackage]:
    """The conda packages of a pixi.lock (v6, v7), conda-lock.yml (v1) or @EXPLICIT file, of all its environments and platforms.

    Raises Unprocessable when it is none of them. Packages of PyPI in it are left out.
    """
    try:
        if path.stat().st_size > MAX_LOCK_BYTES:
            raise Unprocessable(f"'{path.name}' is too large for a lock file.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unprocessable(f"'{path.name}' can't be read.") from error
    if any(line.strip() == EXPLICIT_MARK for line in text.splitlines()):
        return _unique(_read_explicit(text, path.name))
    return _unique(_read_rattler(path))


def _read_explicit(text: str, what: str) -> Iterable[LockedPackage]:
    for number, line in enumerate(text.splitlines(), 1):
        content = line.strip()
        if not content or content.startswith("#") or content == EXPLICIT_MARK:
            continue
        url, _, mark = content.partition("#")
        digest = mark.removeprefix("sha256:").strip()
        if mark and _HASHED.fullmatch(digest) is None:
            raise Unprocessable(f"Line {number} of '{what}' has a hash that is none.", hint="Write url#<md5> or url#sha256:<sha256>.")
        yield _at(url.strip(), sha256=digest.lower() if len(digest) == 64 else "", md5=digest.lower() if len(digest) == 32 else "")


def _read_rattler(path: Path) -> Iterable[LockedPackage]:
    try:
        lock = LockFile.from_path(path)
        records: list[Any] = [
            record for _, environment in lock.environments() for found in environment.conda_repodata_records().values() for record in found
        ]
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise Unprocessable(
            f"'{path.name}' is not a lock file that can be read: {str(error)[:200]}",
            hint="It has to be a pixi.lock (v6, v7), a conda-lock.yml (v1) or an @EXPLICIT list.",
        ) from error
    for record in records:
        yield _at(
            str(record.url),
            sha256=record.sha256.hex() if record.sha256 else "",
            md5=record.md5.hex() if record.md5 else "",
            size=record.size or 0,
        )


def _at(url: str, *, sha256: str = "", md5: str = "", size: int = 0) -> LockedPackage:
    parts = urlsplit(url)
    folder, _, filename = unquote(parts.path).rpartition("/")
    subdir = folder.rpartition("/")[2]
    if parts.scheme not in ("http", "https", "file", "s3") or not filename or not subdir:
        raise Unprocessable("The lock names a package by something that is not an address.", hint="Lock it from a channel.")
    clean = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=_PATH_TOKEN.sub("", parts.path), fragment="", query="")
    return LockedPackage(clean.geturl(), subdir, filename, sha256, md5, size)


def _unique(packages: Iterable[LockedPackage]) -> list[LockedPackage]:
    """One of each address, in the order of the file."""
    return list({one.url: one for one in packages}.values())
