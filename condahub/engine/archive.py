"""Packs a prefix into an archive that can be unpacked anywhere, as conda-pack does; the same packages give the same bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from condahub.engine.archive_formats import GzipSink, Sink, ZstdSink
from condahub.engine.archive_scripts import activate_script, deactivate_script, installer_head, unpack_script
from condahub.engine.archive_tar import Member, tar_pieces
from condahub.engine.package_cache import package_folder
from condahub.engine.prefix import META, records, variables_of, written_by_scripts
from condahub.engine.protocol import Archive, ArchiveAnswer, Progress
from condahub.engine.records import CondaRecord, record_of
from condahub.errors import HubError

# Stands in text files that no package brought for the path they were written for.
PLACEHOLDER = "/opt/condahub/this-stands-for-the-path-of-the-environment"
# Before 1980 no zip and few people believe a time.
OLDEST_SECONDS = 315_532_800
READ_BYTES = 1024 * 1024
ENTRY_POINT = "unix_python_entry_point"
UNPACK = "bin/conda-unpack"
ENV_PYTHON = b"#!/usr/bin/env python"
MAX_WARNINGS = 100

Say = Callable[[Progress], None]


class NotCached(HubError):
    """A package's own files are needed and are not in the cache any more: install the lock once more, then pack."""

    code = "package_not_cached"
    status = 409


def archive(request: Archive, say: Say) -> ArchiveAnswer:
    """Write the wanted archives of a prefix. Raises NotCached; nothing is left of a target that did not get finished."""
    plan = _Plan(Path(request.prefix), request.baked, [Path(cache) for cache in request.caches])
    parts: dict[str, Path] = {kind: Path(f"{target}.part") for kind, target in request.targets.items()}
    try:
        said = _pack(request, plan, parts, say)
        for kind, target in request.targets.items():
            parts[kind].replace(target)
    finally:
        for part in (*parts.values(), _payload(parts)):
            part.unlink(missing_ok=True)
    return ArchiveAnswer(
        sha256={kind: digest for kind, (digest, _) in said.items()},
        size={kind: size for kind, (_, size) in said.items()},
        warnings=tuple(plan.warnings[:MAX_WARNINGS]),
    )


def _payload(parts: Mapping[str, Path]) -> Path:
    """Where the .tar.gz is written: also what an installer carries."""
    first = next(iter(parts.values()))
    return parts.get("tar.gz") or first.with_name(f"{first.name}.payload")


def _pack(request: Archive, plan: _Plan, parts: Mapping[str, Path], say: Say) -> dict[str, tuple[str, int]]:
    sinks: dict[str, Sink] = {}
    if "tar.zst" in parts:
        sinks["tar.zst"] = ZstdSink(parts["tar.zst"], request.workers)
    if "tar.gz" in parts or "sh" in parts:
        sinks["tar.gz"] = GzipSink(_payload(parts), request.workers)
    for written, piece in tar_pieces(plan.members()):
        say(Progress("archive", min(written, plan.total), plan.total, "files"))
        for sink in sinks.values():
            sink.write(piece)
    done = {kind: sink.close() for kind, sink in sinks.items()}
    if "sh" in parts:
        digest, size = done["tar.gz"]
        done["sh"] = _installer(parts["sh"], installer_head(name=request.name, sha256=digest, size=size), _payload(parts))
    return {kind: said for kind, said in done.items() if kind in parts}


def _installer(path: Path, head: bytes, payload: Path) -> tuple[str, int]:
    digest = hashlib.sha256(head)
    with path.open("wb") as out, payload.open("rb") as file:
        out.write(head)
        while piece := file.read(READ_BYTES):
            digest.update(piece)
            out.write(piece)
        size = out.tell()
    path.chmod(0o755)
    return digest.hexdigest(), size


class _Plan:
    """What goes into the archive: the packages' files with their builders' placeholders, and the table that says where those are."""

    def __init__(self, prefix: Path, baked: str, caches: Sequence[Path]) -> None:
        self.prefix = prefix
        self.baked = os.fsencode(baked)
        self.caches = caches
        self.warnings: list[str] = []
        self.table: list[tuple[str, str, str]] = []
        self._newest = OLDEST_SECONDS
        self._metadata: dict[str, bytes] = {}
        self._placed: set[str] = set()
        self._changed: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        # As scripts left it, a file is no package's any more.
        by_scripts = written_by_scripts(prefix)
        for path, record in records(prefix):
            self._newest = max(self._newest, int(record.get("timestamp") or 0) // 1000)
            for entry in record.get("paths_data", {}).get("paths", ()):
                if entry["_path"] in by_scripts:
                    continue
                self._placed.add(entry["_path"])
                if entry.get("prefix_placeholder") or entry.get("path_type") == ENTRY_POINT:
                    self._changed[entry["_path"]] = (record, entry)
            self._metadata[f"{META}/{path.name}"] = _without_prefix(record)
        self.total = len(self._placed) + len(self._metadata)

    def members(self) -> Iterator[Member]:
        """Folder by folder in the order of names, our own scripts last: only then is the table whole. Raises NotCached."""
        variables = variables_of(self.prefix)
        own = {
            "bin/activate": activate_script(variables),
            "bin/deactivate": deactivate_script(variables),
        }
        for member in self._walk(""):
            # conda itself, installed in an environment, brings its own; of conda-unpack only ours knows this table.
            own.pop(member.path, None)
            if member.path != UNPACK and not self._is_stale(member):
                yield member
        own[UNPACK] = unpack_script(self.table)
        for name, script in sorted(own.items()):
            yield Member(name, 0o755, self._newest, data=script)

    def _walk(self, folder: str) -> Iterator[Member]:
        # Strings all the way: a Path for each of ten thousand files costs as much as reading them.
        with os.scandir(os.path.join(self.prefix, folder)) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        if folder and not entries:
            yield Member(f"{folder}/", 0o755, self._newest, folder=True)
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_symlink():
                yield self._link(name, entry.path)
            elif entry.is_dir():
                yield from self._walk(name)
            else:
                yield self._file(name, entry.path, entry.stat())

    def _file(self, name: str, path: str, status: os.stat_result) -> Member:
        mode = 0o755 if status.st_mode & 0o111 else 0o644
        changed = self._changed.get(name)
        if changed is not None:
            record, entry = changed
            if entry.get("path_type") == ENTRY_POINT:
                return Member(name, mode, self._newest, data=self._with_env_python(Path(path).read_bytes(), self.baked))
            return self._original(name, record, entry, mode)
        if name in self._placed:
            return Member(name, mode, _seconds(status), path, status.st_size)
        if name in self._metadata:
            return Member(name, mode, self._newest, data=self._metadata[name])
        return self._unmanaged(name, Path(path), mode)

    def _link(self, name: str, path: str) -> Member:
        target, baked = os.readlink(path), os.fsdecode(self.baked)
        if target == baked or target.startswith(f"{baked}/"):
            target = os.path.relpath(os.path.relpath(target, baked), os.path.dirname(name) or ".")
        return Member(name, 0o777, self._newest, target=target)

    def _original(self, name: str, record: Mapping[str, Any], entry: Mapping[str, Any], mode: int) -> Member:
        """The file as its package has it, placeholder and all."""
        source = self._in_package(name, record, entry)
        placeholder = entry["prefix_placeholder"].encode()
        seconds = _seconds(source.stat())
        kind = entry.get("file_mode") or "text"
        if kind == "text" and name.startswith("bin/"):
            data = self._with_env_python(source.read_bytes(), placeholder)
            if placeholder in data:
                self.table.append((name, entry["prefix_placeholder"], kind))
            return Member(name, mode, seconds, data=data)
        self.table.append((name, entry["prefix_placeholder"], kind))
        return Member(name, mode, seconds, source=str(source), size=source.stat().st_size)

    def _in_package(self, name: str, record: Mapping[str, Any], entry: Mapping[str, Any]) -> Path:
        folder = self._folder(record)
        candidates = [entry.get("original_path") or name]
        if record.get("noarch") == "python":
            # CEP-17: what lies in site-packages/ and python-scripts/ is put where the python at hand wants it.
            candidates += [f"python-scripts/{name.rpartition('/')[2]}", "site-packages/" + name.partition("site-packages/")[2]]
        for candidate in candidates:
            path = folder / candidate
            if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == entry.get("sha256"):
                return path
        raise NotCached(f"{record['name']}: {name} is not in the package cache as its package has it.")

    def _folder(self, record: Mapping[str, Any]) -> Path:
        folder = package_folder(_conda_record(record), self.caches)
        if folder is None:
            raise NotCached(f"The package {record['name']} {record['version']} is not in the package cache.")
        return folder

    def _with_env_python(self, data: bytes, prefix: bytes) -> bytes:
        """A script that starts with the environment's python finds it on the PATH instead."""
        first, newline, rest = data.partition(b"\n")
        if first.startswith(b"#!" + prefix + b"/bin/python"):
            options = first.split(b" ", 1)[1:]
            # env takes one word: a script with options keeps its path, and is in the table.
            return data if options else ENV_PYTHON + newline + rest
        return data

    def _is_stale(self, member: Member) -> bool:
        """Whether it was compiled of a file that the move changes: python will do that again."""
        return not member.source and member.path.endswith(".pyc") and self.baked in member.data

    def _unmanaged(self, name: str, path: Path, mode: int) -> Member:
        """A file that no conda package brought: of a wheel, compiled, or our own."""
        data = path.read_bytes()
        if self.baked not in data:
            return Member(name, mode, self._newest, data=data)
        if name.endswith(".pyc"):
            return Member(name, mode, self._newest, data=data)
        if b"\x00" in data:
            self.warnings.append(f"{name} holds the path it was made at, which can't be changed.")
            return Member(name, mode, self._newest, data=data)
        data = self._with_env_python(data, self.baked).replace(self.baked, PLACEHOLDER.encode())
        if PLACEHOLDER.encode() in data:
            self.table.append((name, PLACEHOLDER, "text"))
        return Member(name, mode, self._newest, data=data)


def _seconds(status: os.stat_result) -> int:
    return max(OLDEST_SECONDS, int(status.st_mtime))


def _conda_record(record: Mapping[str, Any]) -> CondaRecord:
    return record_of(dict(record), channel="", subdir=record.get("subdir", ""), filename=record.get("fn", ""))


def _without_prefix(record: dict[str, Any]) -> bytes:
    """The record in conda-meta without what depends on the path the prefix has."""
    for entry in record.get("paths_data", {}).get("paths", ()):
        entry.pop("sha256_in_prefix", None)
        if entry.get("path_type") == ENTRY_POINT:
            entry.pop("sha256", None)
        if entry.get("path_type") == ENTRY_POINT or entry.get("prefix_placeholder"):
            entry.pop("size_in_bytes", None)
    return msgspec.json.encode(record, order="sorted") + b"\n"
