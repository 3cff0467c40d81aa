"""Compares how many SQL queries something takes with the number kept in a file; `UPDATE_QUERY_BASELINE=1` rewrites it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection
from django.test.utils import CaptureQueriesContext

BASELINE = Path(__file__).parent / "query_baseline.json"


@contextmanager
def counted(key: str) -> Iterator[None]:
    """The block takes exactly the queries that the baseline has for `key`: fewer is news as well, and goes into the file."""
    with CaptureQueriesContext(connection) as captured:
        yield
    if os.environ.get("UPDATE_QUERY_BASELINE"):
        known = _baseline()
        known[key] = len(captured)
        BASELINE.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
        return
    expected = _baseline().get(key)
    listing = "\n".join(query["sql"][:300] for query in captured.captured_queries)
    assert len(captured) == expected, f"{key}: {len(captured)} queries, the baseline says {expected}:\n{listing}"


def _baseline() -> dict[str, int]:
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
