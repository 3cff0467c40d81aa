"""What policy denies of records that a mirror has not brought yet, so that it need not bring them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import connection
from django.utils import timezone

from channels_app.models import SEEN_LONG_AGO, Effect
from channels_app.policies.view import view_of
from condahub.packages.names import split_filename
from mirrors_app.core.records import UpstreamRecord
from mirrors_app.models import Mirror


def denied_now(mirror: Mirror, records: Sequence[UpstreamRecord]) -> Mapping[tuple[str, str], str]:
    """Those that are denied until somebody changes the rules, with the rule; what a clock ends is brought, and shown then."""
    try:
        view = view_of(mirror.channel)
    finally:
        # The core calls from a thread that Django does not know.
        connection.close()
    if view.says_nothing:
        return {}
    now = timezone.now()
    seen = SEEN_LONG_AGO if mirror.first_synced_at is None else now
    found: dict[tuple[str, str], str] = {}
    for record in records:
        made = view.verdict(_row(record, seen), now)
        # What attests a package may come after it.
        if made.effect == Effect.DENY and made.changes_at is None and made.rule != "attestation":
            found[record.key] = f"denied by policy ({made.rule})"
    return found


def _row(record: UpstreamRecord, seen: datetime) -> list[object]:
    """As the file's FULL_COLUMNS would be."""
    name, facts = split_filename(record.filename), record.facts
    identity = [name.name, name.version, name.build, facts.build_number, record.subdir, record.sha256, record.size]
    return [*identity, seen, seen, record.raw.decode(), ""]
