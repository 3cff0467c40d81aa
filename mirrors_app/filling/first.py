"""The first filling of a channel that holds nothing: rows that nobody sees yet, and their shards, made on another core meanwhile."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from django.db import transaction

from channels_app.index.beside import Batch, Key, Rendered, render_all
from channels_app.index.publish import Ahead, right_now, store_shards
from channels_app.index.render import FileRow
from channels_app.models import Channel, FileState
from mirrors_app.core.records import UpstreamRecord
from mirrors_app.filling import rows
from mirrors_app.models import Mirror


class FirstFill:
    """Of records whose bytes are fetched on demand. A run that is killed leaves files that the next one finds.

    `stage`, then in one transaction `show` and `ahead`, then `note`.

    ids: of the files, in the order of `records`, which are sorted by subdir and name; keys: (subdir, name) of all of them.
    """

    def __init__(self, mirror: Mirror, records: Sequence[UpstreamRecord], *, first_seen_at: datetime | None, now: datetime) -> None:
        self.mirror, self.records, self.now = mirror, records, now
        self.ids: array[int] = array("q")
        self.keys = {Key(one.subdir, one.name) for one in records}
        self._first_seen_at = first_seen_at
        self._hashes: dict[Key, bytes] = {}
        self._waiting: list[Rendered] = []
        self._is_alone = False

    def stage(self, locked: Callable[[], Channel], pause: Callable[[int], None]) -> None:
        """Before the transaction that shows it. locked: takes the channel's row, or raises; pause: called between two transactions with
        the number of those that were.
        """
        for rendered in render_all(self._staged(locked, pause), names=len(self.keys)):
            self._waiting.append(rendered)
        with transaction.atomic():
            self._store(locked())

    def _staged(self, locked: Callable[[], Channel], pause: Callable[[int], None]) -> Iterator[Batch]:
        for number, chunk in enumerate(_whole_names(self.records), 1):
            with transaction.atomic():
                channel = locked()
                ids, texts = rows.insert_unfetched(channel, chunk, now=self.now, first_seen_at=self._first_seen_at)
                self._store(channel)
            self.ids.extend(ids)
            batch: Batch = {}
            for one, text in zip(chunk, texts, strict=True):
                file = FileRow(one.filename, FileState.LIVE.value, text, "{}", "{}", "", False)
                batch.setdefault(Key(one.subdir, one.name), []).append(file)
            yield batch
            if len(chunk) < len(self.records):
                pause(number)

    def _store(self, channel: Channel) -> None:
        waiting, self._waiting = self._waiting, []
        for rendered in waiting:
            store_shards(channel.pk, rendered)
            self._hashes.update((key, one.sha256) for key, one in rendered.items() if one is not None)

    def show(self, channel: Channel) -> None:
        """In the transaction: turn the files live."""
        had = rows.count(channel)
        turned = rows.show(channel, self.ids, now=self.now)
        self._is_alone = had == turned == len(self.ids)

    def ahead(self, channel: Channel) -> Ahead:
        """In the transaction, after its names were marked: the shards that need not be made. None where others put files there meanwhile.

        For who knows that policy says nothing of the files.
        """
        return right_now(channel.pk, self._hashes) if self._is_alone else {}

    def note(self, locked: Callable[[], Channel], pause: Callable[[int], None]) -> None:
        """After it is shown: what the mirror knows of the files. Where it is cut short, the next run finds them as they are."""
        for number, start in enumerate(range(0, len(self.records), rows.CHUNK_NEW_ROWS), 1):
            end = start + rows.CHUNK_NEW_ROWS
            with transaction.atomic():
                locked()
                rows.note_shown(self.mirror, self.records[start:end], self.ids[start:end])
            if end < len(self.records):
                pause(number)


def _whole_names(records: Sequence[UpstreamRecord]) -> Iterator[Sequence[UpstreamRecord]]:
    """Chunks for one transaction each, none of which ends within a name."""
    start = 0
    while start < len(records):
        end = min(start + rows.CHUNK_NEW_ROWS, len(records))
        while end < len(records) and (records[end].subdir, records[end].name) == (records[end - 1].subdir, records[end - 1].name):
            end += 1
        yield records[start:end]
        start = end
