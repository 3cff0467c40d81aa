"""A folder on a person's machine that an environment was pulled into: whose it is, what it holds, and how it is replaced in one step."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import platformdirs

from condahub.cli.exits import Failure
from condahub.engine import prefix as prefixes
from condahub.engine.records import PlatformLock

# Not .json: conda takes every such file in conda-meta for a package.
MARKER = Path("conda-meta") / "condahub"
_SUBDIRS = {
    ("linux", "x86_64"): "linux-64",
    ("linux", "aarch64"): "linux-aarch64",
    ("linux", "arm64"): "linux-aarch64",
    ("darwin", "x86_64"): "osx-64",
    ("darwin", "arm64"): "osx-arm64",
    ("win32", "amd64"): "win-64",
    ("win32", "x86_64"): "win-64",
}
_LEFT_ALONE = "Choose another folder with --prefix, or replace it with --force."


class Held(msgspec.Struct, frozen=True):
    """A package of an environment. kind: "conda" or "pypi"; build: '' for wheels."""

    kind: str
    name: str
    version: str
    build: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.build}".rstrip()


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a pulled folder says of itself. number: the build's; packages: what was put into it."""

    hub: str
    organization: str
    environment: str
    number: int
    platform: str
    packages: tuple[Held, ...]
    variables: dict[str, str] = {}

    @property
    def holds(self) -> dict[tuple[str, str], Held]:
        return {(one.kind, one.name): one for one in self.packages}


def held_of(lock: PlatformLock) -> tuple[Held, ...]:
    """The packages of a lock's platform."""
    conda = [Held("conda", one.name, one.version, one.build, one.sha256) for one in lock.conda]
    return (*conda, *(Held("pypi", one.name, one.version, "", one.sha256) for one in lock.pypi))


def default_prefix(hub: str, organization: str, environment: str, number: int | None) -> Path:
    """Where an environment lies when nobody says where: one place for each hub, environment and, where one was named, build."""
    parts = urlsplit(hub)
    host = (parts.hostname or "hub") + (f"-{parts.port}" if parts.port else "")
    name = environment if number is None else f"{environment}@{number}"
    return Path(platformdirs.user_data_dir("condahub", appauthor=False)) / "envs" / host / organization / name


def cache_folder(hub: str) -> Path:
    """Where packages of a hub are kept for the next time, by person: `CONDAHUB_CACHE`, else the person's cache folder."""
    parts = urlsplit(hub)
    host = (parts.hostname or "hub") + (f"-{parts.port}" if parts.port else "")
    named = os.environ.get("CONDAHUB_CACHE")
    return Path(named or platformdirs.user_cache_dir("condahub", appauthor=False)) / host


def subdir_here() -> str:
    """conda's name of this machine's platform. Raises Failure for one that environments are not made for."""
    known = _SUBDIRS.get((sys.platform, platform.machine().lower()))
    if known is None:
        raise Failure(f"Environments are not made for {sys.platform} on {platform.machine()}.", code="no_such_platform")
    return known


def made(prefix: Path) -> Made | None:
    """What was pulled into this folder; None where nothing was."""
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((prefix / MARKER).read_bytes(), type=Made)
    return None


def mark(prefix: Path, about: Made) -> None:
    (prefix / MARKER).write_bytes(msgspec.json.format(msgspec.json.encode(about, order="sorted")) + b"\n")


def check_replaceable(prefix: Path, about: Made, *, force: bool) -> Made | None:
    """What the folder holds now, if it may be replaced. Raises Failure for what was not made by a pull of this environment.

    force: replace another conda environment. A folder that is none is never replaced.
    """
    if not os.path.lexists(prefix) or (prefix.is_dir() and not prefix.is_symlink() and not any(prefix.iterdir())):
        return None
    known = made(prefix) if prefix.is_dir() and not prefix.is_symlink() else None
    if known is not None and (known.hub, known.organization, known.environment) == (about.hub, about.organization, about.environment):
        return known
    if known is None and (prefix.is_symlink() or not (prefix / prefixes.META / "history").is_file()):
        raise Failure(
            f"{prefix} is there already and is not an environment.", hint="Choose another folder with --prefix.", code="prefix_exists"
        )
    if force:
        return known
    if known is not None:
        what = f"holds {known.organization}/{known.environment} of {known.hub}"
        raise Failure(f"{prefix} {what}.", hint=_LEFT_ALONE, code="prefix_exists")
    raise Failure(f"{prefix} is an environment that condahub did not make.", hint=_LEFT_ALONE, code="prefix_exists")


def differences(before: Mapping[tuple[str, str], Held], after: Mapping[tuple[str, str], Held]) -> list[str]:
    """A line for each package that differs: `+` comes, `-` goes, `~` is replaced."""
    lines = []
    for key in sorted({*before, *after}, key=lambda key: (key[1], key[0])):
        old, new = before.get(key), after.get(key)
        if old is None:
            lines.append(f"+ {new}")
        elif new is None:
            lines.append(f"- {old}")
        elif old.sha256 != new.sha256:
            lines.append(f"~ {old} -> {new}")
    return lines


@contextlib.contextmanager
def alone(prefix: Path) -> Iterator[None]:
    """One pull into a folder at a time, on this machine. Raises Failure while another one works on it."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with (prefix.parent / f".{prefix.name}.condahub-lock").open("a+b") as file:
        try:
            _lock(file.fileno())
        except OSError:
            raise Failure(f"Another pull is at work on {prefix}.", hint="Wait for it to end.", code="busy") from None
        yield


def _lock(descriptor: int) -> None:
    # The system gives it back when the process ends, however it ends.
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def staging_of(prefix: Path) -> Path:
    """Beside the folder, so that it can be renamed into its place."""
    return prefix.with_name(f".{prefix.name}.condahub-new")


def _old_of(prefix: Path) -> Path:
    return prefix.with_name(f".{prefix.name}.condahub-old")


def tidy(prefix: Path) -> None:
    """Finish or take back what a pull that was killed had begun."""
    old = _old_of(prefix)
    if old.exists() and not prefix.exists():
        old.rename(prefix)
    prefixes.remove(old)
    prefixes.remove(staging_of(prefix))
    prefixes.remove_left_over([prefix.parent])


def put_in_place(prefix: Path) -> None:
    """Put the staged folder where the old one is. Raises Failure where that can't be moved; then it is as it was."""
    staging, old = staging_of(prefix), _old_of(prefix)
    try:
        if os.path.lexists(prefix):
            prefix.rename(old)
        staging.rename(prefix)
    except OSError as error:
        if old.exists() and not prefix.exists():
            old.rename(prefix)
        hint = "Is a program of the environment running? End it and pull again."
        raise Failure(
            f"{prefix} can't be replaced: {error.strerror or error}. It is as it was.", hint=hint, code="prefix_in_use"
        ) from error
    prefixes.remove(old)
