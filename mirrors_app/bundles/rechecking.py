"""What a bundle that was made earlier may be given out for today: a deny, a quarantine or a purge since then closes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from django.db.models import Q
from django.utils import timezone

from channels_app.models import Channel, Effect, FileState, PackageFile
from channels_app.models.files import OCCUPYING_STATES
from channels_app.policies.view import judge_of, stamp, view_of
from condahub.errors import Forbidden, Gone, HubError, Unavailable
from condahub.remembering import Remembered
from mirrors_app.bundles import planning
from mirrors_app.bundles.core.manifest import PACKAGES
from mirrors_app.models import BundleExport

# Verdicts also change by the clock; an edit moves the channel's generation and counts at once.
REMEMBERED_SECONDS = 30.0
REMEMBERED_EXPORTS = 256
APPLYING_SECONDS = 5
CHUNK_ROWS = 500
_HINT = "Make another export: what may not be given out is left out of it, and named."

_Key = tuple[int, tuple[tuple[int, int], ...]]


class Closed(NamedTuple):
    """A package of the bundle that may not be given out today. code: policy_denied, held, purged."""

    subdir: str
    filename: str
    code: str
    reason: str


_known: Remembered[_Key, tuple[float, tuple[Closed, ...]]] = Remembered(REMEMBERED_EXPORTS)


def require_open(export: BundleExport) -> None:
    """Raise for a bundle with a package that is denied by policy or held (Forbidden), or purged (Gone), since it was made.

    Unavailable while an edit of policy is being applied to its channel.
    """
    found = _remembered(export, sources_of(export))
    if found:
        raise _refusal(found)


def purged_since(export: BundleExport) -> Closed | None:
    """A package of the bundle that was purged after the bundle was ready."""
    carried = _Carried(export)
    for channel in sources_of(export):
        rows = PackageFile.objects.filter(channel=channel, state=FileState.PURGED, changed_at__gte=export.ready_at or export.created_at)
        for subdir, filename, sha256, reason in rows.values_list("subdir", "filename", "sha256", "reason").iterator():
            if carried.holds(subdir, filename, sha256):
                return Closed(subdir, filename, "purged", reason)
    return None


def sources_of(export: BundleExport) -> list[Channel]:
    """The channels whose packages it carries."""
    return list(Channel.objects.select_related("organization").filter(pk__in=export.sources or [export.channel_id]).order_by("pk"))


def _refusal(found: tuple[Closed, ...]) -> HubError:
    worst = min(found, key=lambda one: ("purged", "policy_denied", "held").index(one.code))
    said = {"policy_denied": "is denied by policy", "held": "is held", "purged": "was purged"}[worst.code]
    others = f" So may {len(found) - 1} more of its files not be given out." if len(found) > 1 else ""
    detail = f"This bundle holds '{worst.subdir}/{worst.filename}', which {said}. {worst.reason}{others}".strip()
    return Gone(detail, code="purged", hint=_HINT) if worst.code == "purged" else Forbidden(detail, code=worst.code, hint=_HINT)


def _remembered(export: BundleExport, channels: list[Channel]) -> tuple[Closed, ...]:
    key = (export.pk, tuple((one.pk, one.generation) for one in channels))
    now = time.monotonic()
    if (known := _known.get(key)) is not None and now - known[0] < REMEMBERED_SECONDS:
        return known[1]
    carried = _Carried(export)
    found = tuple(one for channel in channels for one in _closed(channel, carried))
    _known.put(key, (now, found))
    return found


class _Carried:
    """The packages whose bytes a bundle holds; its plan is read when somebody asks."""

    def __init__(self, export: BundleExport) -> None:
        self._export = export
        self._keys: set[tuple[str, str]] | None = None

    @property
    def keys(self) -> set[tuple[str, str]]:
        """(path, sha256) of each."""
        if self._keys is None:
            files = planning.load(self._export.planned).files if self._export.planned else []
            self._keys = {(path, digest) for path, _, digest in files if path.startswith(PACKAGES)}
        return self._keys

    def holds(self, subdir: str, filename: str, sha256: str) -> bool:
        return (f"{PACKAGES}{subdir}/{filename}", sha256) in self.keys


def _closed(channel: Channel, carried: _Carried) -> Iterator[Closed]:
    rows = PackageFile.objects.filter(channel=channel)
    shut = rows.filter(state__in=(FileState.HELD, FileState.PURGED)).values_list("subdir", "filename", "sha256", "state", "reason")
    for subdir, filename, sha256, state, reason in shut.iterator():
        if carried.holds(subdir, filename, sha256):
            yield Closed(subdir, filename, "purged" if state == FileState.PURGED else "held", reason)
    if judge_of(channel).says_nothing or not carried.keys:
        return
    if channel.policy_state == "applying":
        raise Unavailable(
            "An edit of policy is being applied to the channel.", code="policy_applying", retry_after_seconds=APPLYING_SECONDS
        )
    denied = rows.filter(state__in=OCCUPYING_STATES, verdict=Effect.DENY)
    for subdir, filename, sha256, reason in denied.values_list("subdir", "filename", "sha256", "verdict_reason").iterator():
        if carried.holds(subdir, filename, sha256):
            yield Closed(subdir, filename, "policy_denied", reason)
    yield from _judged_now(channel, carried)


def _judged_now(channel: Channel, carried: _Carried) -> Iterator[Closed]:
    """Files whose stored verdict need not be today's: those of past revisions alone, and those that are due to get another."""
    unsure = PackageFile.objects.filter(channel=channel).exclude(state__in=(FileState.HELD, FileState.PURGED))
    unsure = unsure.filter(~Q(state__in=OCCUPYING_STATES) | Q(verdict_changes_at__lte=timezone.now()))
    pks = [pk for pk, *key in unsure.values_list("pk", "subdir", "filename", "sha256").iterator() if carried.holds(*key)]
    for start in range(0, len(pks), CHUNK_ROWS):
        files = list(PackageFile.objects.filter(pk__in=pks[start : start + CHUNK_ROWS]))
        stamp(view_of(channel, names={one.name for one in files}), files)
        yield from (Closed(one.subdir, one.filename, "policy_denied", one.verdict_reason) for one in files if one.verdict == Effect.DENY)


def forget_all() -> None:
    """For tests: a process that has just started remembers nothing."""
    _known.forget_all()
