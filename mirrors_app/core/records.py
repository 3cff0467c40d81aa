"""One package as an upstream's index tells of it: its canonical record, digests, and what filters ask about."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, NamedTuple
from urllib.parse import urljoin, urlsplit

import msgspec
import orjson

from condahub.errors import HubError
from condahub.packages.names import split_filename

DIGEST_BYTES = 16
SHA256_CHARS, MD5_CHARS = 64, 32
MAX_RECORD_BYTES = 1024 * 1024

Section = Literal["packages", "packages.conda", "v3"]

# They say where the upstream keeps the bytes: clients of a mirror must never follow them.
LOCATION_KEYS = ("url", "fn", "channel", "base_url", "schannel")
# run_exports are an index file and a shard field of their own (CEP-12, CEP-21); the sidecar that attestations_sha256
# names (CEP-50) is not copied, so a record must not promise it.
DROPPED_KEYS = (*LOCATION_KEYS, "run_exports", "attestations_sha256")
RAW_HASH_KEYS = ("md5", "sha256", "legacy_bz2_md5", "attestations_sha256")


class Refused(NamedTuple):
    """A record or package that stays out, and the sentence that says why."""

    subdir: str
    filename: str
    reason: str


class BadRecord(ValueError):
    """The upstream's record can't be taken; the text is the reason."""


class Facts(msgspec.Struct, frozen=True, gc=False):
    """The part of a record (CEP-36) that deciding needs; other keys stay in the raw record. size in bytes, timestamp in ms or s."""

    name: str
    version: str
    build: str
    build_number: int = 0
    depends: list[str] = []
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    license: str | None = None
    timestamp: float | None = None
    subdir: str | None = None


class UpstreamRecord(msgspec.Struct, frozen=True):
    """One record of an upstream. raw: canonical JSON without location; spelling: digest of the record as the upstream wrote it;
    digest: of raw; url: where the bytes lie, absolute; 16 bytes each.
    """

    subdir: str
    filename: str
    section: Section
    raw: bytes
    spelling: bytes
    digest: bytes
    url: str
    facts: Facts

    @property
    def key(self) -> tuple[str, str]:
        return (self.subdir, self.filename)

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def size(self) -> int:
        """Bytes, 0 when the upstream does not say."""
        return self.facts.size or 0

    @property
    def sha256(self) -> str:
        """Lower-case hex, '' when the upstream does not say."""
        return self.facts.sha256 or ""

    @property
    def md5(self) -> str:
        return self.facts.md5 or ""


_facts = msgspec.json.Decoder(Facts)


def digest_of(data: bytes | memoryview) -> bytes:
    """16 bytes of blake2b: enough to tell records apart, small enough to keep one for each."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def read_facts(raw: bytes | msgspec.Raw) -> Facts:
    """The deciding part of a record's JSON. Raises BadRecord."""
    try:
        return _facts.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord(f"its record is not right: {str(error)[:200]}") from error


def make_record(
    *, subdir: str, filename: str, section: Section, raw: bytes | memoryview, base_url: str, spelling: bytes | None = None
) -> UpstreamRecord:
    """The record of `filename` out of JSON as the upstream wrote it; base_url ends in '/' and is absolute. Raises BadRecord."""
    if len(raw) > MAX_RECORD_BYTES:
        raise BadRecord(f"its record has more than {MAX_RECORD_BYTES} bytes")
    check_filename(filename)
    try:
        table = orjson.loads(raw)
    except ValueError as error:
        raise BadRecord(f"its record is not JSON: {str(error)[:200]}") from error
    return record_of(subdir=subdir, filename=filename, section=section, table=table, base_url=base_url, spelling=spelling or digest_of(raw))


def record_of(*, subdir: str, filename: str, section: Section, table: Any, base_url: str, spelling: bytes) -> UpstreamRecord:
    """The same from a parsed table, which may be changed. Raises BadRecord."""
    if not isinstance(table, dict):
        raise BadRecord("its record is not an object")
    url = location(filename=filename, table=table, base_url=base_url)
    for key in DROPPED_KEYS:
        table.pop(key, None)
    try:
        raw = orjson.dumps(table, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError) as error:
        raise BadRecord(f"its record can't be written as JSON: {str(error)[:200]}") from error
    facts = read_facts(raw)
    check_identity(facts, subdir=subdir, filename=filename)
    return UpstreamRecord(subdir, filename, section, raw, spelling, digest_of(raw), url, facts)


def location(*, filename: str, table: dict[str, Any], base_url: str) -> str:
    """Where the bytes lie: the record's own url, else its base_url or the index's (CEP-15), each absolute or relative."""
    url, own_base = table.get("url"), table.get("base_url")
    if isinstance(own_base, str) and own_base:
        base_url = urljoin(base_url, own_base.rstrip("/") + "/")
    target = urljoin(base_url, url) if isinstance(url, str) and url else urljoin(base_url, "./" + filename.replace("+", "%2B"))
    if urlsplit(target).scheme not in ("http", "https", "file", "s3"):
        raise BadRecord(f"its record points to '{target[:120]}', which is no address of a file")
    if urlsplit(target).scheme in ("file", "s3") and urlsplit(target)[:2] != urlsplit(base_url)[:2]:
        # An index from elsewhere must not make this machine read its own disk.
        raise BadRecord("its record points to a place the upstream is not at")
    return target


def check_filename(filename: str) -> None:
    """Raises BadRecord for what can't be a package's file name: paths, dots, capitals, other endings."""
    try:
        split_filename(filename)
    except HubError as error:
        raise BadRecord(error.detail) from error


def check_identity(facts: Facts, *, subdir: str, filename: str) -> None:
    """Raises BadRecord unless the record speaks of this file: its name, its folder, hashes that could be hashes."""
    name = split_filename(filename)
    if (facts.name, facts.version, facts.build) != (name.name, name.version, name.build):
        raise BadRecord("its record is of another name, version or build than the file's name says")
    if facts.subdir is not None and facts.subdir != subdir:
        raise BadRecord(f"its record is for '{facts.subdir[:64]}', not for '{subdir}'")
    for what, value, chars in (("sha256", facts.sha256, SHA256_CHARS), ("md5", facts.md5, MD5_CHARS)):
        if value is not None and not (len(value) == chars and set(value) <= set("0123456789abcdef")):
            raise BadRecord(f"its {what} is not {chars} lower-case hex digits")
    if not facts.sha256 and not facts.md5:
        raise BadRecord("its record has neither sha256 nor md5, so nothing could verify it")
    if facts.size is not None and facts.size < 0:
        raise BadRecord("its size is negative")
