"""The process that resolves pip requirements and fetches the wheels: one request on stdin, JSON lines out; it runs no tenant's code.

`python -m environments_app.pip.child`: nothing of Django's is imported, and no secret is in it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from condahub.engine.disk import is_disk_full
from condahub.engine.lock import HubLock
from condahub.engine.records import PlatformLock, PypiRecord
from condahub.errors import HubError
from environments_app.pip.beside import Provided, in_lock, in_prefix
from environments_app.pip.fetch import Fetcher
from environments_app.pip.protocol import Resolve, Resolved
from environments_app.pip.resolve import Chosen, PipFailed, find, resolve
from environments_app.pip.sdists import Workshop


def resolved(request: Resolve) -> Resolved:
    """Raises HubError."""
    here = in_prefix(Path(request.prefix)) if request.prefix else {}
    fetcher = Fetcher(proxy=request.proxy, folder=Path(request.folder), max_bytes=request.max_bytes, known=request.known)
    workshop = _workshop(request, fetcher)
    chosen: dict[str, list[Chosen]] = {}
    try:
        # The machine's own first: what is built there may fit the others.
        for subdir in sorted(request.lock.platforms, key=lambda subdir: (subdir != request.platform, subdir)):
            platform = request.lock.platform(subdir)
            if not request.requirements:
                chosen[subdir] = _find(request, subdir, platform.pypi)
                continue
            provided = here if here and subdir == request.platform else in_lock(platform, here)
            chosen[subdir] = _ask(request, subdir, provided, workshop)
            _say({"log": f"{subdir}: {len(chosen[subdir])} wheels beside {len(provided)} Python packages of conda's"})
        total, done, platforms = sum(len(wheels) for wheels in chosen.values()), 0, {}
        made = workshop.made if workshop is not None else {}
        used = {one.filename for wheels in chosen.values() for one in wheels}
        for subdir, wheels in chosen.items():
            records = []
            for one in wheels:
                records.append(made[one.filename][0] if one.filename in made else fetcher.fetch(one))
                done += 1
                _say({"progress": {"phase": "pip", "done": done, "total": total, "unit": "wheels"}})
            platform = request.lock.platform(subdir)
            platforms[subdir] = PlatformLock(conda=platform.conda, pypi=tuple(records), virtual_packages=platform.virtual_packages)
        built = tuple(fetched for filename, (_, fetched) in made.items() if filename in used)
        return Resolved(lock=HubLock.of(channels=request.lock.channels, platforms=platforms), wheels=(*fetcher.fetched, *built))
    finally:
        fetcher.close()


def _workshop(request: Resolve, fetcher: Fetcher) -> Workshop | None:
    if request.sources is None or not request.prefix:
        return None
    return Workshop(request, fetcher, Path(tempfile.mkdtemp(prefix="workshop-", dir=request.folder)), _say)


def _ask(request: Resolve, subdir: str, provided: dict[str, Provided], workshop: Workshop | None) -> list[Chosen]:
    """The wheels, those among them that have to be made first."""
    while True:
        made = workshop.found_here if workshop is not None and workshop.made else None
        try:
            with _question(request) as folder:
                return resolve(request, subdir, provided, folder, made=made)
        except PipFailed as error:
            if workshop is None or not error.without_wheel:
                raise
            if subdir != request.platform:
                names = ", ".join(error.without_wheel)
                raise PipFailed(
                    f"{subdir}: {names} has no wheel there; source distributions are built for {request.platform} alone.",
                    code=error.code,
                    hint=error.hint,
                ) from None
            for name in error.without_wheel:
                workshop.supply(name, subdir)


def _find(request: Resolve, subdir: str, wanted: Sequence[PypiRecord]) -> list[Chosen]:
    if not wanted:
        return []
    with _question(request) as folder:
        return find(request, subdir, wanted, folder)


@contextmanager
def _question(request: Resolve) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="question-", dir=request.folder))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _say(line: object) -> None:
    data = msgspec.json.encode(line) + b"\n"
    while data:
        data = data[os.write(1, data) :]


def main() -> None:
    """Answer the request of stdin."""
    try:
        request = msgspec.json.decode(sys.stdin.buffer.read(), type=Resolve)
        _say({"result": resolved(request)})
    except HubError as error:
        _say({"error": {**error.as_dict(), "status": error.status}})
    except OSError as error:
        if not is_disk_full(error):
            raise
        _say({"error": {"code": "storage_full", "detail": "There is no room left for the environment's files.", "status": 507}})


if __name__ == "__main__":
    main()
