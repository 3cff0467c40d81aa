"""What a platform is taken to offer of itself (CEP-30) when environments are solved for machines that are not this one."""

from __future__ import annotations

from collections.abc import Mapping

from condahub.errors import Unprocessable

# A kernel and libc that every supported distribution of the last years has; what pixi assumes too.
LINUX_VERSION = "4.18"
GLIBC_VERSION = "2.28"
MACOS_VERSION = "13.0"
WINDOWS_VERSION = "10.0"

_ARCHSPEC = {"linux-64": "x86_64", "linux-aarch64": "aarch64", "osx-64": "x86_64", "osx-arm64": "m1", "win-64": "x86_64"}
KNOWN = ("unix", "linux", "glibc", "osx", "win", "archspec", "cuda", "cuda_arch")


def virtual_packages(subdir: str, overrides: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(name, version, build) of each virtual package of a platform, sorted.

    overrides: version by name without the underscores ("glibc": "2.35", "cuda": "12.4"); '' takes one away; archspec's
    value is the microarchitecture ("x86_64_v3"). Unprocessable for a name that is none.
    """
    system = subdir.partition("-")[0]
    chosen: dict[str, str] = {"archspec": _ARCHSPEC.get(subdir, subdir.partition("-")[2])}
    if system in ("linux", "osx"):
        chosen["unix"] = "0"
    if system == "linux":
        chosen |= {"linux": LINUX_VERSION, "glibc": GLIBC_VERSION}
    elif system == "osx":
        chosen["osx"] = MACOS_VERSION
    elif system == "win":
        chosen["win"] = WINDOWS_VERSION
    for name, version in overrides.items():
        plain = name.removeprefix("__")
        if plain not in KNOWN:
            raise Unprocessable(
                f"'{name[:40]}' is not a virtual package.", code="invalid_virtual_package", hint=f"Known are: {', '.join(KNOWN)}."
            )
        chosen[plain] = version
    return [
        (f"__{name}", "1" if name == "archspec" else version, version if name == "archspec" else "0")
        for name, version in sorted(chosen.items())
        if version
    ]
