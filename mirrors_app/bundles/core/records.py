"""The records of a bundle: one line of JSON for each file that is new or changed, its record as raw as the exporter keeps it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import orjson

from condahub.errors import HubError
from condahub.packages.names import check_subdir, split_filename
from condahub.packages.record import canonical_json
from mirrors_app.bundles.core.errors import BundleRefused, malformed

CHUNK_BYTES = 8 * 1024**2
MAX_LINE_BYTES = 8 * 1024**2
_DIGESTS = {"sha256": re.compile(r"[0-9a-f]{64}"), "md5": re.compile(r"[0-9a-f]{32}|")}


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One file as its channel shows it. record, run_exports, about: canonical JSON texts, unknown keys and all; patch: the keys that a
    hotfix gives (null takes one away); first_seen_ms: when the exporting hub first saw these bytes, milliseconds since 1970; sidecar: what
    attests it, the text whose sha256 the record's attestations_sha256 is (CEP-50)."""

    subdir: str
    filename: str
    sha256: str
    md5: str
    size: int
    record: str
    run_exports: str = "{}"
    about: str = "{}"
    patch: str = ""
    revoked: bool = False
    first_seen_ms: int = 0
    sidecar: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return (self.subdir, self.filename)


class _Said(msgspec.Struct):
    """What of a record must fit the file: a client is misled by any other."""

    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    sha256: str
    size: int
    md5: str = ""
    depends: list[str] = []
    constrains: list[str] = []
    attestations_sha256: str = ""


_entries, _said = msgspec.json.Decoder(Entry), msgspec.json.Decoder(_Said)
_encoder = msgspec.json.Encoder(order="sorted")


def write_lines(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The lines in chunks of about CHUNK_BYTES."""
    lines, size = list[bytes](), 0
    for entry in entries:
        line = _encoder.encode(entry) + b"\n"
        lines.append(line)
        size += len(line)
        if size >= CHUNK_BYTES:
            yield b"".join(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines)


def read_lines(chunks: Iterable[bytes]) -> Iterator[Entry]:
    """The entries of one records file, each checked in itself. Raises BundleRefused."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield read_entry(line)
        if len(rest) > MAX_LINE_BYTES:
            raise malformed("A record is far too long.")
    if rest:
        raise malformed("The records end in the middle of a line.")


def read_entry(line: bytes) -> Entry:
    """Raises BundleRefused for a record that is not of the file it stands beside, or that no index could show."""
    try:
        entry = _entries.decode(line)
        name = split_filename(entry.filename)
        check_subdir(entry.subdir)
        said = _said.decode(entry.record)
        for text in (entry.record, entry.run_exports, entry.about, *([entry.patch] if entry.patch else [])):
            if not isinstance(table := orjson.loads(text), dict) or canonical_json(table).decode() != text:
                raise malformed(f"The record of '{entry.filename}' is not spelled canonically.")
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError) as error:
        raise malformed(f"A record can't be read: {str(error)[:160]}.") from None
    except BundleRefused:
        raise
    except HubError as error:
        raise malformed(error.detail) from None
    identity = (said.name, said.version, said.build, said.subdir, said.sha256, said.size, said.md5)
    if identity != (name.name, name.version, name.build, entry.subdir, entry.sha256, entry.size, entry.md5):
        raise malformed(f"The record of '{entry.filename}' is of another file.")
    if not all(pattern.fullmatch(getattr(entry, key)) for key, pattern in _DIGESTS.items()) or entry.size < 0:
        raise malformed(f"The record of '{entry.filename}' has a digest that is none.")
    if said.attestations_sha256 != (digest_of(entry.sidecar.encode()) if entry.sidecar else ""):
        raise malformed(f"The record of '{entry.filename}' names another attestation than came with it.")
    return entry


def build_number_of(entry: Entry) -> int:
    return _said.decode(entry.record).build_number


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def as_table(text: str) -> dict[str, Any]:
    """A canonical text as the table it is."""
    table: dict[str, Any] = orjson.loads(text)
    return table
