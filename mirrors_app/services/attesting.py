"""Brings what attests a mirror's packages: sidecars that the upstream's index names (CEP-50), else, where a rule asks, what lies beside."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db.models import F, Q
from django.utils import timezone

from channels_app.attestations import MAX_SIDECAR_BYTES
from channels_app.index.publish import publish_dirty
from channels_app.models import PackageFile
from channels_app.models.files import OCCUPYING_STATES
from channels_app.policies.view import judge_of
from channels_app.services import attesting
from condahub.jobs.context import JobCancelled, JobContext
from mirrors_app.core.errors import Cancelled, UpstreamDenied, UpstreamError, UpstreamMissing, UpstreamTooLarge, WindowClosed
from mirrors_app.core.fetch import Fetcher
from mirrors_app.core.records import Refused
from mirrors_app.core.run import RunReport
from mirrors_app.models import Location, Mirror, MirrorMode, MirrorSubdir, WantedSidecar
from mirrors_app.services.configuring import credentials_by_url, fetch_settings
from mirrors_app.services.coring import Beside

CHUNK_FILES = 200
WORKERS = 8
# What could not be had is asked for again by the first run after these.
AGAIN_HOURS = 24
# Of packages whose records name no sidecar, so many are looked for in a run: most upstreams have none of any.
MAX_BESIDE = 2000
BESIDE = ".v0.sigs"


class _Answer(NamedTuple):
    """content: of the sidecar; else why there is none, for_now: so that the next run asks again."""

    content: bytes = b""
    reason: str = ""
    for_now: bool = False


def bring(context: JobContext, mirror: Mirror, report: RunReport) -> int:
    """After a run: how many sidecars came, shown in a revision of their own. Those that may not be had are told in the report,
    which is partial then.

    Lazy mirrors bring them only where a rule asks: their index alone is here.
    """
    asks = judge_of(mirror.channel).needs_attestations
    if mirror.mode == MirrorMode.LAZY and not asks:
        return 0
    if asks:
        _look_beside(mirror)
    count = 0
    failed: list[Refused] = []
    ordered = _due(mirror)
    try:
        for start in range(0, len(ordered), CHUNK_FILES):
            chunk, before = ordered[start : start + CHUNK_FILES], len(failed)
            count += _bring(context, mirror, chunk, failed)
            if len(failed) - before == len(chunk):
                # The upstream is down, or the window has closed.
                break
    except JobCancelled:
        # What the run published stands; the next one goes on.
        context.log("The rest of the attestations is left to the next run.")
    if count:
        publish_dirty(mirror.channel_id)
        context.log(f"{count} attestations were brought.")
    _tell(mirror, report, failed)
    return count


def _due(mirror: Mirror) -> list[int]:
    """Those that the index names first; of the others as many as a run asks for, the longest unasked first."""
    never_or_long_ago = Q(asked_at=None) | Q(asked_at__lt=timezone.now() - timedelta(hours=AGAIN_HOURS))
    due = WantedSidecar.objects.filter(never_or_long_ago, mirror=mirror, file__state__in=OCCUPYING_STATES).values_list("pk", flat=True)
    beside = due.filter(sha256="").order_by(F("asked_at").asc(nulls_first=True), "pk")
    return [*due.exclude(sha256="").order_by("pk"), *beside[:MAX_BESIDE]]


def _look_beside(mirror: Mirror) -> None:
    """Ask for what may lie beside packages that are hidden and whose records name nothing (prefix.dev's way)."""
    folders = dict(MirrorSubdir.objects.filter(mirror=mirror).values_list("subdir", "base_url"))
    known = WantedSidecar.objects.filter(mirror=mirror).values("file")
    files = PackageFile.objects.hidden().filter(channel=mirror.channel_id, mirrored__mirror=mirror).exclude(sha256="")
    files = files.exclude(record__contains=f'"{attesting.KEY}"').exclude(pk__in=known).order_by("-pk")
    found = list(files.values_list("pk", "subdir", "filename")[:MAX_BESIDE])
    placed = dict(Location.objects.filter(file__in=[pk for pk, _, _ in found]).values_list("file_id", "url"))
    beside = {pk: placed.get(pk) or folders.get(subdir, "") + filename.replace("+", "%2B") for pk, subdir, filename in found}
    made = [WantedSidecar(mirror=mirror, file_id=pk, url=url + BESIDE) for pk, url in beside.items() if "://" in url]
    WantedSidecar.objects.bulk_create(made, batch_size=CHUNK_FILES, ignore_conflicts=True)


def _bring(context: JobContext, mirror: Mirror, pks: Sequence[int], failed: list[Refused]) -> int:
    wanted = list(WantedSidecar.objects.select_related("file").filter(pk__in=pks))
    with fetch_settings(mirror) as settings:
        credentials = credentials_by_url(mirror)

        async def ask_all(stopped: Callable[[], bool]) -> dict[int, _Answer]:
            def check() -> None:
                if stopped():
                    raise Cancelled("The run was cancelled.")

            async with Fetcher(settings, credentials, check=check) as fetcher:
                return await _ask_all(fetcher, wanted)

        answers = Beside(lambda watch, stopped: ask_all(stopped)).run(context)
    brought = {one.file_id: answers[one.pk].content for one in wanted if answers[one.pk].content}
    refused = attesting.attach(channel=mirror.channel, brought=brought, by="mirror") if brought else {}
    came = [one.pk for one in wanted if one.file_id in brought and one.file_id not in refused]
    WantedSidecar.objects.filter(pk__in=came).delete()
    now = timezone.now()
    for one in wanted:
        answer, reason = answers[one.pk], refused.get(one.file_id) or answers[one.pk].reason
        if answer.for_now:
            failed.append(_refused(one.file, reason))
        elif one.pk not in came:
            WantedSidecar.objects.filter(pk=one.pk).update(asked_at=now, reason=reason[:500])
    return len(came)


async def _ask_all(fetcher: Fetcher, wanted: Sequence[WantedSidecar]) -> dict[int, _Answer]:
    answers: dict[int, _Answer] = {}
    waiting = iter(wanted)

    async def work() -> None:
        for one in waiting:
            answers[one.pk] = await _ask(fetcher, one)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(WORKERS, len(wanted))):
            group.create_task(work())
    return answers


async def _ask(fetcher: Fetcher, wanted: WantedSidecar) -> _Answer:
    try:
        content = (await fetcher.read(wanted.url, max_bytes=MAX_SIDECAR_BYTES)).body or b""
    except (Cancelled, WindowClosed) as error:
        return _Answer(reason=error.detail, for_now=True)
    except (UpstreamMissing, UpstreamDenied):
        return _Answer(reason="The upstream names one that it does not give." if wanted.sha256 else "")
    except UpstreamTooLarge as error:
        return _Answer(reason=error.detail)
    except UpstreamError as error:
        return _Answer(reason=error.detail, for_now=True)
    if wanted.sha256 and hashlib.sha256(content).hexdigest() != wanted.sha256:
        return _Answer(reason="It came with another sha256 than the index has.")
    return _Answer(content, reason="" if content else "It is empty.")


def _tell(mirror: Mirror, report: RunReport, failed: Sequence[Refused]) -> None:
    lasting = WantedSidecar.objects.filter(mirror=mirror, file__state__in=OCCUPYING_STATES).exclude(reason="").select_related("file")
    refused = [*failed, *(_refused(one.file, one.reason) for one in lasting)]
    if refused:
        report.refused = sorted({*report.refused, *refused})
        report.status = "partial" if report.status == "ok" else report.status


def _refused(file: PackageFile, reason: str) -> Refused:
    return Refused(file.subdir, file.filename, f"What attests it was not brought: {reason}")
