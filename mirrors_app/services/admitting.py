"""What was asked for and is not mirrored: says why a mirror does not have it, lets it in for a while, and takes that back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import zstandard
from django.db import transaction
from django.utils import timezone

from channels_app.models import Channel, Missing, PackageRequest, RequestState
from channels_app.policies import patterns
from condahub.accounts.policy import SYSTEM, Actor, Permission, can
from condahub.audit.services import record as audit
from condahub.errors import HubError
from condahub.storage.blobs import blobs
from mirrors_app.core.errors import BadConfiguration
from mirrors_app.core.filters import Filters
from mirrors_app.filling.publishing import NAMESPACE, decode_state
from mirrors_app.models import CredentialKind, Mirror, MirrorMode, MirrorRefusal, MirrorSubdir, RunTrigger, Upstream
from mirrors_app.services import runs

# A mirror that people widen by more than this many requests has the wrong filters.
MAX_ADMITTED = 500
PIECE_BYTES = 2**20
_PACKED = frozenset({"zst"})
_PLAIN = frozenset({"json"})


def explain_missing(channel: Channel, spec: str, actor: Actor) -> str:
    """`Missing.FILTERED` where the mirror's filters leave out what its upstream has, as far as is known here; else "".

    Nobody learns what an upstream has that asks for credentials but those who may read the mirror.
    """
    mirror = Mirror.objects.filter(channel=channel).first()
    name = patterns.name_of(spec)
    if mirror is None or not name or not _chooses(mirror):
        return ""
    secret = Upstream.objects.filter(mirror=mirror).exclude(credential_kind=CredentialKind.NONE).exists()
    if secret and not can(actor, Permission.MIRROR_READ, mirror):
        return ""
    if MirrorRefusal.objects.filter(mirror=mirror, filename__startswith=f"{name}-").exists():
        # It was let in, and could not be brought.
        return ""
    return Missing.FILTERED if any(_has(state, name) for state in _states(mirror)) else ""


def _chooses(mirror: Mirror) -> bool:
    """Whether anything can be left out by filters."""
    return mirror.mode in (MirrorMode.FILTERED, MirrorMode.LAZY) and bool(mirror.filters)


def _states(mirror: Mirror) -> Iterator[MirrorSubdir]:
    yield from MirrorSubdir.objects.select_related("revision").filter(mirror=mirror)


def _has(state: MirrorSubdir, name: str) -> bool:
    """Whether the index that a subdir was last brought to has this name: by its list of names, else by looking through its text."""
    names = decode_state(bytes(state.state)).shards
    if names:
        return name in names
    revision = state.revision
    if revision is None or not revision.stored or revision.kind not in _PACKED | _PLAIN:
        return False
    wanted = (f'"name":"{name}"'.encode(), f'"name": "{name}"'.encode())
    overlap = b""
    try:
        with blobs(NAMESPACE).open(revision.stored) as file:
            source = zstandard.ZstdDecompressor().stream_reader(file) if revision.kind in _PACKED else file
            while piece := source.read(PIECE_BYTES):
                text = overlap + piece
                if any(one in text for one in wanted):
                    return True
                overlap = text[-len(wanted[1]) :]
    except (HubError, OSError, zstandard.ZstdError):
        # A copy that is kept for a while; the upstream has it too.
        return False
    return False


def admit_approved(request: PackageRequest) -> None:
    """Hear of an answer, in its transaction: an approved package that a mirror does not have may enter until the approval ends, and
    a run is asked for.
    """
    wanted = request.state == RequestState.APPROVED and request.missing in (Missing.FILTERED, Missing.NOT_MIRRORED)
    mirror = Mirror.objects.existing().select_for_update(of=("self",)).filter(channel=request.channel).first() if wanted else None
    if mirror is None or mirror.mode == MirrorMode.LOCK:
        # What a lock does not name has no record here: its keeper gives another lock.
        return
    if _chooses(mirror) and request.expires_at is not None and _is_spec(request.spec):
        others = [one for one in mirror.admitted if one["request"] != request.pk][-(MAX_ADMITTED - 1) :]
        mirror.admitted = [*others, {"spec": request.spec, "until": request.expires_at.isoformat(), "request": request.pk}]
        mirror.save(update_fields=["admitted"])
        _audit(mirror, "mirror.admit", {"spec": request.spec, "until": request.expires_at.isoformat(), "request": request.pk})
    _ask_for_run(mirror, request.answered_by)


def end_admissions() -> list[int]:
    """Take back what has run out, and ask those mirrors to run; their ids."""
    now, ended = timezone.now(), []
    # Few mirrors admit anything; the JSON can't be asked alike on every database.
    for pk in Mirror.objects.existing().exclude(admitted=[]).values_list("pk", flat=True):
        with transaction.atomic():
            mirror = Mirror.objects.select_for_update(of=("self",)).select_related("channel__organization").get(pk=pk)
            over = [one for one in mirror.admitted if datetime.fromisoformat(one["until"]) <= now]
            if not over:
                continue
            mirror.admitted = [one for one in mirror.admitted if one not in over]
            mirror.save(update_fields=["admitted"])
            _audit(mirror, "mirror.admission_ended", {"specs": [one["spec"] for one in over]})
            _ask_for_run(mirror, "schedule")
            ended.append(pk)
    return ended


def _is_spec(spec: str) -> bool:
    """A hash names bytes that no index was asked for."""
    try:
        Filters(admitted=(spec,))
    except BadConfiguration:
        return False
    return not patterns.is_sha256(spec)


def _ask_for_run(mirror: Mirror, label: str) -> None:
    if mirror.mode == MirrorMode.LAZY:
        runs.enqueue_refresh(mirror)
    elif not mirror.paused:
        runs.enqueue_sync(mirror, trigger=RunTrigger.PERSON, actor_label=label)


def _audit(mirror: Mirror, action: str, details: dict[str, object]) -> None:
    channel = mirror.channel
    audit(
        actor=SYSTEM,
        action=action,
        target=f"channel:{channel.name}",
        organization_id=channel.organization_id,
        details=details,
    )
