"""Writes a HubLock as the lock files that other programs read; hosts come in here, from the caller."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import yaml

from condahub.engine.lock import HubLock, in_dependency_order
from condahub.engine.records import CondaRecord, PypiRecord

_YAML_WIDTH_CHARS = 10_000
# The order in which pixi writes them, so that its own rewriting changes nothing else.
_PIXI_KEYS = (
    "depends", "constrains", "extra_depends", "features", "flags", "track_features", "license", "license_family", "purls", "size",
    "timestamp", "python_site_packages_path",
)  # fmt: skip


@dataclass(frozen=True)
class Addresses:
    """Where a reader of the file finds things. channel: the address of a channel by name; file: of one package or wheel,
    beneath its channel's address if the file is a package's; index: of a wheels' index by name.
    """

    channel: Callable[[str], str]
    file: Callable[[CondaRecord | PypiRecord], str]
    index: Callable[[str], str]


def addresses_at(channel: Callable[[str], str], index: Callable[[str], str] | None = None) -> Addresses:
    """Addresses where each package lies in its channel as `<channel>/<subdir>/<filename>`, each wheel as `<index>/<name>/<filename>`."""
    index = index or channel

    def file(record: CondaRecord | PypiRecord) -> str:
        if isinstance(record, CondaRecord):
            return f"{channel(record.channel).rstrip('/')}/{record.subdir}/{quote(record.filename, safe='-._~+!')}"
        return f"{index(record.index).rstrip('/')}/{record.name}/{quote(record.filename, safe='-._~+!')}"

    return Addresses(channel=channel, file=file, index=index)


class _Dumper(yaml.CSafeDumper):
    """Plain YAML: the same list written twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: object, comment: str = "") -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=_YAML_WIDTH_CHARS)
    return comment + text


def pixi_lock(lock: HubLock, addresses: Addresses, *, version: int = 6) -> str:
    """pixi.lock, version 6 (pixi 0.39 and later) or 7, with one environment, `default`."""
    packages: dict[str, dict[str, Any]] = {}
    lists: dict[str, list[dict[str, str]]] = {}
    for subdir, platform in lock.platforms.items():
        references = lists.setdefault(subdir, [])
        for record in sorted(platform.conda, key=lambda record: record.stem):
            references.append({"conda": addresses.file(record)})
            packages.setdefault(addresses.file(record), _pixi_conda(record, addresses))
        for wheel in platform.pypi:
            references.append({"pypi": addresses.file(wheel)})
            packages.setdefault(addresses.file(wheel), _pixi_wheel(wheel, addresses))
    environment: dict[str, Any] = {"channels": [{"url": _folder(addresses.channel(one.name))} for one in lock.channels]}
    indexes = sorted({wheel.index for platform in lock.platforms.values() for wheel in platform.pypi})
    if indexes:
        environment["indexes"] = [addresses.index(name) for name in indexes]
    environment["packages"] = lists
    document: dict[str, Any] = {"version": version}
    if version >= 7:
        document["platforms"] = [_pixi_platform(subdir, platform.virtual_packages) for subdir, platform in lock.platforms.items()]
    document["environments"] = {"default": environment}
    document["packages"] = [packages[address] for address in sorted(packages, key=lambda address: (address.rpartition("/")[2], address))]
    return _yaml(document)


def _folder(address: str) -> str:
    return address.rstrip("/") + "/"


def _pixi_platform(subdir: str, virtual_packages: Sequence[str]) -> dict[str, Any]:
    return {"name": subdir, "virtual-packages": list(virtual_packages)} if virtual_packages else {"name": subdir}


def _pixi_conda(record: CondaRecord, addresses: Addresses) -> dict[str, Any]:
    entry: dict[str, Any] = {"conda": addresses.file(record)}
    if not record.build.endswith(f"_{record.build_number}") and record.build != str(record.build_number):
        entry["build_number"] = record.build_number
    if record.noarch:
        entry["noarch"] = record.noarch
    entry["sha256"] = record.sha256
    if record.md5:
        entry["md5"] = record.md5
    for key in _PIXI_KEYS:
        value = getattr(record, key)
        if value:
            entry[key] = {name: list(some) for name, some in value.items()} if isinstance(value, dict) else _plain(value)
    return entry


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _pixi_wheel(wheel: PypiRecord, addresses: Addresses) -> dict[str, Any]:
    entry: dict[str, Any] = {"pypi": addresses.file(wheel), "name": wheel.name, "version": wheel.version, "sha256": wheel.sha256}
    if wheel.requires:
        entry["requires_dist"] = list(wheel.requires)
    if wheel.requires_python:
        entry["requires_python"] = wheel.requires_python
    return entry


def conda_lock(lock: HubLock, addresses: Addresses) -> str:
    """conda-lock.yml, version 1."""
    packages: list[dict[str, Any]] = []
    for subdir, platform in lock.platforms.items():
        for record in in_dependency_order(platform.conda):
            hashes = {"md5": record.md5, "sha256": record.sha256} if record.md5 else {"sha256": record.sha256}
            dependencies = dict(_name_and_rest(line) for line in record.depends if not line.startswith("__"))
            packages.append(_conda_lock_entry(record, "conda", subdir, dependencies, addresses.file(record), hashes))
        packages += [
            _conda_lock_entry(wheel, "pip", subdir, {}, addresses.file(wheel), {"sha256": wheel.sha256}) for wheel in platform.pypi
        ]
    packages.sort(key=lambda entry: (entry["name"], entry["manager"]))
    return _yaml(
        {
            "version": 1,
            "metadata": {
                "content_hash": {subdir: hashlib.sha256(lock.only(subdir).to_bytes()).hexdigest() for subdir in lock.platforms},
                "channels": [{"url": addresses.channel(one.name), "used_env_vars": []} for one in lock.channels],
                "platforms": list(lock.platforms),
                "sources": ["environment.yml"],
            },
            "package": packages,
        }
    )


def _name_and_rest(dependency: str) -> tuple[str, str]:
    name, _, rest = dependency.strip().partition(" ")
    return name, rest.strip()


def _conda_lock_entry(
    record: CondaRecord | PypiRecord, manager: str, subdir: str, dependencies: Mapping[str, str], address: str, hashes: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "name": record.name,
        "version": record.version,
        "manager": manager,
        "platform": subdir,
        "dependencies": dict(dependencies),
        "url": address,
        "hash": dict(hashes),
        "category": "main",
        "optional": False,
    }


def explicit(lock: HubLock, subdir: str, addresses: Addresses, *, digest: str = "md5") -> str:
    """The `@EXPLICIT` file of a platform, for `conda create --file`. digest: "md5", which every reader knows, or "sha256".

    Wheels can't be named in it; they are listed as comments.
    """
    platform = lock.platform(subdir)
    lines = ["# Make this environment: conda create --name <name> --file <this file>", f"# platform: {subdir}", "@EXPLICIT"]
    for record in in_dependency_order(platform.conda):
        mark = record.md5 if digest == "md5" and record.md5 else f"sha256:{record.sha256}"
        lines.append(f"{addresses.file(record)}#{mark}")
    lines += [f"# pip: {wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}" for wheel in platform.pypi]
    return "\n".join(lines) + "\n"


def pinned_environment(
    lock: HubLock, subdir: str, addresses: Addresses, *, name: str, variables: Mapping[str, str] | None = None, builds: bool = True
) -> str:
    """environment.yml with every package of a platform at its version, and its build if asked for."""
    platform = lock.platform(subdir)
    dependencies: list[Any] = [
        f"{record.name}={record.version}={record.build}" if builds else f"{record.name}={record.version}"
        for record in sorted(platform.conda, key=lambda record: record.name)
    ]
    if platform.pypi:
        dependencies.append({"pip": [f"{wheel.name}=={wheel.version}" for wheel in platform.pypi]})
    document: dict[str, Any] = {
        "name": name,
        "channels": [addresses.channel(one.name) for one in lock.channels],
        "dependencies": dependencies,
    }
    if variables:
        document["variables"] = dict(sorted(variables.items()))
    return _yaml(document)
