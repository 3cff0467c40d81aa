"""Packs a build in the worker of the heavy lane: from its folder, or from one put together of its lock for this once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from condahub.accounts.quota import room_for
from condahub.engine.protocol import Archive, ArchiveAnswer, ArchiveFormat
from condahub.errors import HubError
from condahub.jobs import services as job_services
from condahub.jobs.context import JobContext, JobReleased
from condahub.storage.blobs import blobs
from environments_app.artifacts import assembling
from environments_app.artifacts.kinds import KINDS, filename_of, require_packable
from environments_app.building import folders
from environments_app.models import ArtifactState, Build, BuildArtifact, BuildState
from environments_app.models.build import MAX_SENTENCE_CHARS

NAMESPACE = "artifacts"
WORKERS = 2
READ_BYTES = 4 * 1024 * 1024
NOT_CACHED = "package_not_cached"


def make(job: JobContext, build_id: int, platform: str) -> dict[str, object]:
    """Make all that is wanted of a build on a platform. Safe to repeat; what fails is said on the artifact, never on the build."""
    build = Build.objects.select_related("environment__organization", "specification", "lock").filter(pk=build_id).first()
    if build is None:
        return {"made": []}
    rows = list(BuildArtifact.objects.filter(build=build, platform=platform, state=ArtifactState.WANTED).order_by("kind"))
    if not rows:
        return {"made": []}
    try:
        _make(job, build, platform, rows)
    except (JobReleased, job_services.LeaseLost):
        # It starts again elsewhere.
        raise
    except HubError as error:
        may_pass = error.status >= 500 and error.code != "storage_full" and job.job.attempts < job.job.max_attempts
        if not may_pass:
            _failed(rows, f"{error.detail} {error.hint}".strip())
        raise
    except BaseException:
        _failed(rows, "It could not be made: the job was cancelled, or something went wrong inside the hub.")
        raise
    return {"made": [row.kind for row in rows]}


def _failed(rows: Sequence[BuildArtifact], sentence: str) -> None:
    for row in rows:
        BuildArtifact.objects.filter(pk=row.pk, state=ArtifactState.WANTED).update(
            state=ArtifactState.FAILED, error=sentence[:MAX_SENTENCE_CHARS]
        )


def _make(job: JobContext, build: Build, platform: str, rows: Sequence[BuildArtifact]) -> None:
    if build.state != BuildState.COMPLETED or build.lock is None or build.environment.deleted_at is not None:
        raise HubError(f"Build {build.number} did not complete.", code="build_not_completed", status=422)
    require_packable(platform)
    work = assembling.Assembly(job, build, platform)
    with _folder() as folder:
        targets: dict[ArchiveFormat, Path] = {}
        for row in rows:
            format_ = KINDS[row.kind].format
            assert format_ is not None
            targets[format_] = folder / f"{build.key}.{format_}"
        answer = _packed(work, targets)
        for row in rows:
            format_ = KINDS[row.kind].format
            assert format_ is not None
            _keep(build, row, targets[format_], answer.sha256[format_], answer.size[format_])
    for warning in answer.warnings:
        job.log(warning, "warning")


def _packed(work: assembling.Assembly, targets: dict[ArchiveFormat, Path]) -> ArchiveAnswer:
    """Pack the build's folder; if it is not there, or its packages are cached no more, of one that is put together for this once."""
    if work.has_folder:
        try:
            return _pack(work, work.prefix, targets)
        except HubError as error:
            if error.code != NOT_CACHED:
                raise
        # Putting it together anew fetches its packages into the cache.
        with work.assembled(compiled=False):
            return _pack(work, work.prefix, targets)
    with work.assembled(compiled=True) as staging:
        return _pack(work, staging, targets)


def _pack(work: assembling.Assembly, folder: Path, targets: dict[ArchiveFormat, Path]) -> ArchiveAnswer:
    answer = work.run(
        Archive(
            name=work.build.environment.name,
            prefix=str(folder),
            baked=str(work.prefix),
            targets={format_: str(path) for format_, path in targets.items()},
            caches=tuple(map(str, work.caches)),
            workers=WORKERS,
        )
    )
    assert isinstance(answer, ArchiveAnswer)
    return answer


def _keep(build: Build, row: BuildArtifact, path: Path, sha256: str, size: int) -> None:
    """Into the store, then on the row: a row that is ready has its bytes."""
    room_for(build.environment.organization, size)
    store = blobs(NAMESPACE)
    with store.temporary(size) as temporary:
        with path.open("rb") as file:
            while piece := file.read(READ_BYTES):
                temporary.write(piece)
        if temporary.sha256 != sha256:
            raise HubError("The packed file changed while it was kept.", code="hash_mismatch", status=500)
        store.keep(temporary)
    kind = KINDS[row.kind]
    BuildArtifact.objects.filter(pk=row.pk).update(
        state=ArtifactState.READY,
        filename=filename_of(kind, build, row.platform),
        content_type=kind.content_type,
        sha256=sha256,
        size=size,
        error="",
    )


@contextmanager
def _folder() -> Iterator[Path]:
    folders.stagings().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="artifact-", dir=folders.stagings()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
