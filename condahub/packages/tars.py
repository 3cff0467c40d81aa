"""Every member of a package's tar, looked at as the stream goes by; nothing is ever written to disk."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, cast

from condahub.packages.errors import PackageAmbiguous, PackageBomb, PackageDamaged, PackageMember, PackageTruncated, shown
from condahub.packages.limits import Meter
from condahub.packages.paths import Links, safe_parts
from condahub.packages.streams import TAR_BLOCK_BYTES, ForwardStream

MAX_EXTENSION_BYTES = 2**20
MAX_EXTENSIONS_A_MEMBER = 8
EXTENSION_TYPES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
TAKEN_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)
FOR_ALL_MEMBERS_REFUSED = {"path", "linkpath", "size"}

# What conda runs when it installs or removes; noarch python packages keep theirs in python-scripts.
LINK_SCRIPT = re.compile(r"(?:bin|scripts|python-scripts)/\.[^/]+-(?:pre-link|post-link|pre-unlink)\.(?:sh|bat)")


def _refuse_sparse(*_: object) -> NoReturn:
    raise PackageMember("The package holds a sparse member, which clients read in different ways.")


class _Header(tarfile.TarInfo):
    """A header that is refused before tarfile would read without bound: into memory, or in a recursion."""

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = staticmethod(_refuse_sparse)

    def _proc_member(self, tar: _Tar) -> tarfile.TarInfo:
        if self.size < 0:
            raise PackageMember("A member has a size below zero.")
        if self.type in EXTENSION_TYPES:
            tar.extensions += 1
            if self.size > MAX_EXTENSION_BYTES or tar.extensions > MAX_EXTENSIONS_A_MEMBER:
                raise PackageBomb("A member has too much of a header.")
        return cast("tarfile.TarInfo", super()._proc_member(tar))  # type: ignore[misc]


class _Tar(tarfile.TarFile):
    tarinfo = _Header
    extensions = 0
    members: list[tarfile.TarInfo]


class Walk:
    """What is gathered over all tars of one package.

    `wanted` maps the exact paths of documents to the most bytes each may have; `documents` holds their bytes after.
    """

    def __init__(self, meter: Meter, wanted: Mapping[str, int]) -> None:
        self.meter = meter
        self.wanted = dict(wanted)
        self.documents: dict[str, bytes] = {}
        self.links = Links(meter.limits)
        self.files = 0
        self.file_bytes = 0
        self.has_link_scripts = False

    def tar(self, stream: ForwardStream, what: str, *, documents: bool = True) -> None:
        """Look at all members of one tar; `documents` says whether this tar is where the documents belong."""
        try:
            for member in self._members(stream, what):
                self._member(stream, member, documents=documents)
        except RecursionError as error:
            raise PackageBomb("A member has too much of a header.") from error
        except (tarfile.TarError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, EOFError) as error:
            raise PackageDamaged(f"{what} is not a sound tar archive: {shown(str(error))}.") from error

    def _members(self, stream: ForwardStream, what: str) -> Iterator[tarfile.TarInfo]:
        tar = _Tar(fileobj=cast("Any", stream), mode="r", encoding="utf-8", errors="surrogateescape")
        while (member := tar.next()) is not None:
            tar.members.clear()
            tar.extensions = 0
            self.meter.member()
            if FOR_ALL_MEMBERS_REFUSED & tar.pax_headers.keys():
                raise PackageAmbiguous(f"{what} gives all its members one path or size.")
            yield member
        # tarfile takes a broken header for the end, and some clients read on after one empty block.
        if len(stream.last_block) not in (0, TAR_BLOCK_BYTES):
            raise PackageTruncated(f"{what} ends too early.")
        if stream.last_block.strip(b"\0"):
            raise PackageDamaged(f"{what} is not a sound tar archive: a member's header is broken.")
        if any(piece.strip(b"\0") for piece in stream.rest()):
            raise PackageAmbiguous(f"{what} holds something after the end of its tar archive.")

    def _member(self, stream: ForwardStream, member: tarfile.TarInfo, *, documents: bool) -> None:
        parts = safe_parts(member.name, self.meter.limits)
        path = "/".join(parts)
        if member.type not in TAKEN_TYPES:
            raise PackageMember(f"'{shown(path)}' is neither a plain file, a directory nor a link.")
        if any(key.startswith("GNU.sparse") for key in member.pax_headers):
            _refuse_sparse()
        if member.size < 0 or (member.size and not member.isreg()):
            raise PackageMember(f"'{shown(path)}' has a size that its type does not allow.")
        if not member.isdir() and (not parts or member.name.endswith("/")):
            raise PackageMember(f"'{shown(member.name)}' can't be the name of a file.")
        self._check_document_name(path, member, documents=documents)
        self.links.member(parts)
        if member.issym():
            self.links.symlink(parts, member.linkname)
        elif member.islnk():
            self.links.hardlink(parts, member.linkname)
        if not member.isdir():
            self.files += 1
            self.file_bytes += member.size
            self.has_link_scripts = self.has_link_scripts or LINK_SCRIPT.fullmatch(path.casefold()) is not None
        if path in self.wanted:
            self._keep(stream, path, member.size)

    def _check_document_name(self, path: str, member: tarfile.TarInfo, *, documents: bool) -> None:
        # On Windows and macOS INFO/index.json would be written over info/index.json.
        folded = path.casefold()
        if folded not in self.wanted:
            return
        if folded != path or path in self.documents or not documents:
            raise PackageAmbiguous(f"The package holds {folded} more than once.")
        if not member.isreg():
            raise PackageMember(f"{path} must be a plain file.")

    def _keep(self, stream: ForwardStream, path: str, size: int) -> None:
        most = self.wanted[path]
        if size > most:
            raise PackageBomb(f"{path} has {size} bytes; at most {most} are read.")
        data = stream.read(size)
        if len(data) != size:
            raise PackageTruncated(f"{path} ends too early.")
        self.documents[path] = data

    def settle(self) -> None:
        """Once all tars were walked: the checks that need every member."""
        self.links.settle()
