"""An environment's folder on disk: its records cleaned, its history, made read-only, moved into place, removed."""

from __future__ import annotations

import contextlib
import datetime
import errno
import mmap
import os
import shutil
import stat
import subprocess
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from condahub.engine.lock import HubLock, in_dependency_order
from condahub.engine.protocol import LinkScript
from condahub.errors import Conflict, HubError

META = "conda-meta"
WRITE_BITS = 0o222
# What st_blocks counts in (stat(3type)).
BLOCK_BYTES = 512
# What scripts of packages did in the prefix; without .json, for conda takes those for packages.
BY_SCRIPTS = f"{META}/link-scripts"
SEALED_FOLDER_MODE = 0o555
# They say where this machine keeps its cache, and what other environments' records would not say.
DROPPED_KEYS = ("extracted_package_dir", "package_tarball_full_path", "link", "requested_spec", "requested_specs")
_LINK_SCRIPT_ENDINGS = ("-pre-link.sh", "-post-link.sh", "-pre-unlink.sh", "-pre-link.bat", "-post-link.bat", "-pre-unlink.bat")


class NotPlaced(HubError):
    """The staging folder and the place are not on one filesystem."""

    code = "not_placed"
    status = 500


def records(prefix: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(file, content) of each package's record in conda-meta, by name."""
    for path in sorted((prefix / META).glob("*.json")):
        yield path, msgspec.json.decode(path.read_bytes(), type=dict[str, Any])


class Cleaned(NamedTuple):
    """folders: the extracted packages that the records named; scripts: what packages bring to be run when they are linked."""

    folders: set[Path]
    scripts: tuple[LinkScript, ...]


def clean_records(prefix: Path, origins: Mapping[str, tuple[str, str]]) -> Cleaned:
    """Take from the records in conda-meta what is this machine's or this environment's own; two prefixes with a package then
    have the same record of it. origins: (channel, address) by `name-version-build`.
    """
    folders: set[Path] = set()
    scripts: list[LinkScript] = []
    for path, record in records(prefix):
        folder = record.get("extracted_package_dir")
        if folder:
            folders.add(Path(folder))
        for key in DROPPED_KEYS:
            record.pop(key, None)
        record["channel"], record["url"] = origins[f"{record['name']}-{record['version']}-{record['build']}"]
        scripts += [LinkScript(record["name"], name) for name in record.get("files", ()) if _is_link_script(name)]
        _write(path, msgspec.json.encode(record, order="sorted") + b"\n")
    return Cleaned(folders, tuple(scripts))


def _is_link_script(name: str) -> bool:
    return name.endswith(_LINK_SCRIPT_ENDINGS) and name.rpartition("/")[2].startswith(".")


def _write(path: Path, data: bytes) -> None:
    """The file with these bytes; what is shared with another prefix is left to that."""
    with contextlib.suppress(FileNotFoundError):
        if path.lstat().st_nlink > 1 or path.is_symlink():
            path.unlink()
    path.write_bytes(data)
    path.chmod(0o644)


def write_history(prefix: Path, lock: HubLock, origins: Mapping[str, tuple[str, str]], *, specs: Sequence[str]) -> None:
    """conda-meta/history as conda reads it. Its time is that of the newest package: the same lock gives the same bytes."""
    chosen = [record for platform in lock.platforms.values() for record in in_dependency_order(platform.conda)]
    newest_ms = max((record.timestamp or 0 for record in chosen), default=0)
    at = datetime.datetime.fromtimestamp(newest_ms / 1000, datetime.UTC)
    lines = [f"==> {at:%Y-%m-%d %H:%M:%S} <==", "# cmd: condahub"]
    lines += sorted(f"+{origins[record.stem][0]}/{record.subdir}::{record.stem}" for record in chosen)
    if specs:
        lines.append(f"# update specs: {[*specs]!r}")
    _write(prefix / META / "history", ("\n".join(lines) + "\n").encode())


def write_variables(prefix: Path, variables: Mapping[str, str]) -> None:
    """The variables that activating sets, where conda and mamba look for them."""
    if variables:
        _write(prefix / META / "state", msgspec.json.encode({"env_vars": dict(variables), "version": 1}, order="sorted"))


def variables_of(prefix: Path) -> dict[str, str]:
    """What `write_variables` wrote."""
    with contextlib.suppress(OSError, msgspec.DecodeError, AttributeError):
        state = msgspec.json.decode((prefix / META / "state").read_bytes())
        return {str(name): str(value) for name, value in state.get("env_vars", {}).items()}
    return {}


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What the scripts of a prefix did, as it says in BY_SCRIPTS. written: files and links; folders: new ones; by path, sorted."""

    ran: tuple[str, ...]
    written: tuple[str, ...]
    folders: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def written_by_scripts(prefix: Path) -> frozenset[str]:
    """The files of a prefix that are as its packages' scripts left them, and not as the packages have them."""
    try:
        return frozenset(msgspec.json.decode((prefix / BY_SCRIPTS).read_bytes(), type=Written).written)
    except FileNotFoundError:
        return frozenset()


class Survey(NamedTuple):
    """What lies in a prefix. files: links too; shared: those of which the cache has a hard link; holders: files and links of
    the prefix alone that hold the text looked for; unshared_bytes: what those take on the disk.
    """

    files: int
    shared: int
    total_bytes: int
    unshared_bytes: int
    holders: list[str]


def survey(prefix: Path, text: bytes = b"") -> Survey:
    """Look at every file once. text: what no file of the prefix's own should hold."""
    files = shared = total = unshared = 0
    holders: list[str] = []
    for name, entry, status in walk(prefix):
        files += 1
        total += status.st_size
        if status.st_nlink > 1:
            shared += 1
            continue
        unshared += status.st_blocks * BLOCK_BYTES
        if text and (text in os.fsencode(os.readlink(entry.path)) if entry.is_symlink() else _holds(entry.path, status, text)):
            holders.append(name)
    return Survey(files, shared, total, unshared, sorted(holders))


def find_text(prefix: Path, text: bytes) -> list[str]:
    """The files and links of the prefix alone that hold these bytes, as relative paths."""
    return survey(prefix, text).holders


def walk(prefix: Path) -> Iterator[tuple[str, os.DirEntry[str], os.stat_result]]:
    """(relative path, entry, its own status) of every file and link."""
    # Strings all the way: a Path for each of ten thousand files takes longer than looking at them.
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(os.path.join(prefix, folder)) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                else:
                    yield name, entry, entry.stat(follow_symlinks=False)


def _holds(path: str, status: os.stat_result, text: bytes) -> bool:
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return False
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text) >= 0


def seal(prefix: Path) -> None:
    """Take the right to write from the prefix's folders and from its own files; those shared with the cache never had it."""
    for parent, folders, names in os.walk(prefix, topdown=False):
        for name in names:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                os.chmod(path, stat.S_IMODE(status.st_mode) & ~WRITE_BITS | 0o444)
        for name in folders:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                os.chmod(path, SEALED_FOLDER_MODE)
    prefix.chmod(SEALED_FOLDER_MODE)


def place(staging: Path, prefix: Path) -> None:
    """Rename the finished prefix to where it was written for. Conflict if something is there; then nothing has happened."""
    if os.path.lexists(prefix):
        raise Conflict("There is something at this environment's place already.", code="prefix_exists")
    prefix.parent.mkdir(parents=True, exist_ok=True)
    mode = stat.S_IMODE(staging.stat().st_mode)
    try:
        # Moved to another parent, a folder's own ".." is written to.
        staging.chmod(mode | 0o700)
        staging.rename(prefix)
        prefix.chmod(mode)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise NotPlaced("The folder of environments and their staging folder are not on one filesystem.") from error
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise Conflict("There is something at this environment's place already.", code="prefix_exists") from error
        raise


def remove(prefix: Path) -> None:
    """Remove a prefix, sealed or half made: it is out of its place at once, then gone. Nothing happens if there is none."""
    gone = prefix.with_name(f".gone-{uuid.uuid4().hex[:12]}")
    try:
        prefix.rename(gone)
    except FileNotFoundError:
        return
    try:
        for parent, folders, _ in os.walk(gone):
            os.chmod(parent, 0o700)
            for name in folders:
                path = os.path.join(parent, name)
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
        shutil.rmtree(gone)
    except (RecursionError, OSError):
        _remove_by_programs(gone)


def _remove_by_programs(folder: Path) -> None:
    """What code of packages left deeper than a path can say, or than Python's stack is: the system's own programs go into it."""
    for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
        subprocess.run([*command, "--", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if os.path.lexists(folder):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(folder))


def remove_left_over(folders: Iterable[Path]) -> None:
    """Finish what a killed `remove` began in these folders."""
    for folder in folders:
        for gone in folder.glob(".gone-*"):
            remove(gone)
