"""A plain folder as a mirror's target: packages and every form of the index, as any HTTP server can serve them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson

from condahub.errors import Conflict, HubError
from condahub.packages.pool import inspect
from condahub.packages.reader import check_identity
from mirrors_app.core.disk import PART_SUFFIX, HashedFile, hash_file, require_space, sync_filesystem
from mirrors_app.core.index_files import SHARD_FOLDER, Staging
from mirrors_app.core.journal import Held, Journal
from mirrors_app.core.records import Columns, Facts, Refused, UpstreamRecord
from mirrors_app.core.rendering import render
from mirrors_app.core.target import Fetched, Known, Publication, SubdirState, Temporary

PRIVATE_FOLDER = ".condahub"
NOARCH = "noarch"


class FolderTarget:
    """A `Target` over one folder; a context manager, and only one at a time for a folder.

    Layout: `<subdir>/<filename>`, `<subdir>/repodata*`, `<subdir>/shards/`; `.condahub/` is the journal, the upstream's last indexes
    and bytes that lie aside. A file that somebody else put there (an earlier mirror) is hashed and used when it is the right one.
    """

    def __init__(self, folder: Path, *, minimum_free_bytes: int = 0) -> None:
        self.folder, self._minimum_free = folder, minimum_free_bytes
        self._private = folder / PRIVATE_FOLDER
        self._unsettled: dict[tuple[str, str, str], Held] = {}
        self._made: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Raises Conflict when another run has the folder."""
        (self._private / "aside").mkdir(parents=True, exist_ok=True)
        (self._private / "upstream").mkdir(exist_ok=True)
        self._lock = (self._private / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise Conflict("Another run is working on this folder.", code="mirror_busy", hint="Wait until it has ended.") from error
        self._journal = Journal(self._private / "journal.sqlite")
        self._render()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._journal.close()
        self._lock.close()

    def states(self) -> Mapping[str, SubdirState]:
        return self._journal.states()

    def known(self, subdir: str, names: Collection[str] | None) -> Mapping[str, Known]:
        return self._journal.known(subdir, names)

    def spellings(self, subdir: str) -> Mapping[str, bytes | None]:
        return self._journal.spellings(subdir)

    def pinned(self, subdir: str) -> bytes | None:
        with suppress(FileNotFoundError):
            return (self._private / "upstream" / subdir).read_bytes()
        return None

    def holds(self, records: Sequence[UpstreamRecord]) -> Collection[tuple[str, str]]:
        held = self._journal.held_of([one.key for one in records])
        found = set()
        for record in records:
            rows = held.get(record.key, [])
            if any(_is(one, record.facts) and self._place(one).is_file() for one in rows) or self._adopt(record):
                found.add(record.key)
        return found

    def _adopt(self, record: UpstreamRecord) -> bool:
        """Use a file that is there though nothing is known of it: left by a run that was killed, or by another tool."""
        path = self.folder / record.subdir / record.filename
        try:
            if record.size and path.stat().st_size != record.size:
                return False
            sha256, md5, size = hash_file(path)
        except OSError:
            return False
        if (record.sha256 or sha256) != sha256 or (record.md5 or md5) != md5:
            return False
        try:
            info = inspect(path, filename=record.filename)
            check_identity(info, subdir=record.subdir, filename=record.filename)
        except HubError:
            return False
        row = Held(record.subdir, record.filename, sha256, md5, size, orjson.dumps(info.run_exports), False)
        self._unsettled[row[:3]] = row
        return True

    def temporary(self, record: UpstreamRecord) -> Temporary:
        subdir = self._made.get(record.subdir)
        if subdir is None:
            (self.folder / record.subdir).mkdir(exist_ok=True)
            subdir = self._made[record.subdir] = str(self.folder / record.subdir)
        if self._minimum_free:
            require_space(subdir, record.size, leave_bytes=self._minimum_free)
        return HashedFile(subdir, with_md5=not record.sha256)

    def keep(self, batch: Sequence[Fetched]) -> Sequence[Refused]:
        held = self._journal.held_of([one.record.key for one in batch])
        for one in batch:
            assert isinstance(one.bytes, HashedFile)
            record = one.record
            # What has the name now may be what is shown: it gives way only when the index does.
            aside = one.aside or any(not other.aside for other in held.get(record.key, ()))
            row = Held(record.subdir, record.filename, one.bytes.sha256, one.bytes.md5, one.bytes.size, one.run_exports, aside)
            one.bytes.adopt(self._place(row))
            self._unsettled[row[:3]] = row
        return ()

    def settle(self) -> None:
        if not self._unsettled:
            return
        sync_filesystem(self.folder)
        with self._journal.transaction():
            self._journal.hold(self._unsettled.values())
        self._unsettled.clear()

    def publish(self, publication: Publication) -> None:
        self.settle()
        with Staging(self.folder) as staging:
            for subdir, raw in publication.raw.items():
                with staging.file(self._private / "upstream" / subdir) as out:
                    out.write(raw)
            if publication.raw:
                staging.place()
        with self._journal.transaction():
            self._journal.take(publication.take)
            self._journal.leave(publication.left)
            self._journal.put(self._rows(publication.put))
            self._journal.set_states(publication.states)
            for subdir in (*publication.states, NOARCH):
                if not (self.folder / subdir / "repodata.json").exists():
                    self._journal.mark_dirty(subdir)
        self._render()

    def _rows(self, records: Sequence[UpstreamRecord]) -> Iterator[tuple[UpstreamRecord, str, bytes, Held]]:
        # In the order of the journal's own tables, which then only grow at their ends.
        ordered = sorted(records, key=attrgetter("subdir", "filename"))
        for record, held in zip(ordered, self._journal.held_beside(ordered), strict=True):
            said = record.columns
            own = next(one for one in held if _is(one, said))
            yield record, said.md5 or "", _completed(record, said, own), own

    def _place(self, held: Held) -> Path:
        if held.aside:
            return self._private / "aside" / f"{held.sha256}-{held.filename}"
        return self.folder / held.subdir / held.filename

    def _render(self) -> None:
        """Bring the files of the index to what the journal says; whatever a killed run left undone is done by the next."""
        dirty = self._journal.dirty()
        if dirty:
            self._move_into_place(dirty)
            render(self.folder, self._journal, dirty)
        outgoing = self._journal.outgoing()
        if outgoing:
            for subdir, filename in outgoing:
                (self.folder / subdir / filename).unlink(missing_ok=True)
            with self._journal.transaction():
                self._journal.gone(outgoing)
        self._sweep()

    def _move_into_place(self, subdirs: Collection[str]) -> None:
        """New bytes that are to be shown under a name that older ones still have: the older go aside."""
        for subdir, filename, sha256 in self._journal.shown_bytes(subdirs):
            rows = self._journal.held(subdir, filename)
            new = next(one for one in rows if one.sha256 == sha256)
            olds = [one for one in rows if not one.aside]
            for old in olds:
                if self._place(old).exists():
                    os.replace(self._place(old), self._place(old._replace(aside=True)))
            if self._place(new).exists():
                os.replace(self._place(new), self._place(new._replace(aside=False)))
            with self._journal.transaction():
                self._journal.hold([new._replace(aside=False), *(old._replace(aside=True) for old in olds)])

    def _sweep(self) -> None:
        """Remove what killed runs left half written."""
        for pattern in (f"*/.*{PART_SUFFIX}", f"*/{SHARD_FOLDER}/.*{PART_SUFFIX}"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)


def _is(held: Held, facts: Columns | Facts) -> bool:
    """Whether these bytes are the record's: by sha256, else md5."""
    return held.sha256 == facts.sha256 if facts.sha256 else bool(facts.md5) and held.md5 == facts.md5


def _completed(record: UpstreamRecord, said: Columns | Facts, held: Held) -> bytes:
    """The record as it is shown: with the sha256 and size of its bytes, where the upstream did not say them."""
    if said.sha256 and (record.size or record.facts.size is not None):
        return record.raw
    table = orjson.loads(record.raw)
    return orjson.dumps({**table, "sha256": held.sha256, "size": held.size}, option=orjson.OPT_SORT_KEYS)
