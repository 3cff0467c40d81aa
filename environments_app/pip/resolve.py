"""Asks uv which wheels meet the requirements beside what conda brings, and says in a sentence why none do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name
from uv import find_uv_bin

from condahub.engine.records import PlatformLock, PypiRecord
from condahub.engine.wheels import site_packages_of
from condahub.errors import HubError
from environments_app.pip.beside import Provided
from environments_app.pip.protocol import Resolve
from environments_app.pip.tags import best, macos_of, uv_platform

MAX_EXPLANATION_CHARS = 4000
HTTP_TIMEOUT_SECONDS = 60
PASSED_ON_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR")


class PipFailed(HubError):
    """The pip requirements can't be met. hint: what was found out, line by line; without_wheel: names that have none that fits."""

    code = "pip_conflict"
    status = 422
    without_wheel: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """A wheel that was chosen, before it is fetched."""

    name: str
    version: str
    filename: str
    address: str
    sha256: str

    @property
    def what(self) -> str:
        return "wheel" if self.filename.endswith(".whl") else "source distribution"


def resolve(request: Resolve, subdir: str, provided: Mapping[str, Provided], folder: Path, *, made: Path | None = None) -> list[Chosen]:
    """The wheels for one platform, by name. folder: for files of this question alone; made: of wheels that no index has.

    Raises PipFailed.
    """
    platform = request.lock.platform(subdir)
    _, python = site_packages_of(platform, subdir)
    output = folder / "pylock.toml"
    _write_stubs(folder / "provided", provided.values())
    (folder / "requirements.in").write_text("".join(f"{line}\n" for line in request.requirements))
    (folder / "constraints.in").write_text("".join(f"{one.name}=={one.version}\n" for one in provided.values()))
    argv = [*_argv(request, subdir, platform, python, folder), *(["--find-links", str(made)] if made is not None else [])]
    done = _run_uv(argv, _environment(request, subdir, platform, folder), request.timeout_seconds)
    if done.returncode != 0:
        raise explained(done.stderr, subdir, python, provided)
    packages = tomllib.loads(output.read_text()).get("packages", [])
    return [_chosen(one, subdir, platform, python) for one in packages if canonicalize_name(str(one["name"])) not in provided]


def ask_for_source(
    request: Resolve, name: str, line: str, subdir: str, platform: PlatformLock, python: str, folder: Path
) -> Mapping[str, Any] | None:
    """What uv says of the newest source distribution that a requirement allows; None where there is none.

    Told that the package needs nothing, uv takes its word for what it needs from nobody: nothing of it is run. Raises PipFailed.
    """
    (folder / "provided").mkdir()
    (folder / "requirements.in").write_text(f"{line}\n")
    (folder / "constraints.in").write_text("")
    (folder / "uv.toml").write_text(f'dependency-metadata = [{{ name = "{name}", requires-dist = [] }}]\n')
    argv = _argv(request, subdir, platform, python, folder)
    at = argv.index("--only-binary")
    argv[at : at + 2] = ["--no-binary", name, "--no-deps"]
    argv[argv.index("--no-config")] = f"--config-file={folder / 'uv.toml'}"
    done = _run_uv(argv, _environment(request, subdir, platform, folder), request.timeout_seconds)
    if done.returncode != 0:
        said = explained(done.stderr, subdir, python, {})
        if said.code in ("pip_conflict", "wheels_only"):
            return None
        raise said
    packages = tomllib.loads((folder / "pylock.toml").read_text()).get("packages", [])
    return next((one for one in packages if canonicalize_name(str(one["name"])) == name and "sdist" in one), None)


def find(request: Resolve, subdir: str, wanted: Sequence[PypiRecord], folder: Path) -> list[Chosen]:
    """Where the index has exactly these wheels, which a lock file names. folder: as above. Raises PipFailed."""
    platform = request.lock.platform(subdir)
    _, python = site_packages_of(platform, subdir)
    (folder / "provided").mkdir()
    (folder / "requirements.in").write_text("".join(f"{one.name}=={one.version}\n" for one in wanted))
    (folder / "constraints.in").write_text("")
    argv = [*_argv(request, subdir, platform, python, folder), "--no-deps"]
    done = _run_uv(argv, _environment(request, subdir, platform, folder), request.timeout_seconds)
    if done.returncode != 0:
        raise explained(done.stderr, subdir, python, {})
    packages = tomllib.loads((folder / "pylock.toml").read_text()).get("packages", [])
    offered = {_filename(wheel): wheel for package in packages for wheel in package.get("wheels", ())}
    return [_exact(one, offered.get(one.filename), subdir) for one in wanted]


def _exact(wanted: PypiRecord, found: Mapping[str, Any] | None, subdir: str) -> Chosen:
    if found is None or found.get("hashes", {}).get("sha256", wanted.sha256) != wanted.sha256:
        why = "has no such file" if found is None else "has other bytes under that name"
        raise PipFailed(
            f"{subdir}: the wheel {wanted.filename} that the lock file names is not to be had: the index {why}.",
            code="wheel_missing",
            hint="Lock again against the index that is used here, or ask IT which that is.",
        )
    return Chosen(canonicalize_name(wanted.name), wanted.version, wanted.filename, str(found["url"]), wanted.sha256)


def _argv(request: Resolve, subdir: str, platform: PlatformLock, python: str, folder: Path) -> list[str]:
    # The hub's own Python stands in for the environment's, which is its owner's code: of it only the version is needed.
    argv = [find_uv_bin(), "pip", "compile", "--no-config", "--no-progress", "--color", "never"]
    argv += ["--python", sys.executable, "--python-version", python, "--python-platform", uv_platform(subdir, platform)]
    argv += ["--only-binary", ":all:", "--format", "pylock.toml", "--generate-hashes", "--no-header", "--no-annotate"]
    argv += ["--default-index", request.index, "--find-links", str(folder / "provided")]
    for address in request.extra_indexes:
        argv += ["--index", address]
    if request.prerelease:
        argv += ["--prerelease", "allow"]
    if request.exclude_newer:
        argv += ["--exclude-newer", request.exclude_newer]
    argv += ["--constraints", str(folder / "constraints.in"), "--output-file", str(folder / "pylock.toml")]
    return [*argv, str(folder / "requirements.in")]


def _environment(request: Resolve, subdir: str, platform: PlatformLock, folder: Path) -> dict[str, str]:
    environment = {name: os.environ[name] for name in PASSED_ON_VARIABLES if name in os.environ}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        environment[name] = environment[name.lower()] = request.proxy
    if subdir.startswith("osx-"):
        environment["MACOSX_DEPLOYMENT_TARGET"] = "{}.{}".format(*macos_of(subdir, platform))
    return environment | {
        "HOME": str(folder),
        "NETRC": os.devnull,
        "LC_ALL": "C.UTF-8",
        "UV_CACHE_DIR": request.cache_folder,
        "UV_HTTP_TIMEOUT": str(HTTP_TIMEOUT_SECONDS),
        "UV_KEYRING_PROVIDER": "disabled",
        "UV_PYTHON_DOWNLOADS": "never",
    }


def _run_uv(argv: Sequence[str], environment: Mapping[str, str], timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, env=dict(environment), capture_output=True, text=True, errors="replace", check=False, timeout=timeout_seconds, cwd="/"
        )
    except subprocess.TimeoutExpired:
        raise PipFailed(f"Resolving the pip requirements took longer than {timeout_seconds:g} seconds.", code="timed_out") from None


def _write_stubs(folder: Path, provided: Iterable[Provided]) -> None:
    """A wheel without files for each package that conda brings: found there, it is looked for nowhere else and needs nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in provided:
        stem = f"{one.name.replace('-', '_')}-{one.version}"
        metadata = [f"Metadata-Version: 2.1\nName: {one.name}\nVersion: {one.version}\n", *(f"{line}\n" for line in one.extras)]
        with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
            archive.writestr(f"{stem}.dist-info/METADATA", "".join(metadata))
            archive.writestr(
                f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: condahub\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{stem}.dist-info/RECORD", "")


def _chosen(package: Mapping[str, Any], subdir: str, platform: PlatformLock, python: str) -> Chosen:
    name, version = str(package["name"]), str(package["version"])
    offered = {_filename(one): one for one in package.get("wheels", ())}
    filename = best(offered, subdir, platform, python)
    if filename is None:
        raise _without_wheel([name], subdir, python)
    found = offered[filename]
    sha256 = str(found.get("hashes", {}).get("sha256", ""))
    return Chosen(canonicalize_name(name), version, filename, str(found.get("url") or found["path"]), sha256)


def _filename(wheel: Mapping[str, Any]) -> str:
    return str(wheel.get("name") or unquote(urlsplit(str(wheel.get("url") or wheel.get("path", ""))).path).rpartition("/")[2])


def _without_wheel(names: Sequence[str], subdir: str, python: str, hint: str = "") -> PipFailed:
    error = PipFailed(
        f"{subdir}: {', '.join(names)} has no wheel for Python {python} there, and source distributions are not built here.",
        code="wheels_only",
        hint=hint or "Ask for another version, use a conda package, or publish a wheel.",
    )
    error.without_wheel = tuple(canonicalize_name(name) for name in names)
    return error


def explained(said: str, subdir: str, python: str, provided: Mapping[str, Provided]) -> PipFailed:
    """What uv says of its failure, as an error for people."""
    text = _scrubbed(said)
    sources = re.findall(r"Wheels are required for `([^`]+)` because building from source is disabled", text)
    if sources:
        return _without_wheel(sorted(set(sources)), subdir, python, text)
    if re.search(r"(?i)failed to fetch|error sending request|could not connect|connection refused|tunnel|dns error|timed out", text):
        return PipFailed(f"{subdir}: the index of the pip requirements can't be reached from the hub.", code="index_unreachable", hint=text)
    refused = re.search(r"returned an? (4\d\d [A-Za-z ]+?) error", text)
    if refused:
        return PipFailed(f"{subdir}: the index of the pip requirements answers {refused[1]}.", code="index_refused", hint=text)
    if "No solution found" not in text:
        return PipFailed(f"{subdir}: the pip requirements can't be resolved.", code="pip_failed", hint=text)
    held = sorted({one.conda + " " + one.version for one in provided.values() if f"{one.name}==" in text})
    beside = f" beside what conda brings ({', '.join(held[:10])})" if held else ""
    return PipFailed(f"{subdir}: the pip requirements can't be met{beside}.", hint=text)


def _scrubbed(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(("Resolved ", "warning: "))]
    text = re.sub(r"file://\S*/", "", "\n".join(lines))
    return re.sub(r"://[^/\s@]+@", "://***@", text)[:MAX_EXPLANATION_CHARS]
