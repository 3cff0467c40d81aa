"""Files of released audit events: one JSON object a line, gzip, each with all that its hash is over, so that a file proves itself.

A file's name says its first and last number. What it is made from gives the same content each time, so that a run which was
killed behind it is simply repeated.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from condahub.audit import chain
from condahub.audit.models import AuditEvent
from condahub.errors import Conflict
from condahub.storage.disk import sync_folder

SUFFIX = ".jsonl.gz"
# Numbers of a fixed width, so that a listing is in the chain's order.
NUMBER_DIGITS = 12
READ_BYTES = 1 << 20
DRAFT_SUFFIX = ".part"
# What a killed run left lying; a part takes seconds.
STALE_DRAFT_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Proof:
    """What a file turned out to hold. problem: '' when it is whole; known: whether this hub's audit names it, with these bytes."""

    path: Path
    first: int = 0
    last: int = 0
    count: int = 0
    problem: str = ""
    known: bool = False


def name_of(first: int, last: int) -> str:
    return f"{first:0{NUMBER_DIGITS}d}-{last:0{NUMBER_DIGITS}d}{SUFFIX}"


def line_of(event: AuditEvent) -> bytes:
    told = {**chain.content_of(event), "hash": event.hash}
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


class Draft:
    """A file being written under another name, readable by its owner alone; `finish` makes it durable and gives it its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(folder.parent)
        for stale in folder.glob(f".*{DRAFT_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - stale.stat().st_mtime > STALE_DRAFT_SECONDS:
                    stale.unlink()
        # A name of its own: two runs never write into one file.
        number, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=DRAFT_SUFFIX)
        self._path = Path(name)
        self._raw = os.fdopen(number, "wb")
        # Neither a name nor a time in the header: the same events give the same bytes.
        self._packed = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, mtime=0)
        self._content = hashlib.sha256()

    def add(self, event: AuditEvent) -> None:
        line = line_of(event)
        self._content.update(line)
        self._packed.write(line)

    def discard(self) -> None:
        """Harmless after `finish`."""
        with contextlib.suppress(OSError, ValueError):
            self._packed.close()
        with contextlib.suppress(OSError):
            self._raw.close()
        self._path.unlink(missing_ok=True)

    def finish(self, name: str) -> tuple[Path, str]:
        """Its place and the sha256 of its bytes. Raises Conflict rather than replace a file that says something else."""
        self._packed.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        place = self._folder / name
        if place.exists() and _content_sha256(place) != self._content.hexdigest():
            self.discard()
            raise Conflict(
                f"{place} is there already and says something else, so nothing was released.",
                code="audit_file_differs",
                hint="Was the database set back to an older backup? Keep that file at another place: it may hold what the database lost.",
            )
        os.replace(self._path, place)
        sync_folder(self._folder)
        return place, _sha256(place)


def left_over(folder: Path, first: int) -> int | None:
    """The last number of a file that begins so and was written by a run that went no further."""
    found = sorted(folder.glob(f"{first:0{NUMBER_DIGITS}d}-*{SUFFIX}"))
    number = found[0].name.removesuffix(SUFFIX).partition("-")[2] if found else ""
    return int(number) if number.isdecimal() else None


def prove(paths: Sequence[Path]) -> list[Proof]:
    """Each file by itself, one after the other in the chain's order, and against what this hub's audit says of them."""
    proofs: list[Proof] = []
    follows: tuple[int, str] | None = None
    released = chain.released()
    for path in sorted(paths, key=lambda one: (one.name, str(one))):
        first = last = count = 0
        sealed = problem = ""
        try:
            for content, sealed_as in _lines(path):
                if not count:
                    first = content["sequence"]
                    problem = _problem_of_seam(content, follows)
                expected, previous = (last + 1, sealed) if count else (first, content["previous_hash"])
                problem = problem or chain.problem_of(content, sealed_as, expected=expected, previous=previous)
                if problem:
                    break
                last, sealed, count = content["sequence"], sealed_as, count + 1
        except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
            problem = f"It cannot be read to its end: {count} events were right."
        if not problem and not count:
            problem = "It holds no event."
        if not problem and last == released.sequence and sealed != released.hash:
            problem = f"Its last event is not the one that this hub released as number {last}."
        told = _told_of(path)
        if not problem and told and told.get("sha256") != _sha256(path):
            problem = "Its bytes are not those that this hub wrote."
        proofs.append(Proof(path, first, last, count, problem, bool(told)))
        follows = (last, sealed) if count else None
    return proofs


def _problem_of_seam(content: dict[str, Any], follows: tuple[int, str] | None) -> str:
    """Whether a file begins where the one before it ends; the very first event of a hub follows nothing."""
    if follows is None:
        return "" if content["sequence"] != 1 or content["previous_hash"] == "" else "Event number 1 does not follow the one before it."
    number, sealed = follows
    if content["sequence"] != number + 1:
        return f"Event number {number + 1} is in none of these files."
    return "" if content["previous_hash"] == sealed else f"Event number {number + 1} does not follow the one before it."


def _told_of(path: Path) -> dict[str, Any]:
    found = AuditEvent.objects.filter(action=chain.RELEASE_ACTION, target=path.name).order_by("-id").values_list("details", flat=True)
    return dict(found.first() or {})


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """What each line says in the order that is hashed, and the hash it carries."""
    with gzip.open(path, "rb") as file:
        for line in file:
            told = json.loads(line)
            if not isinstance(told, dict) or set(told) != {*chain.CONTENT, "hash"}:
                raise ValueError
            yield {name: told[name] for name in chain.CONTENT}, str(told["hash"])


def _content_sha256(path: Path) -> str:
    try:
        with gzip.open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(READ_BYTES):
                digest.update(block)
            return digest.hexdigest()
    except (OSError, EOFError, zlib.error):
        return ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
