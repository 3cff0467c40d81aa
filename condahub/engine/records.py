"""What a lock holds: one conda package or wheel as the solver chose it, named by channel and file, never by a host."""

from __future__ import annotations

from typing import Any

import msgspec


class CondaRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One conda package (CEP-36's words). channel: the hub's channel; sha256, md5: hexadecimal; size in bytes; timestamp in ms."""

    name: str
    version: str
    build: str
    build_number: int = 0
    subdir: str
    channel: str
    filename: str
    sha256: str
    md5: str = ""
    size: int | None = None
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    extra_depends: dict[str, tuple[str, ...]] = {}
    flags: tuple[str, ...] = ()
    license: str = ""
    license_family: str = ""
    noarch: str = ""
    features: str = ""
    track_features: tuple[str, ...] = ()
    timestamp: int | None = None
    python_site_packages_path: str = ""
    purls: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """`name-version-build`: what conda-meta calls the package."""
        return f"{self.name}-{self.version}-{self.build}"


class PypiRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One wheel. index: the hub's name of the index it comes from; requires: PEP 508 lines; sha256 hexadecimal; size in bytes;
    sdist, sdist_sha256: the source distribution that the hub built it of, empty for one that its index had.
    """

    name: str
    version: str
    filename: str
    sha256: str
    index: str = "pypi"
    size: int | None = None
    requires: tuple[str, ...] = ()
    requires_python: str = ""
    license: str = ""
    sdist: str = ""
    sdist_sha256: str = ""


class LockedChannel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A channel of the solve and the revision of it that was looked at."""

    name: str
    revision: int | None = None


class PlatformLock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one platform gets. virtual_packages: as `__glibc=2.28=0`, those that were taken as given."""

    conda: tuple[CondaRecord, ...] = ()
    pypi: tuple[PypiRecord, ...] = ()
    virtual_packages: tuple[str, ...] = ()


def record_of(facts: dict[str, Any], *, channel: str, subdir: str, filename: str) -> CondaRecord:
    """The record from the JSON of an index or lock; unknown keys are left out. Raises msgspec.ValidationError, KeyError."""
    known = {key: value for key, value in facts.items() if key in CondaRecord.__struct_fields__ and value is not None}
    if isinstance(known.get("noarch"), bool):
        known["noarch"] = "generic" if known["noarch"] else ""
    features = known.get("track_features")
    if isinstance(features, str):
        known["track_features"] = features.replace(",", " ").split()
    known |= {"channel": channel, "subdir": subdir, "filename": filename}
    return msgspec.convert(known, CondaRecord)
