"""Applies policy to a whole channel: judges its files anew, and publishes what changed as one revision."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Greatest
from django.utils import timezone

from channels_app.index.publish import mark_dirty, publish_dirty
from channels_app.models import Channel, Effect, FileState, PackageFile
from channels_app.models.files import OCCUPYING_STATES
from channels_app.policies.evaluate import Verdict
from channels_app.policies.view import VERDICT_FIELDS, View, view_of
from channels_app.services import packages
from channels_app.virtual.follow import follow
from condahub.errors import Forbidden

CHUNK_ROWS = 4000
# Other writers of SQLite come in between two chunks that wrote.
PAUSE_SECONDS = 0.01
CAUSE = "policy applied"

_UPDATE = f"""
    UPDATE {PackageFile._meta.db_table} SET verdict = %s, verdict_reason = %s, verdict_changes_at = %s WHERE id = %s
"""  # noqa: S608 - names of columns, no input


@dataclass
class Applied:
    """What came of it: files judged, files with another verdict, and the revision that shows it."""

    judged: int = 0
    changed: int = 0
    revision: int = 0


# Of what a verdict is made of, or changes: what may be another since it was read.
_MUTABLE = ("state", "patch", "first_seen_at", *VERDICT_FIELDS)


class _Row(NamedTuple):
    """A file with the verdict that it has; mutable: its _MUTABLE; values: the columns that its View asks for."""

    pk: int
    subdir: str
    name: str
    mutable: list[Any]
    values: Sequence[Any]

    @property
    def state(self) -> str:
        return str(self.mutable[0])

    @property
    def verdict(self) -> Verdict:
        effect, reason, changes_at = self.mutable[3:]
        return Verdict(effect, reason, changes_at=changes_at)


@dataclass
class _Run:
    """One application: the view, as of the channel's generation, is read anew when that has moved."""

    channel: Channel
    view: View
    now: datetime
    done: Applied = field(default_factory=Applied)

    def differing(self, rows: QuerySet[PackageFile]) -> Iterator[tuple[_Row, Verdict]]:
        for row in _read(rows, self.view):
            self.done.judged += 1
            made = self.view.verdict(row.values, self.now)
            if [made.effect, made.reason, made.changes_at] != row.mutable[3:]:
                yield row, made

    def write(self, found: Sequence[tuple[_Row, Verdict]]) -> None:
        """Keep these verdicts, with the channel's row taken; those whose facts or rules changed since they were read are judged anew."""
        with transaction.atomic():
            taken = _lock(self.channel)
            if taken.generation != self.channel.generation:
                self.channel, self.view = taken, view_of(taken)
                sure: list[tuple[_Row, Verdict]] = []
                judged = list(self.differing(PackageFile.objects.filter(pk__in=[row.pk for row, _ in found])))
            else:
                now = {
                    pk: rest for pk, *rest in PackageFile.objects.filter(pk__in=[row.pk for row, _ in found]).values_list("pk", *_MUTABLE)
                }
                sure = [(row, made) for row, made in found if now.get(row.pk) == row.mutable]
                unsure = [row.pk for row, _ in found if now.get(row.pk, row.mutable) != row.mutable]
                judged = list(self.differing(PackageFile.objects.filter(pk__in=unsure))) if unsure else []
            self._keep([*sure, *judged])

    def _keep(self, found: Sequence[tuple[_Row, Verdict]]) -> None:
        _store(found)
        turned = [row for row, made in found if (made.effect == Effect.ALLOW) != (row.verdict.effect == Effect.ALLOW)]
        packages.refresh(self.channel, {row.name for row in turned}, is_view_only=True)
        shown = {(row.subdir, row.name) for row in turned if row.state == FileState.LIVE}
        mark_dirty(self.channel.pk, shown, cause=CAUSE, waits=True)
        self.done.changed += len(found)


def apply(
    *, channel_id: int, check: Callable[[], None] = lambda: None, progress: Callable[[int, int], None] = lambda done, total: None
) -> Applied:
    """Judge a channel's files by what policy says now: all of them after an edit, else those whose verdict is due to change.

    check: called between steps, may raise. Safe to repeat after any interruption, which leaves the old revision served.
    """
    channel = Channel.objects.select_related("organization").filter(pk=channel_id).first()
    if channel is None:
        return Applied()
    run = _Run(channel, view_of(channel), timezone.now())
    rows = PackageFile.objects.filter(channel=channel, state__in=OCCUPYING_STATES)
    if channel.policy_applied >= channel.policy_edit:
        rows = rows.filter(verdict_changes_at__lte=run.now)
    elif run.view.says_nothing:
        rows = rows.exclude(verdict=Effect.ALLOW, verdict_changes_at=None)
    chunks = list(_chunks(rows))
    total = sum(size for *_, size in chunks)
    for first, last, _ in chunks:
        check()
        differing = list(run.differing(rows.filter(name__gte=first, name__lte=last)))
        for start in range(0, len(differing), CHUNK_ROWS):
            run.write(differing[start : start + CHUNK_ROWS])
            time.sleep(PAUSE_SECONDS)
        progress(run.done.judged, total)
    check()
    run.done.revision = follow(channel.pk) if channel.is_virtual else publish_dirty(channel.pk, waiting=True)
    Channel.objects.filter(pk=channel.pk).update(policy_applied=Greatest(F("policy_applied"), channel.policy_edit))
    return run.done


def _lock(channel: Channel) -> Channel:
    """Its row, also in a grace period: it must be right when it is restored. Raises Forbidden when it ended meanwhile."""
    taken = Channel.objects.select_for_update(of=("self",)).select_related("organization").filter(pk=channel.pk).first()
    if taken is None:
        raise Forbidden()
    return taken


def _chunks(rows: QuerySet[PackageFile]) -> Iterator[tuple[str, str, int]]:
    """(first name, last name, rows) in the database's order of names, about CHUNK_ROWS rows each."""
    first = last = ""
    size = 0
    for name in rows.order_by("name").values_list("name", flat=True).iterator(chunk_size=10 * CHUNK_ROWS):
        if size >= CHUNK_ROWS and name != last:
            yield first, last, size
            size = 0
        if not size:
            first = name
        last = name
        size += 1
    if size:
        yield first, last, size


def _read(rows: QuerySet[PackageFile], view: View) -> Iterator[_Row]:
    # Not ordered: read as the index of names lists them.
    found = rows.order_by().values_list("pk", "subdir", "name", *_MUTABLE, *view.columns)
    for pk, subdir, name, *rest in found.iterator(chunk_size=CHUNK_ROWS):
        yield _Row(pk, subdir, name, rest[: len(_MUTABLE)], rest[len(_MUTABLE) :])


def _store(found: Sequence[tuple[_Row, Verdict]]) -> None:
    """Past Django's updates, which would take one statement a distinct reason."""
    if not found:
        return
    adapt = connection.ops.adapt_datetimefield_value
    prepared = [[str(made.effect), made.reason, adapt(made.changes_at), row.pk] for row, made in found]
    with connection.cursor() as cursor:
        cursor.executemany(_UPDATE, prepared)
