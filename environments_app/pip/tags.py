"""Which wheel of several fits a platform best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from condahub.engine.records import PlatformLock

DEFAULT_GLIBC = (2, 28)
DEFAULT_MACOS = {"osx-64": (11, 0), "osx-arm64": (11, 0)}
# What uv has a name for, by minor version of glibc 2.
_UV_GLIBC = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_LINUX = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
_UV = {"osx-64": "x86_64-apple-darwin", "osx-arm64": "aarch64-apple-darwin", "win-64": "x86_64-pc-windows-msvc"}


def uv_platform(subdir: str, platform: PlatformLock) -> str:
    """The platform as uv calls it; on Linux with the newest glibc that it knows and the environment has."""
    if subdir in _LINUX:
        minor = glibc_of(platform)[1]
        return f"{_LINUX[subdir]}-manylinux_2_{max((one for one in _UV_GLIBC if one <= minor), default=_UV_GLIBC[0])}"
    return _UV[subdir]


def glibc_of(platform: PlatformLock) -> tuple[int, int]:
    """The glibc that was taken as given when the platform was solved."""
    return _virtual(platform, "__glibc") or DEFAULT_GLIBC


def macos_of(subdir: str, platform: PlatformLock) -> tuple[int, int]:
    """The same of macOS."""
    return _virtual(platform, "__osx") or DEFAULT_MACOS[subdir]


def _virtual(platform: PlatformLock, name: str) -> tuple[int, int] | None:
    for line in platform.virtual_packages:
        known, _, rest = line.partition("=")
        numbers = rest.partition("=")[0].split(".")
        if known == name and numbers[0].isdigit():
            return int(numbers[0]), int(numbers[1]) if len(numbers) > 1 and numbers[1].isdigit() else 0
    return None


def best(filenames: Iterable[str], subdir: str, platform: PlatformLock, python: str) -> str | None:
    """The file name of the wheel that pip would take there; None where none fits. python: as '3.11.9'."""
    ranks = {tag: rank for rank, tag in reversed(list(enumerate(tags(subdir, platform, python))))}
    chosen: tuple[int, str] | None = None
    for filename in filenames:
        try:
            offered = parse_wheel_filename(filename)[3]
        except InvalidWheelFilename:
            continue
        rank = min((ranks[tag] for tag in offered if tag in ranks), default=None)
        if rank is not None and (chosen is None or (rank, filename) < chosen):
            chosen = (rank, filename)
    return chosen[1] if chosen else None


def tags(subdir: str, platform: PlatformLock, python: str) -> list[Tag]:
    """Every tag that fits, the best first."""
    major, minor = (int(part) for part in python.split(".")[:2])
    places = _platforms(subdir, platform)
    threaded = any(record.name == "python_abi" and record.build.endswith("t") for record in platform.conda)
    abis = [f"cp{major}{minor}t"] if threaded else [f"cp{major}{minor}"]
    return [
        *cpython_tags((major, minor), abis=abis, platforms=places),
        *compatible_tags((major, minor), interpreter=f"cp{major}{minor}", platforms=places),
    ]


def _platforms(subdir: str, platform: PlatformLock) -> Sequence[str]:
    if subdir in _LINUX:
        machine, found = _LINUX[subdir], []
        for minor in range(glibc_of(platform)[1], 4, -1):
            found.append(f"manylinux_2_{minor}_{machine}")
            if minor in _LEGACY:
                found.append(f"{_LEGACY[minor]}_{machine}")
        return [*found, f"linux_{machine}"]
    if subdir.startswith("osx-"):
        return list(mac_platforms(macos_of(subdir, platform), "arm64" if subdir == "osx-arm64" else "x86_64"))
    return ["win_amd64"]
