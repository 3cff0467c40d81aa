"""Runs the scripts that packages bring for after they are linked, each in a sandbox, and keeps what they wrote so that it can be had again.

What is shared with the package cache is copied before: a script that changes a file in place changes its own prefix's alone.
Scripts are run once, when the environment is built. Whoever puts it together again lays over it what they wrote then.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from condahub.engine import sandbox
from condahub.engine.lock import in_dependency_order
from condahub.engine.prefix import BY_SCRIPTS, META, Written, walk
from condahub.engine.protocol import LayOver, LayOverAnswer, Progress, RanScript, RunScripts, RunScriptsAnswer
from condahub.engine.records import CondaRecord
from condahub.errors import HubError

MESSAGES = ".messages.txt"
MAX_MESSAGE_BYTES = 8 * 1024
MAX_OUTPUT_CHARS = 4000
READ_BYTES = 1024 * 1024
SHELL = "/bin/bash"
FOLDER_MODE = 0o755
_TOO_DEEP = "A script of a package left folders that are too deep to be looked at."

Say = Callable[[Progress], None]


class ScriptFailed(HubError):
    """hint: the last of what the script said."""

    code = "link_script_failed"
    status = 422


def post_link(name: str) -> str:
    """Where a package brings the script that is run when it has been linked."""
    return f"bin/.{name}-post-link.sh"


def run_scripts(request: RunScripts, say: Say) -> RunScriptsAnswer:
    """Run the post-link scripts in the order of dependency. Raises ScriptFailed, SandboxFailed."""
    staging = Path(request.staging)
    records = [
        record
        for record in in_dependency_order(request.lock.platform(request.platform).conda)
        if "/" not in record.name and (staging / post_link(record.name)).is_file()
    ]
    if not records:
        return RunScriptsAnswer()
    sandbox.require()
    # A script could leave a program that acts for whoever made it: until that is looked at, nobody else gets there.
    staging.parent.chmod(0o700)
    take_over(staging)
    before, folders_before = _state(staging), _folders(staging)
    ran = []
    try:
        for number, record in enumerate(records, start=1):
            ran.append(_run(request, record, staging))
            say(Progress("scripts", number, len(records), "scripts"))
        _settle(staging)
        after, folders = _state(staging), _folders(staging)
    except RecursionError:
        raise ScriptFailed(_TOO_DEEP) from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise ScriptFailed(_TOO_DEEP) from None
    total_bytes = sum(status.st_size for _, _, status in walk(staging))
    if total_bytes > request.max_bytes:
        raise ScriptFailed(
            f"Scripts of packages wrote more than the {request.max_bytes:,} bytes there may be.", code="environment_too_large"
        )
    written = Written(
        ran=tuple(one.path for one in ran),
        written=tuple(sorted(name for name, state in after.items() if before.get(name) != state)),
        folders=tuple(sorted(folders - folders_before)),
        removed=tuple(sorted((before.keys() - after.keys()) | (folders_before - folders))),
    )
    (staging / BY_SCRIPTS).write_bytes(msgspec.json.encode(written, order="sorted") + b"\n")
    sha256, size = _keep(staging, written, Path(request.overlay))
    return RunScriptsAnswer(ran=tuple(ran), sha256=sha256, size=size, total_bytes=total_bytes)


def take_over(prefix: Path) -> None:
    """Make each file the prefix's own, writable for its owner, with the same bytes, time, and right to be run."""
    for _, entry, status in list(walk(prefix)):
        if not stat.S_ISREG(status.st_mode):
            continue
        mode = 0o755 if status.st_mode & 0o111 else 0o644
        if status.st_nlink == 1:
            os.chmod(entry.path, mode)
            continue
        part = f"{entry.path}.condahub-part"
        with open(entry.path, "rb") as source, open(part, "xb") as target:
            _copy(source, target)
        os.chmod(part, mode)
        os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.replace(part, entry.path)


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    # Where the filesystem can share the blocks until one of the two is written to, it does.
    with contextlib.suppress(OSError):
        while os.copy_file_range(source.fileno(), target.fileno(), 2**30):
            pass
    source.seek(target.seek(0, os.SEEK_END))
    shutil.copyfileobj(source, target, READ_BYTES)


def _run(request: RunScripts, record: CondaRecord, staging: Path) -> RanScript:
    path = post_link(record.name)
    prefix = request.prefix
    world = sandbox.World(
        writable=[(staging, prefix)],
        # What conda knows of the packages is not theirs to change.
        readable=[(staging / META, f"{prefix}/{META}")],
        hidden=request.hidden,
        environment=_environment(request, record),
        folder=f"{prefix}/bin",
    )
    bounds = sandbox.Bounds(seconds=request.seconds, memory_bytes=request.memory_bytes, disk_bytes=request.max_bytes)
    try:
        ended = sandbox.run([SHELL, f"{prefix}/{path}"], world, bounds)
    except sandbox.SandboxFailed as error:
        raise ScriptFailed(f"The script {path} of {record.stem}: {error.detail}", code=error.code, hint=error.hint) from None
    if ended.status != 0:
        raise ScriptFailed(
            f"The script {path} of {record.stem} failed with the exit status {ended.status}.", hint=ended.output[-MAX_OUTPUT_CHARS:]
        )
    return RanScript(package=record.stem, path=path, output=ended.output[-MAX_OUTPUT_CHARS:], message=_message(staging / MESSAGES))


def _environment(request: RunScripts, record: CondaRecord) -> dict[str, str]:
    """conda's documented variables, and what keeps a script's work the same from one time to the next."""
    newest_ms = max(one.timestamp or 0 for one in request.lock.platform(request.platform).conda)
    return {
        "PREFIX": request.prefix,
        "ROOT_PREFIX": request.prefix,
        "CONDA_PREFIX": request.prefix,
        "PKG_NAME": record.name,
        "PKG_VERSION": record.version,
        "PKG_BUILDNUM": str(record.build_number),
        "PATH": f"{request.prefix}/bin:/usr/bin:/bin",
        "SOURCE_DATE_EPOCH": str(newest_ms // 1000),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": "UTC",
    }


def _message(path: Path) -> str:
    """What the script wants the person to be told."""
    said = ""
    with contextlib.suppress(OSError), open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            said = file.read(MAX_MESSAGE_BYTES).decode(errors="replace")
    with contextlib.suppress(OSError):
        path.unlink()
    return "".join(character for character in said if character.isprintable() or character in "\n\t").strip()


def _state(prefix: Path) -> dict[str, tuple[int, int]]:
    """Of each file and link what no program can leave as it was when it changes it: who it is and when that was changed last."""
    return {name: (status.st_ino, status.st_ctime_ns) for name, _, status in walk(prefix) if name != BY_SCRIPTS}


def _folders(prefix: Path) -> set[str]:
    found = set()
    for parent, names, _ in os.walk(prefix):
        found |= {os.path.relpath(os.path.join(parent, name), prefix) for name in names if not os.path.islink(os.path.join(parent, name))}
    return found


def _settle(prefix: Path) -> None:
    """Make what the scripts left look like a package's files: readable, no rights of another person, files and links alone."""
    prefix.chmod(FOLDER_MODE)
    for parent, folders, _ in os.walk(prefix):
        for name in folders:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                os.chmod(path, FOLDER_MODE)
    changed = False
    for name, _, status in list(walk(prefix)):
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            raise ScriptFailed(f"A script of a package left {name[:200]!r}, which is neither a file nor a link.")
        try:
            name.encode()
        except UnicodeError:
            raise ScriptFailed(f"A script of a package left a file whose name is no text: {name[:200]!r}.") from None
        changed = changed or bool(
            stat.S_ISREG(status.st_mode) and (status.st_nlink > 1 or stat.S_IMODE(status.st_mode) not in (0o644, 0o755))
        )
    if changed:
        _as_files(prefix)


def _as_files(prefix: Path) -> None:
    for _, entry, status in list(walk(prefix)):
        if stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) not in (0o644, 0o755):
            os.chmod(entry.path, 0o755 if status.st_mode & 0o111 else 0o644)
    take_over(prefix)


def _keep(staging: Path, written: Written, overlay: Path) -> tuple[str, int]:
    """(sha256, bytes) of a tar of what they wrote; the same files give the same bytes."""
    with tarfile.open(overlay, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted((*written.folders, *written.written, BY_SCRIPTS)):
            path = staging / name
            status = path.lstat()
            member = tarfile.TarInfo(name)
            if stat.S_ISDIR(status.st_mode):
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
            elif stat.S_ISLNK(status.st_mode):
                member.type, member.mode, member.linkname = tarfile.SYMTYPE, 0o777, os.readlink(path)
                archive.addfile(member)
            else:
                member.size, member.mode = status.st_size, 0o755 if status.st_mode & 0o111 else 0o644
                with path.open("rb") as file:
                    archive.addfile(member, file)
    with overlay.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), overlay.stat().st_size


def lay_over(request: LayOver, say: Say) -> LayOverAnswer:
    """Put what the scripts wrote once into a prefix that has just been linked of the same packages; nothing is run."""
    staging = Path(request.staging)
    count = 0
    with tarfile.open(request.overlay, "r:") as archive:
        for name in _read_record(archive).removed:
            _remove(staging, name)
        for member in archive:
            _put(staging, archive, member)
            count += 1
            say(Progress("scripts", count, None, "files"))
    return LayOverAnswer(files=count, total_bytes=sum(status.st_size for _, _, status in walk(staging)))


def _read_record(archive: tarfile.TarFile) -> Written:
    file = archive.extractfile(BY_SCRIPTS)
    if file is None:
        raise ScriptFailed("What the scripts of packages wrote can't be read.", status=500)
    with file:
        return msgspec.json.decode(file.read(), type=Written)


def _steps(staging: Path, name: str) -> Iterator[Path]:
    """The folders that lead to a file, the outermost first."""
    parts = name.split("/")
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise ScriptFailed("What the scripts of packages wrote leads out of the environment.", status=500)
    for count in range(1, len(parts)):
        yield staging.joinpath(*parts[:count])


def _remove(staging: Path, name: str) -> None:
    # Through a link nothing was removed: what lies behind it is not there under this name.
    if all(step.is_dir() and not step.is_symlink() for step in _steps(staging, name)):
        _clear(staging / name)


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _put(staging: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    for step in _steps(staging, member.name):
        # Where a link or a file was, the scripts made a folder.
        if step.is_symlink() or not step.is_dir():
            step.unlink(missing_ok=True)
            step.mkdir()
    path = staging / member.name
    if member.isdir():
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            path.mkdir()
        return
    # Never written to in place: it may be the package cache's.
    _clear(path)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    source = archive.extractfile(member)
    if source is None:
        raise ScriptFailed("What the scripts of packages wrote can't be read.", status=500)
    with source, path.open("xb") as target:
        shutil.copyfileobj(source, target, READ_BYTES)
    path.chmod(member.mode)
