"""Which artifacts there are: written while they are downloaded or made by a job, for a platform or for all."""

from __future__ import annotations

from dataclasses import dataclass

from condahub.engine.protocol import ArchiveFormat
from condahub.errors import NotFound, Unprocessable
from environments_app.building import folders
from environments_app.models import ArtifactKind, Build

# Not Windows: its launchers and activation would have to be made and written anew by programs that cannot be tried here.
PACKABLE = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64")


@dataclass(frozen=True)
class Kind:
    """extension: of the downloaded file; per_platform: there is one for each; format: what the engine packs, None for texts."""

    kind: ArtifactKind
    extension: str
    content_type: str
    per_platform: bool = False
    needs_lock: bool = True
    format: ArchiveFormat | None = None

    @property
    def is_packed(self) -> bool:
        """Whether a job makes it."""
        return self.format is not None


KINDS: dict[str, Kind] = {
    one.kind.value: one
    for one in (
        Kind(ArtifactKind.SPECIFICATION, "yml", "application/yaml; charset=utf-8", needs_lock=False),
        Kind(ArtifactKind.PINNED, "yml", "application/yaml; charset=utf-8", per_platform=True),
        Kind(ArtifactKind.PIXI_LOCK, "lock", "application/yaml; charset=utf-8"),
        Kind(ArtifactKind.CONDA_LOCK, "yml", "application/yaml; charset=utf-8"),
        Kind(ArtifactKind.EXPLICIT, "txt", "text/plain; charset=utf-8", per_platform=True),
        Kind(ArtifactKind.SBOM, "cdx.json", "application/vnd.cyclonedx+json; version=1.6", per_platform=True),
        Kind(ArtifactKind.SBOM_SPDX, "spdx.json", "application/spdx+json", per_platform=True),
        Kind(ArtifactKind.LOG, "log", "text/plain; charset=utf-8", needs_lock=False),
        Kind(ArtifactKind.ARCHIVE, "tar.gz", "application/gzip", per_platform=True, format="tar.gz"),
        Kind(ArtifactKind.ARCHIVE_ZSTD, "tar.zst", "application/zstd", per_platform=True, format="tar.zst"),
        Kind(ArtifactKind.INSTALLER, "sh", "application/x-shellscript", per_platform=True, format="sh"),
    )
}


def kind_named(word: str) -> Kind:
    """Raises NotFound."""
    try:
        return KINDS[word]
    except KeyError:
        raise NotFound(f"There is no artifact '{word[:60]}'.", code="no_such_artifact", hint=f"One of {', '.join(KINDS)}.") from None


def platforms_of(build: Build) -> list[str]:
    """The platforms of a build, this machine's first."""
    here = folders.current_platform()
    return sorted(build.request.get("platforms", []), key=lambda subdir: (subdir != here, subdir))


def platform_of(kind: Kind, build: Build, asked: str) -> str:
    """The platform that is meant: the one asked for, else the first; '' for what is the same on all. Raises NotFound."""
    if not kind.per_platform:
        if asked:
            raise NotFound(f"'{kind.kind.value}' is one file for all platforms.", code="no_such_artifact", hint="Leave the platform out.")
        return ""
    known = platforms_of(build)
    if asked and asked not in known:
        raise NotFound(f"Build {build.number} is not for '{asked[:40]}'.", code="no_such_platform", hint=f"It is for {', '.join(known)}.")
    if not known:
        raise NotFound(f"Build {build.number} is for no platform.", code="no_such_platform")
    return asked or known[0]


def require_packable(platform: str) -> None:
    """Raises Unprocessable for a platform whose archives can't be made here, with what to do."""
    if platform in PACKABLE:
        return
    raise Unprocessable(
        f"No archives and installers are made for {platform}, only for {', '.join(PACKABLE)}.",
        code="platform_not_packable",
        hint="Use the lock files there: 'condahub env pull', pixi.lock, conda-lock, or the explicit file with conda.",
    )


def filename_of(kind: Kind, build: Build, platform: str) -> str:
    """What the file is called when it is downloaded."""
    if kind.kind == ArtifactKind.PIXI_LOCK:
        return "pixi.lock"
    if kind.kind == ArtifactKind.CONDA_LOCK:
        return "conda-lock.yml"
    if kind.kind == ArtifactKind.SPECIFICATION and kind.extension == "yml":
        return "environment.yml"
    name = f"{build.environment.name}-{build.number}"
    return f"{name}-{platform}.{kind.extension}" if platform else f"{name}.{kind.extension}"
