"""What a package file and a subdir may be called (CEP-26)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from condahub.packages.errors import BadFilename, BadSubdir, shown

MAX_PART_CHARS = 64
MAX_FILENAME_CHARS = 211
EXTENSIONS = (".conda", ".tar.bz2")

# Wider than CEP-26 where channels in use are: any run of '.', '_' and '-' inside, and an end with one of them.
# Not wider in case: clients lower what a person asks for, so a package with capitals could never be installed.
# Two underscores in front belong to the client's virtual packages (__glibc, __cuda).
NAME = re.compile(r"(?!__)[a-z0-9_][a-z0-9._-]*")
VERSION = re.compile(r"[a-zA-Z0-9_.+!]+")
BUILD = re.compile(r"[a-zA-Z0-9_.+]+")
SUBDIR = re.compile(r"[a-z0-9]+-[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class PackageFilename:
    """The parts of `<name>-<version>-<build><extension>`; extension is ".conda" or ".tar.bz2"."""

    name: str
    version: str
    build: str
    extension: str

    @property
    def stem(self) -> str:
        return f"{self.name}-{self.version}-{self.build}"

    def __str__(self) -> str:
        return self.stem + self.extension


def split_filename(filename: str) -> PackageFilename:
    """Take a file name apart, or raise BadFilename that says which part is wrong."""
    extension = next((end for end in EXTENSIONS if filename.endswith(end)), None)
    if extension is None:
        raise BadFilename(f"'{shown(filename)}' ends neither in .conda nor in .tar.bz2.")
    if len(filename) > MAX_FILENAME_CHARS:
        raise BadFilename(f"The file name has {len(filename)} characters; at most {MAX_FILENAME_CHARS} are allowed.")
    before, _, build = filename.removesuffix(extension).rpartition("-")
    name, _, version = before.rpartition("-")
    if not (name and version and build):
        raise BadFilename(f"'{shown(filename)}' is not <name>-<version>-<build>{extension}.")
    for what, text, pattern in (("name", name, NAME), ("version", version, VERSION), ("build", build, BUILD)):
        _check_part(what, text, pattern)
    return PackageFilename(name, version, build, extension)


def _check_part(what: str, text: str, pattern: re.Pattern[str]) -> None:
    if len(text) > MAX_PART_CHARS:
        raise BadFilename(f"The {what} has {len(text)} characters; at most {MAX_PART_CHARS} are allowed.")
    if pattern.fullmatch(text) is None:
        raise BadFilename(f"'{shown(text)}' can't be the {what} of a package.")


def check_subdir(subdir: str) -> str:
    """Return the subdir, or raise BadSubdir."""
    if len(subdir) > MAX_PART_CHARS or (subdir != "noarch" and SUBDIR.fullmatch(subdir) is None):
        raise BadSubdir(f"'{shown(subdir)}' is not a subdir.")
    return subdir
