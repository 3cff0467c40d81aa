"""The sync core's Target over a channel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

from django.db import connection

from condahub.errors import HubError
from condahub.storage.blobs import blobs
from mirrors_app.core.records import Refused, UpstreamRecord
from mirrors_app.core.target import Fetched, Known, Publication, SubdirState, Temporary
from mirrors_app.filling import holding, rows
from mirrors_app.filling.publishing import NAMESPACE, Publishing, decode_state
from mirrors_app.filling.staging import Staging
from mirrors_app.models import Mirror, MirrorSubdir, SyncRun, UpstreamRevision

Method = TypeVar("Method", bound=Callable[..., Any])


def _own_connection(method: Method) -> Method:
    """The core calls from a thread of its own, which ends without Django knowing: no connection is left in it."""

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        finally:
            if not connection.in_atomic_block:
                connection.close()

    return cast(Method, call)


class ChannelTarget:
    """A `core.target.Target` over the channel of a mirror.

    run: of which the upstream revisions are told to come; None for a plan, which only reads. lazily: the index alone is brought:
    every record counts as held, and its file has no bytes yet. check: raises when the run has lost the right to publish.
    revision: of the channel, after `publish`.
    """

    def __init__(
        self, mirror: Mirror, run: SyncRun | None = None, *, lazily: bool = False, check: Callable[[], None] = lambda: None
    ) -> None:
        self.mirror, self.run, self.lazily = mirror, run, lazily
        self.revision: int | None = None
        self._check = check
        self._staging: Staging | None = None

    @property
    def staging(self) -> Staging:
        if self._staging is None:
            self._staging = Staging(self.mirror)
        return self._staging

    @_own_connection
    def states(self) -> Mapping[str, SubdirState]:
        found = MirrorSubdir.objects.filter(mirror=self.mirror).values_list("subdir", "state")
        return {subdir: decode_state(bytes(state)) for subdir, state in found}

    @_own_connection
    def known(self, subdir: str, names: Collection[str] | None) -> Mapping[str, Known]:
        return rows.known(self.mirror.pk, subdir, names)

    @_own_connection
    def spellings(self, subdir: str) -> Mapping[str, bytes | None]:
        return rows.spellings(self.mirror.pk, subdir)

    @_own_connection
    def pinned(self, subdir: str) -> bytes | None:
        state = MirrorSubdir.objects.select_related("revision").filter(mirror=self.mirror, subdir=subdir).first()
        revision: UpstreamRevision | None = state.revision if state is not None else None
        if revision is None or not revision.stored:
            return None
        try:
            return blobs(NAMESPACE).read_bytes(revision.stored)
        except HubError:
            # It is a copy: the upstream has it too.
            return None

    @_own_connection
    def holds(self, records: Sequence[UpstreamRecord]) -> Collection[tuple[str, str]]:
        if self.lazily:
            return [one.key for one in records]
        staging = Staging(self.mirror, only_reads=True) if self.run is None else self.staging
        own = holding.own_unshown(self.mirror)
        found: set[tuple[str, str]] = set()
        rest = []
        for record in records:
            if any(holding.is_of(one, record) for one in own.get(record.key, ())):
                found.add(record.key)
            else:
                rest.append(record)
        for record, file in holding.elsewhere(self.mirror.channel, rest):
            # Another's bytes count in full to each holder; what has a row here is counted already.
            if file.channel_id == self.mirror.channel_id or staging.fits(file.size):
                found.add(record.key)
        return found

    def temporary(self, record: UpstreamRecord) -> Temporary:
        return blobs().temporary(record.size or None)

    def keep(self, batch: Sequence[Fetched]) -> Sequence[Refused]:
        return self.staging.keep(batch)

    @_own_connection
    def settle(self) -> None:
        self.staging.settle()

    @_own_connection
    def publish(self, publication: Publication) -> None:
        self.staging.settle()
        publishing = Publishing(self.mirror, self.run, self.staging, lazily=self.lazily, check=self._check)
        self.revision = publishing.publish(publication)

    def close(self) -> None:
        """Let go of what was kept and not settled."""
        if self._staging is not None:
            self._staging.discard()
