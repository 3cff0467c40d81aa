"""An environment's folder on disk: its records cleaned, its history, made read-only, moved into place, removed."""

from __future__ import annotations

import contextlib
import datetime
import errno
import mmap
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from condahub.engine.lock import HubLock, in_dependency_order
from condahub.engine.protocol import LinkScript
from condahub.errors import Conflict, HubError

META = "conda-meta"
WRITE_BITS = 0o222
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


def clean_records(prefix: Path, origins: Mapping[str, tuple[str, str]]) -> set[Path]:
    """Take from the records in conda-meta what is this machine's or this environment's own; two prefixes with a package then
    have the same record of it. origins: (channel, address) by `name-version-build`. Returns the extracted packages that were named.
    """
    folders: set[Path] = set()
    for path, record in records(prefix):
        folder = record.get("extracted_package_dir")
        if folder:
            folders.add(Path(folder))
        for key in DROPPED_KEYS:
            record.pop(key, None)
        record["channel"], record["url"] = origins[f"{record['name']}-{record['version']}-{record['build']}"]
        _write(path, msgspec.json.encode(record, order="sorted") + b"\n")
    return folders


def _write(path: Path, data: bytes) -> None:
    """A new file with these bytes: what was there may be shared with another prefix."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(0o644)


def link_scripts(prefix: Path) -> tuple[LinkScript, ...]:
    """The scripts that packages bring to be run when they are linked and unlinked."""
    found = []
    for _, record in records(prefix):
        for name in record.get("files", ()):
            script = name.rpartition("/")[2]
            if script.startswith(".") and script.endswith(_LINK_SCRIPT_ENDINGS):
                found.append(LinkScript(record["name"], name))
    return tuple(found)


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


def find_text(prefix: Path, text: bytes) -> list[str]:
    """The files and links of the prefix alone (not those shared with the cache) that hold these bytes, as relative paths."""
    found = []
    for path in _own(prefix):
        if path.is_symlink():
            if text in os.fsencode(os.readlink(path)):
                found.append(path.relative_to(prefix).as_posix())
        elif path.stat().st_size and _holds(path, text):
            found.append(path.relative_to(prefix).as_posix())
    return sorted(found)


def _own(prefix: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(prefix):
        for name in names:
            path = Path(parent, name)
            if path.lstat().st_nlink == 1:
                yield path
        yield from (path for name in folders if (path := Path(parent, name)).is_symlink())


def _holds(path: Path, text: bytes) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
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
    for parent, folders, _ in os.walk(gone):
        os.chmod(parent, 0o700)
        for name in folders:
            path = os.path.join(parent, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(gone)


def remove_left_over(folders: Iterable[Path]) -> None:
    """Finish what a killed `remove` began in these folders."""
    for folder in folders:
        for gone in folder.glob(".gone-*"):
            remove(gone)
