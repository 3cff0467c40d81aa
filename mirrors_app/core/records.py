"""One package as an upstream's index tells of it: its canonical record, digests, and what filters ask about."""

from __future__ import annotations

import hashlib
import re
import sys
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
import orjson

from condahub.errors import HubError
from condahub.packages.names import MAX_FILENAME_CHARS, PackageFilename, split_filename
from mirrors_app.core.addresses import joined

DIGEST_BYTES = 16
SHA256, MD5 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")
MAX_RECORD_BYTES = 1024 * 1024

# What `split_filename` takes, in one step: an index has hundreds of thousands of them.
_PLAIN = re.compile(r"(?!__)([a-z0-9_][a-z0-9._-]{0,63})-([a-zA-Z0-9_.+!]{1,64})-([a-zA-Z0-9_.+]{1,64})(?:\.conda|\.tar\.bz2)")

Section = Literal["packages", "packages.conda", "v3"]
SECTIONS: tuple[Section, ...] = ("packages", "packages.conda", "v3")
V3_ENDINGS = {"conda": ".conda", "tar.bz2": ".tar.bz2"}

# They say where the upstream keeps the bytes: clients of a mirror must never follow them.
LOCATION_KEYS = ("url", "fn", "channel", "base_url", "schannel")
# run_exports are an index file and a shard field of their own (CEP-12, CEP-21); a record promises a sidecar (CEP-50) only
# where that is here.
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


class Columns(msgspec.Struct, frozen=True, gc=False):
    """The part of a record that tables have columns for: read in half the time."""

    version: str
    build: str
    build_number: int = 0
    sha256: str | None = None
    md5: str | None = None


class UpstreamRecord(msgspec.Struct, frozen=True, gc=False):
    """One record of an upstream, small enough to hold a million. raw: canonical JSON without location; spelling: digest of the record
    as the upstream wrote it; digest: of raw, 16 bytes each; base_url: the folder of its bytes, absolute; own_url: their address where
    the record gives one itself; size: bytes, 0 when the upstream does not say; attested: sha256 of the sidecar that it names (CEP-50).
    """

    subdir: str
    filename: str
    section: Section
    name: str
    size: int
    raw: bytes
    spelling: bytes
    digest: bytes
    base_url: str
    own_url: str = ""
    locked: Facts | None = None
    attested: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return (self.subdir, self.filename)

    @property
    def url(self) -> str:
        """Where the bytes lie."""
        return self.own_url or self.base_url + self.filename.replace("+", "%2B")

    @property
    def facts(self) -> Facts:
        """Read anew each time: most records of a large upstream are never asked."""
        return self.locked if self.locked is not None else _facts.decode(self.raw)

    @property
    def columns(self) -> Columns | Facts:
        """Read anew each time, too."""
        return self.locked if self.locked is not None else _columns.decode(self.raw)

    @property
    def sha256(self) -> str:
        """Lower-case hex, '' when the upstream does not say."""
        return self.columns.sha256 or ""

    @property
    def md5(self) -> str:
        return self.columns.md5 or ""


_facts = msgspec.json.Decoder(Facts)
_columns = msgspec.json.Decoder(Columns)


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
    try:
        table = orjson.loads(raw)
    except ValueError as error:
        raise BadRecord(f"its record is not JSON: {str(error)[:200]}") from error
    return record_of(subdir=subdir, filename=filename, section=section, table=table, base_url=base_url, spelling=spelling or digest_of(raw))


def record_of(*, subdir: str, filename: str, section: Section, table: Any, base_url: str, spelling: bytes) -> UpstreamRecord:
    """The same from a parsed table, which may be changed. Raises BadRecord, also for a file name that is none."""
    name = _parts(filename)
    if not isinstance(table, dict):
        raise BadRecord("its record is not an object")
    own_url = location(filename=filename, table=table, base_url=base_url)
    attested = _sidecar(table)
    for key in DROPPED_KEYS:
        table.pop(key, None)
    try:
        # The copy has just the bytes that it needs; orjson's own has room for eight thousand.
        raw = memoryview(orjson.dumps(table, option=orjson.OPT_SORT_KEYS)).tobytes()
    except (TypeError, ValueError) as error:
        raise BadRecord(f"its record can't be written as JSON: {str(error)[:200]}") from error
    facts = read_facts(raw)
    check_identity(facts, subdir=subdir, name=name)
    # The same record is another one in v3, where older clients do not see it.
    digest = digest_of(raw if section != "v3" else raw + b"v3")
    return UpstreamRecord(
        subdir, filename, section, sys.intern(facts.name), facts.size or 0, raw, spelling, digest, base_url, own_url, None, attested
    )


def location(*, filename: str, table: dict[str, Any], base_url: str) -> str:
    """Where the bytes lie when the record says so itself: by its url, or by a base_url of its own (CEP-15), absolute or relative;
    else ''. Raises BadRecord for what no upstream may point to.
    """
    url, own_base = table.get("url"), table.get("base_url")
    url = url if isinstance(url, str) else ""
    own_base = own_base if isinstance(own_base, str) else ""
    if not url and not own_base:
        return ""
    try:
        base = joined(base_url, own_base.rstrip("/") + "/") if own_base else base_url
        target = joined(base, url or "./" + filename.replace("+", "%2B"))
        scheme, place = urlsplit(target).scheme, urlsplit(target)[:2]
    except ValueError as error:
        raise BadRecord("its record points to what is no address") from error
    if scheme not in ("http", "https", "file", "s3"):
        raise BadRecord(f"its record points to '{target[:120]}', which is no address of a file")
    if scheme in ("file", "s3") and place != urlsplit(base_url)[:2]:
        # An index from elsewhere must not make this machine read its own disk.
        raise BadRecord("its record points to a place the upstream is not at")
    return target


def _sidecar(table: dict[str, Any]) -> str:
    named = table.get("attestations_sha256")
    return named if isinstance(named, str) and SHA256.fullmatch(named) else ""


def _parts(filename: str) -> tuple[str, str, str]:
    """Name, version and build of a file name. Raises BadRecord."""
    plain = _PLAIN.fullmatch(filename)
    if plain is not None and len(filename) <= MAX_FILENAME_CHARS:
        return plain[1], plain[2], plain[3]
    found = check_filename(filename)
    return found.name, found.version, found.build


def check_filename(filename: str) -> PackageFilename:
    """Its parts. Raises BadRecord for what can't be a package's file name: paths, dots, capitals, other endings."""
    try:
        return split_filename(filename)
    except HubError as error:
        raise BadRecord(error.detail) from error


def check_identity(facts: Facts, *, subdir: str, name: tuple[str, str, str]) -> None:
    """Raises BadRecord unless the record speaks of this file: its name, its folder, hashes that could be hashes."""
    if (facts.name, facts.version, facts.build) != name:
        raise BadRecord("its record is of another name, version or build than the file's name says")
    if facts.subdir is not None and facts.subdir != subdir:
        raise BadRecord(f"its record is for '{facts.subdir[:64]}', not for '{subdir}'")
    if facts.sha256 is not None and SHA256.fullmatch(facts.sha256) is None:
        raise BadRecord("its sha256 is not 64 lower-case hex digits")
    if facts.md5 is not None and MD5.fullmatch(facts.md5) is None:
        raise BadRecord("its md5 is not 32 lower-case hex digits")
    if not facts.sha256 and not facts.md5:
        raise BadRecord("its record has neither sha256 nor md5, so nothing could verify it")
    if facts.size is not None and facts.size < 0:
        raise BadRecord("its size is negative")


def check_section(filename: str, section: Section) -> None:
    """Raises BadRecord where a record stands in a section that such files do not belong into."""
    if section != "v3" and (section == "packages.conda") != filename.endswith(".conda"):
        raise BadRecord(f"it stands in '{section}', where such files do not belong")
