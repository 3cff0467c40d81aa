"""Fetches wheels through the guarded proxy, each checked against its hash before it counts."""

from __future__ import annotations

import hashlib
import time
import zipfile
from collections.abc import Mapping
from email.parser import HeaderParser
from pathlib import Path
from types import MappingProxyType

import httpx
from packaging.utils import canonicalize_name

from condahub.engine.records import PypiRecord
from condahub.engine.wheels import WheelRefused, read_wheel
from environments_app.pip.protocol import Fetched
from environments_app.pip.resolve import Chosen, PipFailed

TRIES = 3
PAUSE_SECONDS = 1.0
TIMEOUT_SECONDS = 60.0


class Fetcher:
    """Wheels into a folder, at most `max_bytes` of all of them; what several platforms share is fetched once."""

    def __init__(self, *, proxy: str, folder: Path, max_bytes: int, known: Mapping[str, str] = MappingProxyType({})) -> None:
        self._client = httpx.Client(proxy=proxy, trust_env=False, follow_redirects=True, timeout=TIMEOUT_SECONDS)
        self._folder = folder
        self._left_bytes = max_bytes
        self._known = known
        self._by_address: dict[str, tuple[PypiRecord, Fetched]] = {}

    @property
    def fetched(self) -> tuple[Fetched, ...]:
        """Each wheel once."""
        return tuple({one.sha256: one for _, one in self._by_address.values()}.values())

    def close(self) -> None:
        self._client.close()

    def fetch(self, chosen: Chosen) -> PypiRecord:
        """The record of a wheel that is now here, and is what it should be. Raises PipFailed, WheelRefused."""
        known = self._by_address.get(chosen.address)
        if known is None:
            path, sha256, size = self._known_file(chosen) or self._download(chosen)
            record = record_of(path, chosen, sha256, size)
            one = _fetched(record, chosen, path, sha256, size)
            known = self._by_address[chosen.address] = (record, one)
        return known[0]

    def fetch_aside(self, chosen: Chosen) -> tuple[PypiRecord, Fetched]:
        """The same of a wheel that only building takes: it is not among those that were fetched."""
        path, sha256, size = self._download(chosen)
        record = record_of(path, chosen, sha256, size)
        return record, _fetched(record, chosen, path, sha256, size)

    def fetch_source(self, filename: str, address: str, sha256: str) -> tuple[Path, str]:
        """(the file of a source distribution, its sha256). sha256: that its index promises, '' where it does not."""
        path, digest, _ = self._download(Chosen(filename, "", filename, address, sha256))
        return path, digest

    def _known_file(self, chosen: Chosen) -> tuple[Path, str, int] | None:
        """The wheel where the organization keeps it, if its bytes are still the right ones."""
        path = Path(self._known[chosen.sha256]) if chosen.sha256 in self._known else None
        if path is None or not path.is_file():
            return None
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return (path, digest, path.stat().st_size) if digest == chosen.sha256 else None

    def _download(self, chosen: Chosen) -> tuple[Path, str, int]:
        part = self._folder / f"{len(self._by_address)}.part"
        for attempt in range(TRIES):
            try:
                digest, size = self._stream(chosen, part)
            except httpx.HTTPError as error:
                if attempt == TRIES - 1:
                    raise PipFailed(f"The {chosen.what} {chosen.filename} can't be fetched.", code="wheel_unreachable") from error
                time.sleep(PAUSE_SECONDS)
                continue
            if chosen.sha256 and digest != chosen.sha256:
                raise WheelRefused(
                    f"The {chosen.what} {chosen.filename} is not what its index promises: the sha256 differs.", code="hash_mismatch"
                )
            path = self._folder / f"{digest}.whl"
            part.replace(path)
            self._left_bytes -= size
            return path, digest, size
        raise AssertionError("unreachable")

    def _stream(self, chosen: Chosen, part: Path) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        with self._client.stream("GET", chosen.address, headers={"Accept-Encoding": "identity"}) as response, part.open("wb") as file:
            if response.is_client_error:
                raise PipFailed(
                    f"The {chosen.what} {chosen.filename} is not to be had: its index answers {response.status_code}.", code="wheel_missing"
                )
            response.raise_for_status()
            for piece in response.iter_raw():
                size += len(piece)
                if size > self._left_bytes:
                    raise PipFailed("The wheels take more bytes than the environment may.", code="environment_too_large")
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest(), size


def _fetched(record: PypiRecord, chosen: Chosen, path: Path, sha256: str, size: int) -> Fetched:
    return Fetched(
        sha256=sha256,
        filename=chosen.filename,
        name=record.name,
        version=record.version,
        size=size,
        address=chosen.address,
        path=str(path),
    )


def record_of(path: Path, chosen: Chosen, sha256: str, size: int) -> PypiRecord:
    """As the lock has it; its needs are those that the wheel itself names."""
    record = PypiRecord(name=chosen.name, version=chosen.version, filename=chosen.filename, sha256=sha256, size=size)
    try:
        with read_wheel(path, record) as wheel:
            said = HeaderParser().parsestr(wheel.text("METADATA"))
    except (zipfile.BadZipFile, UnicodeError, NotImplementedError, OSError) as error:
        raise WheelRefused(f"The wheel {chosen.filename} can't be read.") from error
    return PypiRecord(
        name=canonicalize_name(chosen.name),
        version=chosen.version,
        filename=chosen.filename,
        sha256=sha256,
        size=size,
        requires=tuple(" ".join(str(line).split()) for line in said.get_all("Requires-Dist") or ()),
        requires_python=str(said.get("Requires-Python") or ""),
        license=_license(str(said.get("License-Expression") or said.get("License") or "")),
    )


def _license(said: str) -> str:
    """A name, not the text itself, which some wheels put there."""
    first = said.strip().partition("\n")[0]
    return first if first == said.strip() and len(first) <= 200 and first != "UNKNOWN" else ""
