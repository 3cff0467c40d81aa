"""Builds wheels of source distributions, where IT allows it: found and fetched here, built in a sandbox that has no network.

What building takes is resolved and fetched before, as wheels of the same index with their hashes; no code of a package runs
outside the sandbox. A wheel that the organization has built of the very same source before is taken as it is.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
from uv import find_uv_bin

from condahub.engine import sandbox
from condahub.engine.records import PlatformLock, PypiRecord
from condahub.engine.wheels import site_packages_of
from environments_app.pip import resolve as resolving
from environments_app.pip.fetch import Fetcher, record_of
from environments_app.pip.protocol import Fetched, Resolve, SourceBuilds
from environments_app.pip.resolve import Chosen, PipFailed
from environments_app.pip.tags import best

MAX_BUILDS = 30
MAX_TRIES = 3
MAX_PYPROJECT_BYTES = 1024 * 1024
MAX_OUTPUT_CHARS = 4000
SUFFIX = ".tar.gz"
# What PEP 518 says of a source that does not.
DEFAULT_REQUIRES = ("setuptools >=40.8.0", "wheel")
# Before 1980 no zip knows a time.
SOURCE_DATE_EPOCH = 315_532_800
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MISSING = re.compile(r"Because ([A-Za-z0-9][\w.-]*) was not found in the provided package locations")
_BUILD = (
    'mkdir /build/work/src /build/work/tmp && tar -xzf "$1" -C /build/work/src --strip-components=1 --no-same-owner && '
    "exec /build/uv build --wheel --no-config --offline --no-index --find-links /build/wheels --no-progress --color never "
    '--python "$2" --out-dir /build/work/out /build/work/src'
)

Say = Callable[[object], None]


@dataclass(frozen=True)
class Source:
    """A source distribution that the index has."""

    name: str
    version: str
    filename: str
    address: str
    sha256: str


@dataclass
class Workshop:
    """Makes wheels for one question, on the platform of this machine. folder: of this question alone; made: by file name."""

    request: Resolve
    fetcher: Fetcher
    folder: Path
    say: Say
    made: dict[str, tuple[PypiRecord, Fetched]] = field(default_factory=dict)
    _tried: dict[str, list[str]] = field(default_factory=dict)

    @property
    def found_here(self) -> Path:
        """Where uv finds what was made."""
        return self.folder / "made"

    @property
    def builds(self) -> SourceBuilds:
        assert self.request.sources is not None
        return self.request.sources

    def supply(self, name: str, subdir: str) -> None:
        """Have a wheel of a package that has none; asked again, of an older version. Raises PipFailed."""
        if _NAME.fullmatch(name) is None:
            raise PipFailed(f"'{name[:80]}' is no name of a package.", code="wheels_only")
        platform = self.request.lock.platform(subdir)
        _, python = site_packages_of(platform, subdir)
        tried = self._tried.setdefault(name, [])
        if sum(len(versions) for versions in self._tried.values()) >= MAX_BUILDS:
            raise PipFailed(f"More than {MAX_BUILDS} source distributions would have to be built.", code="wheels_only")
        source = find_source(self.request, name, tried, subdir, platform, python)
        tried.append(source.version)
        path, sha256 = self.fetcher.fetch_source(source.filename, source.address, source.sha256)
        known = next(
            (one for one in self.builds.known if one.sdist_sha256 == sha256 and best([one.filename], subdir, platform, python)), None
        )
        self.found_here.mkdir(exist_ok=True)
        if known is not None:
            wheel, built_with = self.found_here / known.filename, known.built_with
            shutil.copyfile(known.path, wheel)
            self.say({"log": f"{subdir}: {known.filename} was built here before, of the same {source.filename}"})
        else:
            wheel, built_with = self._build(source, path, platform, subdir)
            self.say({"log": f"{subdir}: {wheel.name} was built in a sandbox, of {source.filename} (sha256:{sha256})"})
        if best([wheel.name], subdir, platform, python) is None:
            raise PipFailed(f"{wheel.name}, which was built of {source.filename}, does not fit {subdir}.", code="sdist_failed")
        self._take(source, sha256, wheel, built_with)

    def _take(self, source: Source, sha256: str, wheel: Path, built_with: tuple[str, ...]) -> None:
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        chosen = Chosen(canonicalize_name(source.name), source.version, wheel.name, source.address, digest)
        record = record_of(wheel, chosen, digest, wheel.stat().st_size)
        record = msgspec.structs.replace(record, sdist=source.filename, sdist_sha256=sha256)
        self.made[wheel.name] = (
            record,
            Fetched(
                sha256=digest,
                filename=wheel.name,
                name=record.name,
                version=record.version,
                size=wheel.stat().st_size,
                address=source.address,
                path=str(wheel),
                sdist=source.filename,
                sdist_sha256=sha256,
                built_with=built_with,
            ),
        )

    def _build(self, source: Source, path: Path, platform: PlatformLock, subdir: str) -> tuple[Path, tuple[str, ...]]:
        """(the wheel, what building it took)."""
        sandbox.require()
        requires = list(build_requires(path, source.filename))
        for _ in range(MAX_TRIES):
            work = Path(tempfile.mkdtemp(prefix="build-", dir=self.folder))
            used = self._wheels(requires, subdir, work / "wheels", source.filename)
            ended = self._run(source.filename, path, work)
            missing = sorted(set(_MISSING.findall(ended.output))) if ended.status else []
            if not missing:
                break
            # Some backends say only when they run what else they need.
            requires += missing
        if ended.status != 0:
            raise PipFailed(
                f"{source.filename} can't be built: its build failed with the exit status {ended.status}.",
                code="sdist_failed",
                hint=ended.output[-MAX_OUTPUT_CHARS:],
            )
        left = work / "work" / "out"
        # A link would lead to where the build itself could not look.
        wheels = [one for one in sorted(left.glob("*.whl")) if one.is_file() and not one.is_symlink()] if not left.is_symlink() else []
        if len(wheels) != 1 or wheels[0].stat().st_nlink != 1:
            raise PipFailed(f"{source.filename} can't be built: its build left no wheel.", code="sdist_failed")
        wheel = self.found_here / wheels[0].name
        shutil.copyfile(wheels[0], wheel)
        return wheel, used

    def _wheels(self, requires: Sequence[str], subdir: str, folder: Path, filename: str) -> tuple[str, ...]:
        """Fetch what building takes; each as "<filename> sha256:<digest>"."""
        folder.mkdir()
        question = Path(tempfile.mkdtemp(prefix="question-", dir=self.folder))
        try:
            chosen = resolving.resolve(msgspec.structs.replace(self.request, requirements=tuple(requires)), subdir, {}, question)
        except PipFailed as error:
            raise PipFailed(
                f"{filename} can't be built, for want of what that takes. {error.detail}", code=error.code, hint=error.hint
            ) from None
        used = []
        for one in chosen:
            record, fetched = self.fetcher.fetch_aside(one)
            shutil.copyfile(fetched.path, folder / Path(one.filename).name)
            used.append(f"{record.filename} sha256:{record.sha256}")
        return tuple(sorted(used))

    def _run(self, filename: str, path: Path, work: Path) -> sandbox.Ended:
        (work / "work").mkdir()
        prefix = self.builds.prefix
        world = sandbox.World(
            writable=[(work / "work", "/build/work")],
            readable=[
                (Path(self.request.prefix), prefix),
                (work / "wheels", "/build/wheels"),
                (path, f"/build/{filename}"),
                (Path(find_uv_bin()), "/build/uv"),
            ],
            hidden=self.builds.hidden,
            environment={
                "PATH": f"{prefix}/bin:/usr/bin:/bin",
                "TMPDIR": "/build/work/tmp",
                "UV_CACHE_DIR": "/build/work/cache",
                "UV_LINK_MODE": "copy",
                "UV_PYTHON_DOWNLOADS": "never",
                "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
                "PYTHONHASHSEED": "0",
                "PYTHONDONTWRITEBYTECODE": "1",
                "TZ": "UTC",
            },
            folder="/build/work",
        )
        bounds = sandbox.Bounds(seconds=self.builds.seconds, memory_bytes=self.builds.memory_bytes, disk_bytes=self.request.max_bytes)
        try:
            return sandbox.run(["/bin/sh", "-c", _BUILD, "sh", f"/build/{filename}", f"{prefix}/bin/python"], world, bounds)
        except sandbox.SandboxFailed as error:
            raise PipFailed(f"{filename} can't be built: {error.detail}", code=error.code, hint=error.hint) from None


def find_source(request: Resolve, name: str, tried: Sequence[str], subdir: str, platform: PlatformLock, python: str) -> Source:
    """The newest source distribution that the requirements allow, other than those that were tried. Raises PipFailed.

    uv is told that the package needs nothing, so that it does not run it to find out.
    """
    asked = [Requirement(line) for line in request.requirements]
    own = [one for one in asked if canonicalize_name(one.name) == name and (one.marker is None or one.marker.evaluate())]
    specifiers = ",".join(str(one.specifier) for one in own if str(one.specifier))
    older = f"<{tried[-1]}" if tried else ""
    folder = Path(tempfile.mkdtemp(prefix="source-", dir=request.folder))
    line = f"{name} {','.join(part for part in (specifiers, older) if part)}".strip()
    package = resolving.ask_for_source(request, name, line, subdir, platform, python, folder)
    if package is None:
        raise PipFailed(
            f"{subdir}: {name} has no wheel for Python {python} there, and no source distribution that '{line}' allows.",
            code="wheels_only",
            hint="Ask for another version, use a conda package, or publish a wheel.",
        )
    sdist: Mapping[str, Any] = package["sdist"]
    filename = str(sdist.get("name") or unquote(urlsplit(str(sdist["url"])).path).rpartition("/")[2])
    return Source(
        name, str(package["version"]), _checked(filename, name), str(sdist["url"]), str(sdist.get("hashes", {}).get("sha256", ""))
    )


def _checked(filename: str, name: str) -> str:
    try:
        found, _ = parse_sdist_filename(filename)
    except InvalidSdistFilename:
        found = canonicalize_name("")
    if found != name or not filename.endswith(SUFFIX) or "/" in filename or not filename.isprintable():
        raise PipFailed(f"The source distribution '{filename[:80]}' can't be built here: only .tar.gz ones are.", code="sdist_failed")
    return filename


def build_requires(path: Path, filename: str) -> tuple[str, ...]:
    """What its pyproject.toml says that building takes (PEP 518). Raises PipFailed; nothing but names and versions is taken."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            text = next(
                (
                    _text(archive, one)
                    for one in archive
                    if one.isfile() and one.name.count("/") == 1 and one.name.endswith("/pyproject.toml")
                ),
                "",
            )
        wanted = tomllib.loads(text).get("build-system", {}).get("requires", DEFAULT_REQUIRES)
        requirements = [Requirement(str(line)) for line in wanted]
    except (tarfile.TarError, OSError, EOFError, ValueError, TypeError, AttributeError, InvalidRequirement) as error:
        raise PipFailed(f"{filename} can't be built: it can't be read.", code="sdist_failed", hint=str(error)[:500]) from None
    for one in requirements:
        if one.url:
            raise PipFailed(f"{filename} can't be built: it wants {one.name} from an address of its own.", code="sdist_failed")
    return tuple(str(one) for one in requirements)


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    if file is None or member.size > MAX_PYPROJECT_BYTES:
        raise ValueError("pyproject.toml is too large.")
    with file:
        return file.read().decode()
