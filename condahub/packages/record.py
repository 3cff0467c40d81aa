"""The record of a package in a channel's index: what the package says of itself plus what only the hub may say."""

from __future__ import annotations

from typing import Any

import orjson

from condahub.packages.reader import PackageInfo

# Where a package lies, what its bytes are and when the hub first saw it are the hub's to say, never the package's.
# run_exports are an index file and a shard field of their own (CEP-12, CEP-21).
HUB_KEYS = frozenset(
    {"fn", "url", "channel", "base_url", "md5", "sha256", "size", "subdir", "indexed_timestamp", "attestations_sha256", "revoked"}
    | {"run_exports"}
)
HUB_KEY_PREFIX = "legacy_"


def make_record(info: PackageInfo, *, md5: str, sha256: str, size: int, subdir: str, indexed_timestamp_ms: int) -> dict[str, Any]:
    """The repodata record (CEP-36): info/index.json with its unknown keys, and md5, sha256, size and subdir by the hub.

    md5 and sha256 are lower-case hex, size is in bytes; indexed_timestamp (CEP-47) is in milliseconds since 1970.
    """
    kept = {key: value for key, value in info.index.items() if key not in HUB_KEYS and not key.startswith(HUB_KEY_PREFIX)}
    return {**kept, "md5": md5, "sha256": sha256, "size": size, "subdir": subdir, "indexed_timestamp": indexed_timestamp_ms}


def canonical_json(record: dict[str, Any]) -> bytes:
    """The one spelling of a record: keys sorted, no spaces, UTF-8, numbers as they are. Equal records give equal bytes.

    Takes what the reader lets through: finite numbers, integers of 64 bits, text without lone surrogates.
    """
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
