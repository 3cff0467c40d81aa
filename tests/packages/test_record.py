"""A record keeps what the package says and takes from it what only the hub may say."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from condahub.packages.reader import read_package
from condahub.packages.record import canonical_json, make_record
from tests.makers import make_package

BY_HUB = {"md5": "0" * 32, "sha256": "1" * 64, "size": 7, "subdir": "noarch", "indexed_timestamp_ms": 1_800_000_000_000}
FORGED = {
    "fn": "x", "url": "https://evil", "channel": "evil", "base_url": "https://evil", "md5": "f", "sha256": "f", "size": 1,
    "indexed_timestamp": 1, "attestations_sha256": "f", "legacy_bz2_md5": "f", "legacy_bz2_size": 1, "revoked": True,
    "run_exports": {"weak": ["evil"]},
}  # fmt: skip


def test_what_the_hub_says_cannot_be_forged(tmp_path: Path) -> None:
    path = make_package(tmp_path, extra_index=FORGED)
    record = make_record(read_package(path, filename=path.name), **BY_HUB)  # type: ignore[arg-type]
    assert {key: record[key] for key in ("md5", "sha256", "size", "subdir")} == {
        key: BY_HUB[key] for key in ("md5", "sha256", "size", "subdir")
    }
    assert record["indexed_timestamp"] == 1_800_000_000_000
    assert not record.keys() & {
        "fn",
        "url",
        "channel",
        "base_url",
        "attestations_sha256",
        "legacy_bz2_md5",
        "legacy_bz2_size",
        "revoked",
        "run_exports",
    }


def test_what_the_hub_does_not_know_survives(tmp_path: Path) -> None:
    extra = {"wat": {"b": [1, 2.50, "é"], "a": None}, "flags": ["cuda"]}
    path = make_package(tmp_path, extra_index=extra)
    record = make_record(read_package(path, filename=path.name), **BY_HUB)  # type: ignore[arg-type]
    assert {key: record[key] for key in extra} == extra


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), VALUES, max_size=6))
def test_one_spelling_and_nothing_lost(record: dict[str, object]) -> None:
    spelled = canonical_json(record)
    read = json.loads(spelled)
    assert repr(sorted(read.items())) == repr(sorted(json.loads(json.dumps(record)).items())) or read == record
    assert canonical_json(dict(reversed(list(record.items())))) == spelled
    assert canonical_json(read) == spelled


def test_the_spelling_is_written_down() -> None:
    record = {"b": 1, "a": {"d": 2.0, "c": "é/\u2028"}, "é": None, "Z": [True]}
    assert canonical_json(record) == '{"Z":[true],"a":{"c":"é/\u2028","d":2.0},"b":1,"é":null}'.encode()
