"""Why a package is refused: one class, code and hint for each kind of trouble, all of them BadPackage."""

from __future__ import annotations

from condahub.errors import Invalid, Unprocessable

SHOWN_CHARS = 120


def shown(text: str) -> str:
    """A name out of an archive as one short printable line, safe for a log, a terminal and a page."""
    head = text[:SHOWN_CHARS]
    line = "".join(char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode("ascii") for char in head)
    return line + ("..." if len(text) > SHOWN_CHARS else "")


class BadPackage(Invalid):
    """The bytes are not a package this hub takes (400)."""

    code = "package_bad"
    hint = "Build the package again with conda-build or rattler-build and upload the new file."


class PackageWrongType(BadPackage):
    """The bytes are of another type than the file name says."""

    code = "package_wrong_type"
    hint = "Upload a .conda or .tar.bz2 file as its builder made it; don't rename one into the other."


class PackageTruncated(BadPackage):
    """The file ends too early."""

    code = "package_truncated"
    hint = "The upload or the file was cut short. Upload the whole file again."


class PackageDamaged(BadPackage):
    """A checksum or a compressed stream is broken."""

    code = "package_damaged"
    hint = "Some bytes were changed on the way. Upload the file again, or build it again."


class PackageNotConda(BadPackage):
    """An archive, but not one laid out as a conda package."""

    code = "package_not_conda"
    hint = "A .conda is a zip of metadata.json, one info- and one pkg- .tar.zst; a .tar.bz2 holds info/index.json."


class PackageAmbiguous(BadPackage):
    """Two clients could read two different packages out of these bytes."""

    code = "package_ambiguous"
    hint = "Repack it so that each thing is there once and nothing follows the end, for example with 'cph transmute'."


class PackageTraversal(BadPackage):
    """A path or link leads out of the package's own folder."""

    code = "package_traversal"
    hint = "Every path and link target must be relative and stay inside the package."


class PackageMember(BadPackage):
    """A member that has no place in a package: a device, a pipe, a name that no file system takes."""

    code = "package_member"
    hint = "A package may hold plain files, directories, and links between them, with UTF-8 names."


class PackageBomb(BadPackage):
    """It unpacks to more than this hub reads: bytes, members or names."""

    code = "package_bomb"
    hint = "Split the package or leave out what is not needed; the hub limits how much a package may unpack to."


class PackageSlow(BadPackage):
    """Reading took longer than the time limit."""

    code = "package_slow"
    hint = "Upload it again when the hub is less busy; if that fails, make the package smaller."


class PackageMetadata(BadPackage):
    """A file under info/ is not what clients can read."""

    code = "package_metadata"
    hint = "Look at the package's info/ folder, mend the recipe and build it again."


class PackageIdentity(BadPackage):
    """The file name or the folder says something else than info/index.json."""

    code = "package_identity"
    hint = "Upload it under the name and subdir that its info/index.json gives: <name>-<version>-<build>."


class BadFilename(Unprocessable):
    """Not the file name of a conda package (422)."""

    code = "invalid_filename"
    hint = "A package is called <name>-<version>-<build>.conda or <name>-<version>-<build>.tar.bz2 (CEP-26)."


class BadSubdir(Unprocessable):
    """Not the name of a channel's platform folder (422)."""

    code = "invalid_subdir"
    hint = "Use 'noarch' or <system>-<machine>, for example linux-64 or osx-arm64 (CEP-26)."


_KINDS: list[type[BadPackage]] = [BadPackage, *BadPackage.__subclasses__()]
BY_CODE = {kind.code: kind for kind in _KINDS}
