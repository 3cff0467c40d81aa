"""The documents under info/ of a package: strict JSON of the right shape, or a refusal that names the field."""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Literal

import msgspec
import orjson

from condahub.packages.errors import BadSubdir, PackageMetadata, PackageTraversal, shown
from condahub.packages.limits import Limits
from condahub.packages.names import check_subdir
from condahub.packages.paths import ROOTED, SEPARATORS, safe_parts

MAX_DEPTH = 64
MAX_REQUIREMENTS = 5_000
MAX_REQUIREMENT_CHARS = 1024
# The last millisecond of the year 9999: clients fail on a whole index that holds a later one.
LATEST_TIMESTAMP_MS = 253_402_300_799_999
INT_BITS = 63

# Enough of a MatchSpec to keep out what makes a client give up on a whole channel: it begins with a name and
# doesn't end in an operator.
REQUIREMENT = re.compile(r"\s*(?:[^\s\[\]<>]+::)?[A-Za-z0-9_*][A-Za-z0-9_.*-]*(?:[\s=<>!~\[;@].*)?(?<![<>=!~,|])\s*")
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")

# CEP-12, and the order they are written in.
RUN_EXPORTS_KINDS = ("weak", "strong", "noarch", "weak_constrains", "strong_constrains")

Requirements = Annotated[list[str], msgspec.Meta(max_length=MAX_REQUIREMENTS)]


class IndexJson(msgspec.Struct):
    """The fields of info/index.json that clients give a type (CEP-34, CEP-36, CEP-48); others may be there and are kept."""

    name: str
    version: str
    build: str
    build_number: Annotated[int, msgspec.Meta(ge=0)]
    depends: Requirements = []
    constrains: Requirements = []
    subdir: str | None = None
    noarch: Literal["generic", "python"] | bool | None = None
    arch: str | None = None
    platform: str | None = None
    license: str | None = None
    license_family: str | None = None
    features: str | list[str] | None = None
    track_features: str | list[str] | None = None
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=LATEST_TIMESTAMP_MS)] | None = None
    python_site_packages_path: str | None = None
    extra_depends: dict[str, Requirements] = {}
    flags: list[str] = []


class _ListedPath(msgspec.Struct):
    path: str = msgspec.field(name="_path", default="")


class _PathsJson(msgspec.Struct):
    paths: list[_ListedPath] = []


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("it gives one key twice")
    return table


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("it holds a number that is too large")
    return number


def _small_int(text: str) -> int:
    number = int(text) if len(text) <= 20 else None
    if number is None or number.bit_length() > INT_BITS:
        raise ValueError("it holds a number that is too large")
    return number


def _depth(value: object, left: int = MAX_DEPTH) -> None:
    if left == 0:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            _depth(below, left - 1)


def strict_json_object(data: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object (RFC 8259) that every client reads alike: UTF-8, no NaN, no key twice, 64-bit numbers."""
    try:
        # orjson first: it refuses NaN, a BOM, broken UTF-8, lone surrogates and depth; json then sees keys and numbers as written.
        orjson.loads(data)
        value = json.loads(data, object_pairs_hook=_no_duplicates, parse_float=_finite, parse_int=_small_int)
        _depth(value)
    except (ValueError, RecursionError) as error:
        raise PackageMetadata(f"{what} is not strict JSON: {shown(str(error))}.") from error
    if not isinstance(value, dict):
        raise PackageMetadata(f"{what} is not a JSON object.")
    return value


def read_index(data: bytes) -> dict[str, Any]:
    """Parse and check info/index.json; the table is returned as it was, unknown keys and all."""
    table = strict_json_object(data, "info/index.json")
    try:
        index = msgspec.convert(table, IndexJson)
    except msgspec.ValidationError as error:
        raise PackageMetadata(f"info/index.json is not right: {shown(str(error))}.") from error
    for what, requirements in (("depends", index.depends), ("constrains", index.constrains), *index.extra_depends.items()):
        _check_requirements("info/index.json", what, requirements)
    if index.subdir is not None:
        try:
            check_subdir(index.subdir)
        except BadSubdir as error:
            raise PackageMetadata(f"info/index.json is not right: {error.detail}") from error
    return table


def _check_requirements(where: str, what: str, requirements: list[str]) -> None:
    for text in requirements:
        if len(text) > MAX_REQUIREMENT_CHARS or CONTROL_CHARACTERS.search(text) or REQUIREMENT.fullmatch(text) is None:
            raise PackageMetadata(f"{where} is not right: '{shown(text)}' in '{shown(what)}' is not a requirement.")


def read_about(data: bytes) -> dict[str, Any]:
    """Parse info/about.json; it only describes, so one that can't be read is left out rather than refused."""
    try:
        return strict_json_object(data, "info/about.json")
    except PackageMetadata:
        return {}


def read_run_exports(data: bytes) -> dict[str, list[str]]:
    """Parse info/run_exports.json into lists by kind (CEP-12); the old form, a bare list, is of kind weak."""
    text = data.strip()
    if text.startswith(b"["):
        text = b'{"weak":' + text + b"}"
    table = strict_json_object(text, "info/run_exports.json")
    # conda-build takes one requirement for a list of one.
    kinds = {kind: [table[kind]] if isinstance(table[kind], str) else table[kind] for kind in RUN_EXPORTS_KINDS if table.get(kind)}
    try:
        run_exports = msgspec.convert(kinds, dict[str, Requirements])
    except msgspec.ValidationError as error:
        raise PackageMetadata(f"info/run_exports.json is not right: {shown(str(error))}.") from error
    for kind, requirements in run_exports.items():
        _check_requirements("info/run_exports.json", kind, requirements)
    return run_exports


def check_listings(documents: dict[str, bytes], limits: Limits) -> None:
    """Refuse a path in info/paths.json or info/files that leads outside: clients link what these name."""
    if "info/paths.json" in documents:
        try:
            listed = msgspec.json.decode(documents.pop("info/paths.json"), type=_PathsJson).paths
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise PackageMetadata(f"info/paths.json is not right: {shown(str(error))}.") from error
        for entry in listed:
            safe_parts(entry.path, limits)
    for line in documents.pop("info/files", b"").splitlines():
        safe_parts(line.strip().decode("utf-8", "surrogateescape"), limits)


def check_entry_points(data: bytes) -> None:
    """Refuse an entry point of info/link.json whose name is a path: clients write a script of that name."""
    noarch = strict_json_object(data, "info/link.json").get("noarch")
    entry_points = noarch.get("entry_points") if isinstance(noarch, dict) else None
    if entry_points is None:
        return
    if not isinstance(entry_points, list) or not all(isinstance(entry, str) for entry in entry_points):
        raise PackageMetadata("info/link.json is not right: its entry points are not a list of texts.")
    for entry in entry_points:
        command = entry.partition("=")[0].strip()
        if command in ("", ".", "..") or ROOTED.match(command) or SEPARATORS.search(command) or CONTROL_CHARACTERS.search(command):
            raise PackageTraversal(f"The entry point '{shown(command)}' in info/link.json is not a plain name.")
