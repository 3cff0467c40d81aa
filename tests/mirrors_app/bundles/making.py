"""Bundles made by hand, without a hub."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from mirrors_app.bundles.core.keys import PrivateKey
from mirrors_app.bundles.core.layout import MIN_PART_BYTES, BundleFile, lay_out
from mirrors_app.bundles.core.manifest import Counts, Manifest, Pointer, Signer, Subject
from mirrors_app.bundles.core.writer import write_part

STATE = "a" * 64


class Memory:
    """A source of files that are in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)

    def listed(self) -> list[BundleFile]:
        return [BundleFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in self.files.items()]

    def read(self, file: BundleFile, offset: int, length: int) -> Iterator[bytes]:
        yield self.files[file.path][offset : offset + length]


def make_bundle(
    folder: Path, files: Mapping[str, bytes], key: PrivateKey, *, part_bytes: int = MIN_PART_BYTES, **changes: object
) -> Manifest:
    """A signed bundle of these files in `folder`. changes: of the manifest, before it is signed."""
    folder.mkdir(parents=True, exist_ok=True)
    source, parts = Memory(files), []
    for plan in lay_out(source.listed(), part_bytes=part_bytes):
        with (folder / plan.name).open("wb") as file:
            parts.append(write_part(plan, source, file.write))
    manifest = Manifest(
        format="condahub-bundle",
        version=1,
        made_at="2026-01-02T03:04:05Z",
        made_by="condahub tests",
        subject=Subject(kind="channel", name="tools", stream="0" * 32),
        sequence=1,
        base=None,
        head=Pointer(revision=1, state=STATE),
        previous=None,
        counts=Counts(),
        takes=[],
        parts=parts,
        signer=Signer(key=key.public, name="tests"),
        rotations=[],
    )
    manifest = msgspec.structs.replace(manifest, **changes)
    write_manifest(folder, manifest, key)
    return manifest


def write_manifest(folder: Path, manifest: Manifest, key: PrivateKey) -> None:
    raw = manifest.to_bytes()
    (folder / "manifest.json").write_bytes(raw)
    (folder / "manifest.sig").write_bytes(key.sign(raw))
