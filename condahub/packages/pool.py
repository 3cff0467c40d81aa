"""Where a package is read: a small one right here, a large one in a reader process of its own that can be killed.

A reader serves one package and ends, so nothing a package could do to it reaches the next one, which may be another
organization's; starting it costs about a tenth of a second, which a package of some MB takes anyway.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

import condahub
from condahub.errors import HubError, Unavailable
from condahub.packages.child import Answer, Request
from condahub.packages.errors import BY_CODE, BadFilename, PackageBomb, PackageDamaged, PackageSlow
from condahub.packages.limits import DEFAULT, MIB, Limits
from condahub.packages.names import split_filename
from condahub.packages.reader import PackageInfo, read_package

IN_PROCESS_MAX_BYTES = 4 * MIB
# Tight, because every web thread may be reading one: a window is as large in memory as what was unpacked into it.
# What is past them is not refused here but read again in a reader process.
IN_PROCESS_LIMITS = Limits(
    max_unpacked_bytes=32 * MIB, max_listing_bytes=4 * MIB, max_link_bytes=4 * MIB, max_members=20_000, max_seconds=5.0
)
MAX_READERS = max(1, min(4, os.cpu_count() or 1))
WAIT_FOR_A_READER_SECONDS = 120.0
START_AND_ANSWER_SECONDS = 15.0
ATTEMPTS = 2
PASSED_ON_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "SYSTEMROOT")

log = logging.getLogger(__name__)
_readers = threading.BoundedSemaphore(MAX_READERS)


def inspect(path: Path, *, filename: str, limits: Limits = DEFAULT) -> PackageInfo:
    """Read and check a package (see `read_package`), choosing where by its size.

    Raises what `read_package` raises, and Unavailable when all readers have been busy for two minutes.
    """
    split_filename(filename)
    if path.stat().st_size <= IN_PROCESS_MAX_BYTES and limits is DEFAULT:
        with suppress(PackageBomb, PackageSlow):
            return read_package(path, filename=filename, limits=IN_PROCESS_LIMITS)
    request = msgspec.json.encode(Request(str(path.absolute()), filename, limits)) + b"\n"
    with _a_reader():
        for _ in range(ATTEMPTS):
            answer = _ask(request, limits)
            if answer is not None:
                return _result(answer)
    raise PackageDamaged("The package made its reader stop.")


@contextmanager
def _a_reader() -> Iterator[None]:
    if not _readers.acquire(timeout=WAIT_FOR_A_READER_SECONDS):
        raise Unavailable("The hub is busy reading other packages.", hint="Upload the package again in a moment.")
    try:
        yield
    finally:
        _readers.release()


def _ask(request: bytes, limits: Limits) -> Answer | None:
    """One reader's answer, or None when it ended without one (it may have been killed for no fault of the package)."""
    # A fresh interpreter with next to no environment: the hub's secrets are not in there, nor its threads.
    environment = {name: os.environ[name] for name in PASSED_ON_VARIABLES if name in os.environ}
    environment["PYTHONPATH"] = str(Path(condahub.__file__).resolve().parent.parent)
    try:
        done = subprocess.run(
            [sys.executable, "-s", "-P", "-m", "condahub.packages.child"],
            input=request,
            capture_output=True,
            timeout=limits.max_seconds + START_AND_ANSWER_SECONDS,
            env=environment,
            cwd="/",
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PackageSlow(f"Reading the package took longer than {limits.max_seconds:g} s.") from error
    if done.returncode == -signal.SIGXCPU:
        raise PackageSlow(f"Reading the package took longer than {limits.max_seconds:g} s.")
    try:
        return msgspec.json.decode(done.stdout, type=Answer)
    except msgspec.DecodeError:
        log.warning("A package reader ended with status %d: %s", done.returncode, done.stderr[-500:].decode("utf-8", "replace"))
        return None


def _result(answer: Answer) -> PackageInfo:
    if answer.info is not None:
        return answer.info
    if answer.refused is None:
        raise OSError(answer.failed)
    said = answer.refused
    kind: type[HubError] = BY_CODE.get(said.code, BadFilename)
    raise kind(said.detail, code=said.code, hint=said.hint, status=said.status)
