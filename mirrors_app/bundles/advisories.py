"""What is known of packages' faults, as OSV entries that any reader of the format takes (https://ossf.github.io/osv-schema/)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import orjson

from channels_app.models import Advisory, Severity
from channels_app.policies.patterns import key_of

SCHEMA_VERSION = "1.6.0"
CHUNK_KEYS = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def entries_about(names: Iterable[str]) -> bytes:
    """A JSON list of what is loaded about packages of these names."""
    keys = sorted({key_of(name) for name in names})
    rows = [
        row
        for start in range(0, len(keys), CHUNK_KEYS)
        for row in Advisory.objects.filter(key__in=keys[start : start + CHUNK_KEYS]).order_by("osv_id", "ecosystem", "key")
    ]
    rows.sort(key=lambda row: (row.osv_id, row.ecosystem, row.key))
    return orjson.dumps(
        [_entry(osv_id, list(several)) for osv_id, several in groupby(rows, key=lambda row: row.osv_id)], option=orjson.OPT_SORT_KEYS
    )


def _entry(osv_id: str, rows: list[Advisory]) -> dict[str, Any]:
    first = rows[0]
    return {
        "schema_version": SCHEMA_VERSION,
        "id": osv_id,
        "modified": f"{first.modified_at or _EPOCH:%Y-%m-%dT%H:%M:%SZ}",
        "aliases": first.aliases,
        "summary": first.summary,
        "affected": [_affected(row) for row in rows],
    }


def _affected(row: Advisory) -> dict[str, Any]:
    found: dict[str, Any] = {"package": {"name": row.name, "ecosystem": row.ecosystem}, "versions": row.versions}
    found["ranges"] = [{"type": "ECOSYSTEM", "events": list(_events(*interval))} for interval in row.ranges]
    if row.severity != Severity.UNKNOWN:
        found["database_specific"] = {"severity": row.severity.upper()}
    return found


def _events(introduced: str, fixed: str | None, last_affected: str | None) -> Iterator[dict[str, str]]:
    yield {"introduced": introduced}
    if fixed is not None:
        yield {"fixed": fixed}
    if last_affected is not None:
        yield {"last_affected": last_affected}
