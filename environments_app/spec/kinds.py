"""Tells by its first lines what a specification is, and hands it to its reader."""

from __future__ import annotations

import re

import msgspec
from msgspec import structs

from condahub.engine.lock_reading import read_lock
from condahub.errors import Unprocessable
from environments_app.models import SpecificationKind
from environments_app.spec.conda import PLATFORMS
from environments_app.spec.environment_yaml import read_environment
from environments_app.spec.errors import Problem, SpecInvalid
from environments_app.spec.model import Line, Spec

# Lock files name thousands of packages.
MAX_LOCK_SPEC_BYTES = 4 * 1024 * 1024
_HEAD_CHARS = 4096
_PIXI = re.compile(r"^version:\s*[0-9]+\s*\n(?:.*\n)*?environments:", re.MULTILINE)
_CONDA_LOCK = re.compile(r"^(?:version:\s*1\s*$|metadata:\s*$)", re.MULTILINE)


def kind_of(text: str) -> SpecificationKind:
    """By signature; what is none of the lock files is taken for an environment.yml."""
    head = text[:_HEAD_CHARS]
    if re.search(r"^@EXPLICIT\s*$", head, re.MULTILINE):
        return SpecificationKind.EXPLICIT
    if _PIXI.search(head):
        return SpecificationKind.PIXI_LOCK
    if _CONDA_LOCK.search(head) and "content_hash:" in head:
        return SpecificationKind.CONDA_LOCK
    return SpecificationKind.CONDA_LOCK if _is_conda_lock_in_json(text) else SpecificationKind.YAML


def _is_conda_lock_in_json(text: str) -> bool:
    """As conda-store keeps its lock files."""
    if not text.lstrip().startswith("{") or len(text) > MAX_LOCK_SPEC_BYTES:
        return False
    try:
        document = msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and "package" in document and "metadata" in document


def parse(text: str, *, public_url: str) -> tuple[SpecificationKind, Spec]:
    """What it is and what it says. Raises SpecInvalid."""
    kind = kind_of(text)
    if kind is SpecificationKind.YAML:
        return kind, read_environment(text, public_url=public_url)
    return kind, read_locked(text)


def read_locked(text: str) -> Spec:
    """The Spec of a lock file: its platforms, its channels by the last part of their addresses, and its packages. Raises SpecInvalid."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_LOCK_SPEC_BYTES:
        raise SpecInvalid([Problem(0, "spec_too_large", "The lock file is too large.", f"At most {MAX_LOCK_SPEC_BYTES // 2**20} MiB.")])
    try:
        locked = read_lock(text)
    except Unprocessable as error:
        raise SpecInvalid([Problem(0, error.code, error.detail, error.hint)]) from None
    if not any(platform.conda or platform.pypi for platform in locked.platforms.values()):
        raise SpecInvalid([Problem(0, "invalid_lock", "The lock file names no package.")])
    if set(locked.platforms) == {"noarch"}:
        # An @EXPLICIT file that says no platform, of packages that are for all.
        locked = structs.replace(locked, platforms={PLATFORMS[0]: locked.platforms["noarch"]})
    unknown = sorted(set(locked.platforms) - set(PLATFORMS))
    if unknown or not locked.platforms:
        problem = f"Nothing can be built for {unknown[0][:40]}." if unknown else "The lock file is for no platform."
        raise SpecInvalid([Problem(0, "bad_platform", problem, f"Platforms: {', '.join(PLATFORMS)}.")])
    channels = dict.fromkeys(name for address in locked.channels if (name := address.rstrip("/").rpartition("/")[2]))
    return Spec(
        channels=tuple(Line(name, 0) for name in channels),
        platforms=tuple(Line(name, 0) for name in locked.platforms),
        locked=locked,
    )
