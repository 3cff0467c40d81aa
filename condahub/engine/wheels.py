"""Puts a lock's wheels into a prefix, file by file: no pip, no code of theirs runs, nothing that a conda package brought is replaced."""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from condahub.engine.protocol import LinkWheels, LinkWheelsAnswer, Progress
from condahub.engine.records import PlatformLock, PypiRecord
from condahub.errors import HubError

INSTALLER = b"condahub\n"
READ_BYTES = 1024 * 1024
MAX_METADATA_BYTES = 8 * 1024 * 1024
MAX_FILES = 200_000
# Past this, and with a space in it, a kernel can't read the path in a script's first line (execve(2)).
MAX_SHEBANG_BYTES = 127
# What many wheels bring by mistake, beside the package itself: the first to come keeps its place.
_STRAY = frozenset(
    {"test", "tests", "doc", "docs", "example", "examples", "benchmarks", "LICENSE", "LICENSE.txt", "README.md", "README.rst"}
)
_UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")
# What whoever installs a wheel writes, whatever the wheel brings.
_NOT_TAKEN = (*_UNRECORDED, "INSTALLER", "REQUESTED", "direct_url.json")
_SCRIPT_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+ -]*")
_ENTRY_POINT = re.compile(r"(?P<module>[A-Za-z_][\w.]*)\s*:\s*(?P<object>[A-Za-z_][\w.]*)(?:\s*\[.*\])?")
_SCRIPT = """{shebang}
import sys
from {module} import {first}
if __name__ == '__main__':
    sys.argv[0] = sys.argv[0].removesuffix('.exe')
    sys.exit({object}())
"""

Say = Callable[[Progress], None]
# What was written of a wheel: digest as RECORD has it ('' for none) and size in bytes, by path in the prefix.
_Written = dict[str, tuple[str, int]]


class WheelRefused(HubError):
    """A wheel that is not what its record promises, or that can't be put beside what is there."""

    code = "bad_wheel"
    status = 422


def link_wheels(request: LinkWheels, say: Say) -> LinkWheelsAnswer:
    """Write the files of the platform's wheels into `staging`, as they belong at `prefix`. Raises WheelRefused."""
    platform = request.lock.platform(request.platform)
    place = _Place.of(request, platform)
    for number, record in enumerate(platform.pypi, start=1):
        path = request.wheels.get(record.sha256)
        if path is None:
            raise WheelRefused(f"The wheel {record.filename} is not at hand.", code="wheel_missing")
        with open_wheel(Path(path), record) as wheel:
            place.put(wheel)
        say(Progress("pip", number, len(platform.pypi), "packages"))
    return LinkWheelsAnswer(
        packages=len(platform.pypi), files=place.files, total_bytes=place.total_bytes, warnings=tuple(place.warnings[:100])
    )


def site_packages_of(platform: PlatformLock, subdir: str) -> tuple[str, str]:
    """(where its Python looks for packages, its version as '3.11.9'). Raises WheelRefused where there is no Python."""
    python = next((record for record in platform.conda if record.name == "python"), None)
    if python is None:
        raise WheelRefused(f"{subdir}: pip requirements need a Python.", code="no_python", hint="Add 'python' to the dependencies.")
    if python.python_site_packages_path:
        return python.python_site_packages_path, python.version
    if subdir.startswith("win-"):
        return "Lib/site-packages", python.version
    return f"lib/python{'.'.join(python.version.split('.')[:2])}/site-packages", python.version


@dataclass
class Wheel:
    """An open wheel, its RECORD checked against its members (PEP 427). info: the name of its .dist-info folder."""

    archive: zipfile.ZipFile
    record: PypiRecord
    info: str
    members: dict[str, zipfile.ZipInfo]
    hashes: dict[str, tuple[str, str]]

    def __enter__(self) -> Wheel:
        return self

    def __exit__(self, *error: object) -> None:
        self.archive.close()

    def text(self, name: str) -> str:
        """A small file of its .dist-info; '' where there is none."""
        member = self.members.get(f"{self.info}/{name}")
        if member is None:
            return ""
        if member.file_size > MAX_METADATA_BYTES:
            raise _bad(self.record, f"its {name} is too large")
        return self.archive.read(member).decode(errors="replace")


def open_wheel(path: Path, record: PypiRecord) -> Wheel:
    """The wheel at this path, if it is the one that the record names. Raises WheelRefused."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    if digest.hexdigest() != record.sha256:
        raise WheelRefused(f"{record.filename} is not what the lock promises: its sha256 differs.", code="hash_mismatch")
    try:
        return read_wheel(path, record)
    except (zipfile.BadZipFile, csv.Error, UnicodeError, NotImplementedError, OSError) as error:
        raise _bad(record, "it can't be read") from error


def read_wheel(path: Path, record: PypiRecord) -> Wheel:
    """Its members and what RECORD says of them; whose name and version is compared with the record's."""
    archive = zipfile.ZipFile(path)
    try:
        members = {one.filename: one for one in archive.infolist() if not one.is_dir()}
        if len(members) != sum(not one.is_dir() for one in archive.infolist()) or len(members) > MAX_FILES:
            raise _bad(record, "it holds a file twice, or too many files")
        folders = {name.partition("/")[0] for name in members if name.partition("/")[0].endswith(".dist-info")}
        if len(folders) != 1:
            raise _bad(record, "it has not exactly one .dist-info folder")
        wheel = Wheel(archive, record, folders.pop(), members, {})
        _check_identity(wheel)
        for row in csv.reader(io.StringIO(wheel.text("RECORD"))):
            if len(row) >= 2 and row[1]:
                algorithm, _, value = row[1].partition("=")
                wheel.hashes[row[0]] = (algorithm, value)
        for name, member in members.items():
            _check_member(wheel, name, member)
        return wheel
    except BaseException:
        archive.close()
        raise


def _check_identity(wheel: Wheel) -> None:
    said = HeaderParser().parsestr(wheel.text("METADATA"))
    about = HeaderParser().parsestr(wheel.text("WHEEL"))
    if not str(about.get("Wheel-Version", "")).startswith("1."):
        raise _bad(wheel.record, "its format is not known here")
    name, version = str(said.get("Name", "")), str(said.get("Version", ""))
    if canonicalize_name(name) != canonicalize_name(wheel.record.name) or not _same_version(version, wheel.record.version):
        raise _bad(wheel.record, f"it calls itself {name[:80]} {version[:80]}")


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def _check_member(wheel: Wheel, name: str, member: zipfile.ZipInfo) -> None:
    parts = name.split("/")
    if "\\" in name or not name.isprintable() or name.startswith("/") or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise _bad(wheel.record, "it holds a path that leads out of the environment")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise _bad(wheel.record, "it holds a link")
    if member.flag_bits & 1:
        raise _bad(wheel.record, "it is encrypted")
    if name in {f"{wheel.info}/{one}" for one in _UNRECORDED}:
        return
    algorithm, _ = wheel.hashes.get(name, ("", ""))
    if algorithm not in ("sha256", "sha384", "sha512"):
        raise _bad(wheel.record, f"its RECORD does not say what {name[:100]} is")


def _bad(record: PypiRecord, why: str) -> WheelRefused:
    return WheelRefused(f"The wheel {record.filename} can't be used: {why}.")


@dataclass
class _Place:
    """A prefix that wheels are put into. came: which wheel brought a file."""

    staging: Path
    prefix: str
    site_packages: str
    python: str
    max_bytes: int | None
    files: int = 0
    total_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    came: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, request: LinkWheels, platform: PlatformLock) -> _Place:
        if request.platform.startswith("win-"):
            raise WheelRefused("Wheels are put into environments of Linux and macOS here.", code="no_such_platform")
        folder, version = site_packages_of(platform, request.platform)
        return cls(Path(request.staging), request.prefix, folder, ".".join(version.split(".")[:2]), request.max_bytes)

    def put(self, wheel: Wheel) -> None:
        """Every file of it, its scripts, and a RECORD of what was written."""
        written: _Written = {}
        for name in sorted(wheel.members):
            if name not in {f"{wheel.info}/{one}" for one in _NOT_TAKEN}:
                self._put_member(wheel, name, written)
        for name, script in self._scripts(wheel):
            self._write(wheel, f"bin/{name}", script.encode(), True, written)
        self._write(wheel, f"{self.site_packages}/{wheel.info}/INSTALLER", INSTALLER, False, written)
        record = f"{wheel.info}/RECORD"
        lines = [f"{_quoted(self._from_site(path))},{digest},{size or ''}\n" for path, (digest, size) in sorted(written.items())]
        self._write(wheel, f"{self.site_packages}/{record}", ("".join(lines) + f"{record},,\n").encode(), False, {})

    def _put_member(self, wheel: Wheel, name: str, written: _Written) -> None:
        member = wheel.members[name]
        self.total_bytes += member.file_size
        if self.max_bytes is not None and self.total_bytes > self.max_bytes:
            raise WheelRefused(f"The wheels take more than the {self.max_bytes:,} bytes that are allowed.", code="too_large")
        target, is_script = self._target(wheel, name)
        data = _checked(wheel, name)
        if is_script and data.startswith(b"#!python"):
            data = self._shebang().encode() + b"\n" + data.partition(b"\n")[2]
        self._write(wheel, target, data, is_script or bool((member.external_attr >> 16) & 0o111), written)

    def _from_site(self, path: str) -> str:
        return PurePosixPath(os.path.relpath(path, self.site_packages)).as_posix()

    def _target(self, wheel: Wheel, name: str) -> tuple[str, bool]:
        """(where it goes in the prefix, whether it is a script)."""
        first, _, rest = name.partition("/")
        if not first.endswith(".data"):
            return f"{self.site_packages}/{name}", False
        scheme, _, path = rest.partition("/")
        places = {
            "purelib": self.site_packages,
            "platlib": self.site_packages,
            "scripts": "bin",
            "headers": f"include/python{self.python}/{canonicalize_name(wheel.record.name)}",
            "data": "",
        }
        if scheme not in places or not path:
            raise _bad(wheel.record, f"nobody knows where {name[:100]} belongs")
        return (f"{places[scheme]}/{path}".lstrip("/")), scheme == "scripts"

    def _write(self, wheel: Wheel, path: str, data: bytes, runs: bool, written: _Written) -> None:
        if path.partition("/")[0].lower() == "conda-meta":
            raise _bad(wheel.record, "it would change what conda knows of the environment")
        target = self.staging / path
        self._make_folder(wheel, target.parent)
        # What depends on where the environment lies is recorded without a hash, as RECORD allows: two prefixes differ in nothing else.
        said = ("", 0) if self.prefix.encode() in data else (f"sha256={_digest(data)}", len(data))
        if os.path.lexists(target):
            if self._stays(wheel, path, target, data):
                written[path] = said
            return
        with open(target, "xb") as file:
            file.write(data)
        target.chmod(0o755 if runs else 0o644)
        written[path] = said
        self.came[path] = wheel.record.filename
        self.files += 1

    def _make_folder(self, wheel: Wheel, folder: Path) -> None:
        there = folder
        while not os.path.lexists(there):
            there = there.parent
        if not Path(os.path.realpath(there)).is_relative_to(os.path.realpath(self.staging)):
            raise _bad(wheel.record, "a folder it writes to leads out of the environment")
        folder.mkdir(parents=True, exist_ok=True)

    def _stays(self, wheel: Wheel, path: str, target: Path, data: bytes) -> bool:
        """What is there stays; True where it is the very same. Raises WheelRefused where the two can't be together."""
        if target.is_file() and not target.is_symlink() and target.stat().st_size == len(data) and target.read_bytes() == data:
            return True
        owner = self.came.get(path)
        inside = path.removeprefix(f"{self.site_packages}/")
        if owner is None and inside.partition("/")[0] not in _STRAY:
            raise WheelRefused(
                f"The wheel {wheel.record.filename} brings {path}, which a conda package has put there already.",
                code="conda_package_in_the_way",
                hint="Ask for the one or the other.",
            )
        self.warnings.append(f"{wheel.record.filename} brings {path}, which {owner or 'a conda package'} has put there: that one stays.")
        return False

    def _shebang(self) -> str:
        path = f"{self.prefix}/bin/python"
        if len(path.encode()) + 2 > MAX_SHEBANG_BYTES or " " in path:
            return f"#!/bin/sh\n'''exec' \"{path}\" \"$0\" \"$@\"\n' '''"
        return f"#!{path}"

    def _scripts(self, wheel: Wheel) -> Iterator[tuple[str, str]]:
        for name, value in _entry_points(wheel).items():
            found = _ENTRY_POINT.fullmatch(value.strip())
            if found is None or _SCRIPT_NAME.fullmatch(name) is None:
                raise _bad(wheel.record, f"its script '{name[:60]}' is not written as one")
            dotted = found["object"]
            yield name, _SCRIPT.format(shebang=self._shebang(), module=found["module"], first=dotted.partition(".")[0], object=dotted)


def _checked(wheel: Wheel, name: str) -> bytes:
    """The member's bytes, as RECORD promises them."""
    try:
        data = wheel.archive.read(wheel.members[name])
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise _bad(wheel.record, f"{name[:100]} is damaged") from error
    algorithm, promised = wheel.hashes[name]
    if _digest(data, algorithm) != promised.rstrip("="):
        raise _bad(wheel.record, f"{name[:100]} is not what its RECORD promises")
    return data


def _digest(data: bytes, algorithm: str = "sha256") -> str:
    return base64.urlsafe_b64encode(hashlib.new(algorithm, data).digest()).rstrip(b"=").decode()


def _entry_points(wheel: Wheel) -> Mapping[str, str]:
    """Scripts by name, of console and windows alike."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(wheel.text("entry_points.txt"))
    except configparser.Error as error:
        raise _bad(wheel.record, "its entry points can't be read") from error
    found: dict[str, str] = {}
    for section in ("console_scripts", "gui_scripts"):
        if parser.has_section(section):
            found.update(parser.items(section))
    return dict(sorted(found.items()))


def _quoted(path: str) -> str:
    return f'"{path}"' if "," in path else path
